import LoomStorage
import SystemPackage
import Testing

/// What power loss may do to the entries of folders.
@Suite struct SimulatedNameTests {
    private let images = CrashImage.several(sampled: 200)

    /// The names in a folder over all images, `[]` where it is gone.
    private func listings(
        _ storage: SimulatedStorage, _ path: FilePath = "/"
    ) throws -> Set<[String]> {
        try Set(
            images.map { image -> [String] in
                do {
                    return try storage.powerLossImage(image).list(path).sorted()
                } catch let error as StorageError where error.isNotFound {
                    return []
                }
            })
    }

    @Test("a creation is lost or kept until the folder is synced, each for itself")
    func creations() throws {
        let storage = SimulatedStorage()
        for name in ["a", "b"] { try storage.make(FilePath("/\(name)"), [1]).sync() }
        #expect(try listings(storage) == [[], ["a"], ["b"], ["a", "b"]])
        try storage.syncDirectory("/")
        #expect(try listings(storage) == [["a", "b"]])
        for image in images {
            #expect(try storage.powerLossImage(image).bytes(of: "/a") == [1])
        }
        #expect(!storage.hasPending)
    }

    @Test("a removal is lost or kept; when lost, the file is back with its content")
    func removals() throws {
        let storage = SimulatedStorage()
        _ = try storage.makeDurable("/a", [1, 2])
        try storage.remove("/a")
        #expect(try listings(storage) == [[], ["a"]])
        #expect(try storage.powerLossImage(.nothingPending).bytes(of: "/a") == [1, 2])
        try storage.syncDirectory("/")
        #expect(try listings(storage) == [[]])
    }

    @Test("a rename leaves the old name or the new, never both, never neither")
    func renames() throws {
        let storage = SimulatedStorage()
        try storage.createDirectory("/d")
        try storage.syncDirectory("/")
        _ = try storage.makeDurable("/a", [1])
        try storage.rename("/a", to: "/b")
        #expect(try listings(storage) == [["a", "d"], ["b", "d"]])
        try storage.syncDirectory("/")
        #expect(try listings(storage) == [["b", "d"]])
        try storage.rename("/b", to: "/d/c")
        for image in images {
            let lost = storage.powerLossImage(image)
            #expect(try lost.has("/b") != lost.has("/d/c"))
        }
        // The folder that holds the entry now is the one whose sync counts.
        try storage.syncDirectory("/")
        #expect(try storage.powerLossImage(.nothingPending).has("/b"))
        try storage.syncDirectory("/d")
        #expect(try listings(storage) == [["d"]])
        #expect(try listings(storage, "/d") == [["c"]])
    }

    @Test("changes of one name or file survive only with those that they rest on")
    func dependencies() throws {
        let storage = SimulatedStorage()
        _ = try storage.makeDurable("/a", [1])
        try storage.rename("/a", to: "/old")
        try storage.make("/a", [2]).sync()
        for image in images {
            let lost = storage.powerLossImage(image)
            let names = try lost.list("/").sorted()
            #expect([["a"], ["old"], ["a", "old"]].contains(names))
            if names.contains("old") { #expect(try lost.bytes(of: "/old") == [1]) }
            if names == ["a"] { #expect(try lost.bytes(of: "/a") == [1]) }
        }
    }

    @Test("a synced entry takes with it what it rests on in other folders")
    func syncedDependencies() throws {
        let storage = SimulatedStorage()
        try storage.createDirectory("/d")
        try storage.syncDirectory("/")
        _ = try storage.makeDurable("/a", [1])
        try storage.rename("/a", to: "/d/a")
        try storage.make("/a", [2]).sync()
        try storage.syncDirectory("/")
        for image in images {
            let lost = storage.powerLossImage(image)
            #expect(try lost.bytes(of: "/a") == [2])
            #expect(try lost.bytes(of: "/d/a") == [1])
        }
    }

    @Test("a new folder is durable by the sync of its parent, what it holds by its own")
    func folders() throws {
        let storage = SimulatedStorage()
        try storage.createDirectory("/d")
        try storage.make("/d/f").sync()
        try storage.syncDirectory("/d")
        #expect(try listings(storage) == [[], ["d"]])
        #expect(try listings(storage, "/d") == [[], ["f"]])
        let kept = storage.powerLossImage(.everythingPending)
        #expect(try kept.list("/d") == ["f"])
        try storage.syncDirectory("/")
        #expect(try listings(storage, "/d") == [["f"]])
        try storage.make("/d/g").sync()
        #expect(try listings(storage, "/d") == [["f"], ["f", "g"]])
    }

    @Test("a file that is moved out of a folder survives the folder's removal")
    func folderRemoval() throws {
        let storage = SimulatedStorage()
        try storage.createDirectory("/d")
        try storage.syncDirectory("/")
        _ = try storage.makeDurable("/d/f", [1])
        try storage.rename("/d/f", to: "/f")
        try storage.removeDirectory("/d")
        for image in images {
            let lost = storage.powerLossImage(image)
            let names = try lost.list("/").sorted()
            #expect([["d"], ["d", "f"], ["f"]].contains(names))
            if names == ["d"] { #expect(try lost.bytes(of: "/d/f") == [1]) }
        }
    }

    @Test("a change of names in flight happened or did not, for a killed process too")
    func inFlight() throws {
        let storage = SimulatedStorage()
        _ = try storage.makeDurable("/a", [1])
        storage.crash(at: storage.callCount)
        #expect(throws: StorageError.self) { try storage.rename("/a", to: "/b") }
        #expect(try listings(storage) == [["a"], ["b"]])
        let killed = try Set(images.map { try storage.killImage($0).list("/") })
        #expect(killed == [["a"], ["b"]])
        #expect(try storage.killImage(.nothingPending).list("/") == ["a"])
        #expect(try storage.killImage(.everythingPending).list("/") == ["b"])
    }

    @Test("a lock in flight leaves a lock file with any beginning of the text")
    func lockInFlight() throws {
        let storage = SimulatedStorage()
        storage.crash(at: 0)
        #expect(throws: StorageError.self) { _ = try storage.lock("/lock", holder: "abc") }
        let killed = try Set(
            images.map { image in
                let storage = storage.killImage(image)
                return try storage.has("/lock") ? try storage.bytes(of: "/lock").count : -1
            })
        #expect(killed.isSuperset(of: [-1, 0, 3]))
    }
}
