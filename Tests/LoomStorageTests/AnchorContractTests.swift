import LoomStorage
import SystemPackage
import Testing

/// The contract of storages that hold on to one folder, for every implementation.
@Suite struct AnchorContractTests {
    @Test("all calls go to the folder below the anchor", arguments: ContractSubject.present)
    func calls(subject: ContractSubject) throws {
        let space = try subject.workspace()
        try space.storage.createDirectory(space.path("log"))
        let log = try space.storage.anchored(at: space.path("log"))
        #expect(log.anchor == space.path("log"))
        try log.createDirectory(space.path("log/seg"))
        try log.make(space.path("log/seg/1"), [1]).close()
        try log.make(space.path("log/größe"), [2]).close()
        try log.rename(space.path("log/größe"), to: space.path("log/seg/2"))
        try log.syncDirectory(space.path("log/seg"))
        try log.syncDirectory(space.path("log"))
        #expect(try log.list(space.path("log")) == ["seg"])
        #expect(try space.storage.list(space.path("log/seg")).sorted() == ["1", "2"])
        let file = try log.open(space.path("log/seg/2"), for: .writing)
        #expect(file.path == space.path("log/seg/2"))
        #expect(try file.readBytes(count: 9, at: 0) == [2])
        let lock = try log.lock(space.path("log/LOCK"), holder: "me")
        #expect(try space.storage.lockHolder(space.path("log/LOCK")) == "me")
        try log.checkInPlace([lock.place])
        lock.release()
        #expect(try log.lockHolder(space.path("log/LOCK")) == nil)
        try log.remove(space.path("log/seg/1"))
        try log.remove(space.path("log/seg/2"))
        try log.removeDirectory(space.path("log/seg"))
        #expect(try space.storage.list(space.path("log")) == ["LOCK"])
        let missing = try storageError { _ = try log.open(space.path("log/no"), for: .reading) }
        #expect(missing == StorageError(.open, space.path("log/no"), .noSuchFileOrDirectory))
    }

    @Test(
        "only folders are anchors, and only what is below them",
        arguments: ContractSubject.present)
    func refusals(subject: ContractSubject) throws {
        let space = try subject.workspace()
        try space.storage.make(space.path("f")).close()
        try space.storage.createDirectory(space.path("d"))
        #expect(
            try storageError { _ = try space.storage.anchored(at: space.path("no")) }
                == StorageError(.anchor, space.path("no"), .noSuchFileOrDirectory))
        #expect(
            try storageError { _ = try space.storage.anchored(at: space.path("f")) }
                == StorageError(.anchor, space.path("f"), .notDirectory))
        let anchored = try space.storage.anchored(at: space.path("d"))
        for path in [space.path("f"), space.path("dd"), space.root] {
            let error = try storageError { _ = try anchored.open(path, for: .reading) }
            #expect(error?.errno == .invalidArgument, "\(path)")
        }
    }

    /// A writer went on into files that nobody could reach, or into another log of the same name.
    @Test(
        "a folder that was renamed is written to and known to be out of place",
        arguments: ContractSubject.present)
    func rename(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        try storage.createDirectory(space.path("log"))
        let log = try storage.anchored(at: space.path("log"))
        let file = try log.make(space.path("log/f"), run(1, 10))
        try log.checkInPlace([place(file, 10)])

        try storage.rename(space.path("log"), to: space.path("moved"))
        expectDisplaced(log, space.path("log"))
        try storage.createDirectory(space.path("log"))
        expectDisplaced(log, space.path("log"))
        try log.make(space.path("log/late"), [7]).close()
        #expect(try storage.list(space.path("log")).isEmpty)
        #expect(try storage.bytes(of: space.path("moved/late")) == [7])
        #expect(try log.open(space.path("log/f"), for: .reading).identity == file.identity)

        try storage.removeDirectory(space.path("log"))
        try storage.rename(space.path("moved"), to: space.path("log"))
        try log.checkInPlace([place(file, 10)])
    }

    @Test("a folder that was deleted takes nothing in", arguments: ContractSubject.present)
    func delete(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        try storage.createDirectory(space.path("log"))
        let log = try storage.anchored(at: space.path("log"))
        try storage.removeDirectory(space.path("log"))
        expectDisplaced(log, space.path("log"))
        let error = try storageError { _ = try log.create(space.path("log/f")) }
        #expect(error == StorageError(.create, space.path("log/f"), .noSuchFileOrDirectory))
        try storage.createDirectory(space.path("log"))
        expectDisplaced(log, space.path("log"))
    }

    /// A backup restored over a log replaces its files or cuts them.
    @Test("a file that was replaced, removed or cut is noticed", arguments: ContractSubject.present)
    func files(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        try storage.createDirectory(space.path("log"))
        let log = try storage.anchored(at: space.path("log"))
        let (path, other) = (space.path("log/f"), space.path("log/other"))
        let file = try log.make(path, run(1, 10))
        try log.checkInPlace([place(file, 10)])
        try log.checkInPlace([place(file, 9)])
        // Cut, as far as the sizes show it.
        expectDisplaced(log, path, [place(file, 11)])
        try log.rename(path, to: other)
        expectDisplaced(log, path, [place(file, 10)])
        try log.make(path, run(1, 10)).close()
        expectDisplaced(log, path, [place(file, 10)])
        try log.remove(path)
        try log.rename(other, to: path)
        try log.checkInPlace([place(file, 10)])
    }

    private func place(_ file: any StorageFile, _ size: Int) -> FilePlace {
        FilePlace(path: file.path, identity: file.identity, leastSize: size)
    }

    private func expectDisplaced(
        _ log: any AnchoredStorage, _ path: FilePath, _ files: [FilePlace] = []
    ) {
        let error = #expect(throws: StorageError.self) { try log.checkInPlace(files) }
        #expect(error == StorageError(.checkInPlace, path, .staleNFSFileHandle))
        #expect(error?.isDisplaced == true)
    }
}
