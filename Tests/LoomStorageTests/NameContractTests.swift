import LoomStorage
import SystemPackage
import Testing

/// The contract of folders and their entries, for every implementation.
@Suite struct NameContractTests {
    @Test(
        "folders are created once, inside folders that are there",
        arguments: ContractSubject.present)
    func createDirectory(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        try storage.createDirectory(space.path("d"))
        _ = try storage.create(space.path("f"))
        for name in ["d", "f"] {
            let error = try storageError { try storage.createDirectory(space.path(name)) }
            #expect(error == StorageError(.createDirectory, space.path(name), .fileExists))
        }
        #expect(
            try storageError { try storage.createDirectory(space.path("no/d")) }?.isNotFound == true
        )
        #expect(
            try storageError { try storage.createDirectory(space.path("f/d")) }?.errno
                == .notDirectory)
    }

    @Test("a listing has every name and nothing else", arguments: ContractSubject.present)
    func list(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        #expect(try storage.list(space.root).isEmpty)
        let names = ["a", ".hidden", "with space", "größe", "z.tmp"]
        for name in names { _ = try storage.create(space.path(name)) }
        try storage.createDirectory(space.path("d"))
        #expect(try storage.list(space.root).sorted() == (names + ["d"]).sorted())
        #expect(try storage.list(space.path("d")).isEmpty)
        #expect(try storageError { _ = try storage.list(space.path("no")) }?.isNotFound == true)
        #expect(
            try storageError { _ = try storage.list(space.path("a")) }?.errno == .notDirectory)
    }

    @Test(
        "a file is created empty, for both uses, never over anything",
        arguments: ContractSubject.present)
    func create(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        let file = try storage.create(space.path("f"))
        #expect(try file.size() == 0)
        #expect(file.path == space.path("f"))
        try file.writeBytes([1, 2], at: 0)
        #expect(try file.readBytes(count: 2, at: 0) == [1, 2])
        try storage.createDirectory(space.path("d"))
        for name in ["f", "d"] {
            let error = try storageError { _ = try storage.create(space.path(name)) }
            #expect(error == StorageError(.create, space.path(name), .fileExists))
        }
        #expect(try storage.bytes(of: space.path("f")) == [1, 2])
        #expect(
            try storageError { _ = try storage.create(space.path("no/f")) }?.isNotFound == true)
    }

    @Test("only what is there can be opened, and no folder", arguments: ContractSubject.present)
    func open(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        try storage.createDirectory(space.path("d"))
        for access in [FileAccess.reading, .writing] {
            let missing = try storageError { _ = try storage.open(space.path("f"), for: access) }
            #expect(missing == StorageError(.open, space.path("f"), .noSuchFileOrDirectory))
            let folder = try storageError { _ = try storage.open(space.path("d"), for: access) }
            #expect(folder == StorageError(.open, space.path("d"), .isDirectory))
        }
        #expect(try storage.list(space.root) == ["d"])
    }

    @Test("a file opened for reading is never changed", arguments: ContractSubject.present)
    func openForReading(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        try storage.make(space.path("f"), run(1, 64)).close()
        let file = try storage.open(space.path("f"), for: .reading)
        #expect(throws: StorageError.self) { try file.writeBytes([2], at: 0) }
        #expect(throws: StorageError.self) { try file.fillZeros(from: 0, to: 128) }
        #expect(throws: StorageError.self) { try file.storeWord(9, at: 0) }
        for surface in AppendSurface.allCases {
            #expect(throws: StorageError.self) { try file.storeBytes([2], at: 0, surface: surface) }
        }
        // A mapping for stores is refused one way or the other.
        #expect((try? file.mapForAppending(length: 64)) != true)
        #expect(throws: StorageError.self) { try file.storeBytes([2], at: 0, surface: .mapped) }
        #expect(try file.loadWord(at: 0) == 0x0101_0101_0101_0101)
        // Nor is one for loads a way to store.
        _ = try file.mapForLoading(length: 64)
        #expect(throws: StorageError.self) { try file.storeWord(9, at: 0) }
        for surface in AppendSurface.allCases {
            #expect(throws: StorageError.self) { try file.storeBytes([2], at: 0, surface: surface) }
        }
        #expect(try file.loadWord(at: 0) == 0x0101_0101_0101_0101)
        #expect(try file.readBytes(count: 100, at: 0) == run(1, 64))
    }

    @Test(
        "a rename moves a file or folder and replaces nothing", arguments: ContractSubject.present)
    func rename(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        let file = try storage.make(space.path("a"), [1])
        try storage.rename(space.path("a"), to: space.path("b"))
        #expect(try storage.list(space.root) == ["b"])
        #expect(try storage.open(space.path("b"), for: .reading).identity == file.identity)
        #expect(try file.readBytes(count: 1, at: 0) == [1])

        try storage.createDirectory(space.path("d"))
        try storage.rename(space.path("b"), to: space.path("d/c"))
        try storage.rename(space.path("d"), to: space.path("e"))
        #expect(try storage.list(space.path("e")) == ["c"])
        #expect(try storage.bytes(of: space.path("e/c")) == [1])

        try storage.make(space.path("x"), [7])
        try storage.createDirectory(space.path("empty"))
        for (from, to) in [("e/c", "x"), ("x", "x"), ("x", "empty"), ("e", "empty"), ("e", "x")] {
            let error = try storageError {
                try storage.rename(space.path(from), to: space.path(to))
            }
            #expect(error?.isFileExists == true, "\(from) to \(to)")
        }
        #expect(try storage.bytes(of: space.path("x")) == [7])
        let missing = try storageError { try storage.rename(space.path("no"), to: space.path("x")) }
        #expect(missing == StorageError(.rename, space.path("no"), .noSuchFileOrDirectory))
        let inside = try storageError { try storage.rename(space.path("e"), to: space.path("e/f")) }
        #expect(inside?.errno == .invalidArgument)
    }

    @Test(
        "a removed file is gone by name and stays for who has it open",
        arguments: ContractSubject.present)
    func remove(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        try storage.make(space.path("f"), [1, 2, 3]).close()
        let reader = try storage.open(space.path("f"), for: .reading)
        try storage.remove(space.path("f"))
        #expect(try storage.list(space.root).isEmpty)
        let again = try storageError { try storage.remove(space.path("f")) }
        #expect(again == StorageError(.remove, space.path("f"), .noSuchFileOrDirectory))
        let other = try storage.make(space.path("f"), [9])
        #expect(try reader.readBytes(count: 9, at: 0) == [1, 2, 3])
        #expect(reader.identity != other.identity)
        try storage.createDirectory(space.path("d"))
        #expect(throws: StorageError.self) { try storage.remove(space.path("d")) }
        #expect(try storage.list(space.root).sorted() == ["d", "f"])
    }

    @Test("only an empty folder is removed", arguments: ContractSubject.present)
    func removeDirectory(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        try storage.createDirectory(space.path("d"))
        _ = try storage.create(space.path("d/f"))
        func errno(_ name: String) throws -> Errno? {
            try storageError { try storage.removeDirectory(space.path(name)) }?.errno
        }
        #expect(try errno("d") == .directoryNotEmpty)
        #expect(try errno("d/f") == .notDirectory)
        #expect(try errno("no") == .noSuchFileOrDirectory)
        try storage.remove(space.path("d/f"))
        #expect(try errno("d") == nil)
        #expect(try errno("d") == .noSuchFileOrDirectory)
    }

    @Test(
        "folders can be synced, files and missing ones cannot", arguments: ContractSubject.present)
    func syncDirectory(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        try storage.syncDirectory(space.root)
        _ = try storage.create(space.path("f"))
        #expect(
            try storageError { try storage.syncDirectory(space.path("no")) }?.isNotFound == true)
        let error = try storageError { try storage.syncDirectory(space.path("f")) }
        #expect(error == StorageError(.syncDirectory, space.path("f"), .notDirectory))
    }
}
