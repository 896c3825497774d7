import LoomStorage
import SystemPackage
import Testing

/// The contract of locks, for every implementation.
@Suite struct LockContractTests {
    @Test(
        "a lock excludes others, names its holder and is free after release",
        arguments: ContractSubject.present)
    func lock(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let (storage, path) = (space.storage, space.path("LOCK"))
        #expect(try storage.lockHolder(path) == nil)
        #expect(try storage.list(space.root).isEmpty)
        let lock = try storage.lock(path, holder: "pid 7 on here")
        #expect(try storage.lockHolder(path) == "pid 7 on here")
        let error = try storageError { _ = try storage.lock(path, holder: "another") }
        #expect(error == StorageError(.lock, path, .wouldBlock, holder: "pid 7 on here"))
        #expect(error?.isHeld == true)
        #expect(error?.description == "\(path): locked by pid 7 on here")
        // Opening, reading and closing the file gives nothing up.
        #expect(try storage.bytes(of: path) == Array("pid 7 on here".utf8))
        #expect(try storage.lockHolder(path) == "pid 7 on here")
        lock.release()
        lock.release()
        #expect(try storage.lockHolder(path) == nil)
        #expect(try storage.has(path))
        let next = try storage.lock(path, holder: "me")
        // The second release of the first is not a release of this one.
        lock.release()
        #expect(try storage.lockHolder(path) == "me")
        #expect(try storage.bytes(of: path) == Array("me".utf8))
        next.release()
    }

    @Test("a lock ends with its object", arguments: ContractSubject.present)
    func lockGoesAway(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let (storage, path) = (space.storage, space.path("LOCK"))
        do {
            let lock = try storage.lock(path, holder: "me")
            #expect(try storage.lockHolder(path) == "me")
            withExtendedLifetime(lock) {}
        }
        #expect(try storage.lockHolder(path) == nil)
    }

    @Test("what a holder left is made fit for a message", arguments: ContractSubject.present)
    func holderText(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let (storage, path) = (space.storage, space.path("LOCK"))
        for (text, shown) in [
            ("", "another process"), ("a\u{1B}[2Jb\nc\u{7F}", "a[2Jbc"),
            (String(repeating: "x", count: 1000), String(repeating: "x", count: 256)),
        ] {
            let lock = try storage.lock(path, holder: text)
            #expect(try storage.lockHolder(path) == shown)
            #expect(try storageError { _ = try storage.lock(path, holder: "") }?.holder == shown)
            lock.release()
        }
    }

    @Test(
        "locks need a folder that is there, and are each for one file",
        arguments: ContractSubject.present)
    func lockErrors(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        let missing = try storageError { _ = try storage.lock(space.path("no/LOCK"), holder: "") }
        #expect(missing?.isNotFound == true)
        #expect(try storage.lockHolder(space.path("no/LOCK")) == nil)
        let first = try storage.lock(space.path("a"), holder: "1")
        let second = try storage.lock(space.path("b"), holder: "2")
        #expect(try storage.lockHolder(space.path("a")) == "1")
        first.release()
        #expect(try storage.lockHolder(space.path("b")) == "2")
        second.release()
    }
}

/// The contract of pins, for every implementation.
@Suite struct PinContractTests {
    @Test(
        "a pin is seen by everyone, with the lock or without, until it is released",
        arguments: ContractSubject.present)
    func pins(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let (storage, path) = (space.storage, space.path("LOCK"))
        let missing = try storageError { _ = try storage.pin(path, number: 1) }
        #expect(missing?.isNotFound == true)
        let lock = try storage.lock(path, holder: "me")
        #expect(try storage.leastPin(path, below: .max) == nil)
        let large = (UInt64(1) << 62) - 1
        let pins = try [7, 5, 5, 9, large].map { try storage.pin(path, number: $0) }
        #expect(try storage.leastPin(path, below: .max) == 5)
        #expect(try storage.leastPin(path, below: 6) == 5)
        #expect(try storage.leastPin(path, below: 5) == nil)
        #expect(try storage.lockHolder(path) == "me")
        // Two of one number, and each of them twice.
        pins[1].release()
        pins[1].release()
        #expect(try storage.leastPin(path, below: .max) == 5)
        pins[2].release()
        #expect(try storage.leastPin(path, below: .max) == 7)
        lock.release()
        #expect(try storage.leastPin(path, below: .max) == 7)
        // A lock that comes later is not in the way, and sees them.
        let next = try storage.lock(path, holder: "another")
        pins[0].release()
        pins[3].release()
        #expect(try storage.leastPin(path, below: .max) == large)
        next.release()
        pins[4].release()
        #expect(try storage.leastPin(path, below: .max) == nil)
    }

    @Test(
        "a pin ends with its object, and holds in the folder that was anchored",
        arguments: ContractSubject.present)
    func goesAway(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = try space.storage.anchored(at: space.root)
        let path = space.path("LOCK")
        try storage.lock(path, holder: "me").release()
        do {
            let pin = try storage.pin(path, number: 3)
            #expect(try space.storage.leastPin(path, below: 4) == 3)
            withExtendedLifetime(pin) {}
        }
        #expect(try storage.leastPin(path, below: .max) == nil)
    }
}
