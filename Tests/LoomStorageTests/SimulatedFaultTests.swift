import LoomStorage
import SystemPackage
import Testing

/// Calls that fail, disks that fill up, clocks.
@Suite struct SimulatedFaultTests {
    private let images = CrashImage.several(sampled: 100)

    @Test("the chosen call fails once, with the chosen errno")
    func failCall() throws {
        let storage = SimulatedStorage()
        storage.failCall(at: 1, with: .permissionDenied, extent: .nothing)
        try storage.createDirectory("/a")
        let error = try storageError { try storage.createDirectory("/b") }
        #expect(error == StorageError(.createDirectory, "/b", .permissionDenied))
        #expect(try storage.list("/") == ["a"])
        try storage.createDirectory("/b")
        #expect(storage.callCount == 4)
        #expect(
            storage.calls.map(\.kind) == [
                .createDirectory, .createDirectory, .list, .createDirectory,
            ])
        #expect(storage.crashPoints == [0, 1, 3])
    }

    @Test("every call of a kind fails until that is ended")
    func failKind() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", [1])
        storage.failCalls(of: .read, with: .ioError)
        for _ in 0..<2 {
            #expect(try storageError { _ = try file.readBytes(count: 1, at: 0) }?.errno == .ioError)
        }
        #expect(try file.size() == 1)
        storage.stopFailing(.read)
        #expect(try file.readBytes(count: 1, at: 0) == [1])
    }

    @Test("a call that fails has happened not at all, in part, or in full")
    func extents() throws {
        var counts: Set<Int> = []
        for seed in 1...40 {
            let storage = SimulatedStorage(seed: UInt64(seed))
            let file = try storage.create("/f")
            storage.failCall(at: storage.callCount, with: .ioError)
            #expect(throws: StorageError.self) { try file.writeBytes(run(1, 100), at: 0) }
            counts.insert(try file.size())
        }
        #expect(counts.count > 10)
        for (extent, count) in [(FaultExtent.nothing, 0), (.everything, 100)] {
            let storage = SimulatedStorage()
            let file = try storage.create("/f")
            storage.failCall(at: storage.callCount, with: .ioError, extent: extent)
            #expect(throws: StorageError.self) { try file.writeBytes(run(1, 100), at: 0) }
            #expect(try file.size() == count)
        }
    }

    @Test("after a failed sync a later one succeeds and makes nothing of it durable")
    func failedSync() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(0, 1024))
        try file.storeBytes([1], at: 0)
        try file.storeBytes([1], at: 512)
        storage.failCall(at: storage.callCount, with: .ioError)
        #expect(throws: StorageError.self) { try file.syncData() }
        try file.syncData()
        try file.sync()
        func firsts(_ offset: Int) throws -> Set<UInt8> {
            try Set(images.map { try storage.powerLossImage($0).bytes(of: "/f")[offset] })
        }
        #expect(try firsts(0) == [0, 1])
        // Stored again it is dirty again, even with the same bytes.
        try file.storeBytes([1], at: 0)
        try file.syncData()
        #expect(try firsts(0) == [1])
        #expect(try firsts(512) == [0, 1])
        // The page cache goes on showing what was stored, until it lets go of it.
        #expect(try file.readBytes(count: 1, at: 512) == [1])
        let seen = try Set(
            (1...20).map { seed in
                let storage = storage.killImage(.sampled(UInt64(seed)))
                let file = try storage.open("/f", for: .reading)
                file.dropCache()
                let byte = try file.readBytes(count: 1, at: 512)
                let lost = try storage.powerLossImage(.everythingPending).bytes(of: "/f")
                #expect(lost[512] == byte[0])
                return byte[0]
            })
        #expect(seen == [0, 1])
    }

    @Test("the size, too, stays in doubt after a failed sync")
    func failedSyncOfSize() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(1, 100))
        try file.writeBytes(run(2, 100), at: 100)
        storage.failCall(at: storage.callCount, with: .ioError)
        #expect(throws: StorageError.self) { try file.sync() }
        try file.sync()
        #expect(try storage.powerLossImage(.nothingPending).bytes(of: "/f").count == 100)
        try file.writeBytes(run(2, 101), at: 100)
        try file.sync()
        #expect(try storage.powerLossImage(.nothingPending).bytes(of: "/f").count == 201)
    }

    @Test("a failed sync of a folder leaves its entries in doubt")
    func failedFolderSync() throws {
        let storage = SimulatedStorage()
        try storage.make("/f").sync()
        storage.failCall(at: storage.callCount, with: .ioError)
        #expect(throws: StorageError.self) { try storage.syncDirectory("/") }
        try storage.syncDirectory("/")
        #expect(try storage.powerLossImage(.nothingPending).list("/").isEmpty)
        #expect(try storage.killImage(.nothingPending).list("/") == ["f"])
    }

    @Test("a process that is killed within a sync leaves one that can be synced again")
    func killedSync() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", [0])
        try file.storeBytes([1], at: 0)
        storage.crash(at: storage.callCount)
        #expect(throws: StorageError.self) { try file.syncData() }
        let bytes = try Set(images.map { try storage.powerLossImage($0).bytes(of: "/f") })
        #expect(bytes == [[0], [1]])
        let killed = storage.killImage(.nothingPending)
        try killed.open("/f", for: .writing).syncData()
        #expect(try killed.powerLossImage(.nothingPending).bytes(of: "/f") == [1])
    }

    @Test("a full disk refuses growth, not stores, and heals by room or removal")
    func outOfSpace() throws {
        let storage = SimulatedStorage(capacity: 16_384)
        let file = try storage.create("/f")
        try file.fillZeros(from: 0, to: 8192)
        let other = try storage.make("/g", run(1, 4096))
        let error = try storageError { try file.fillZeros(from: 8192, to: 65_536) }
        #expect(error?.isOutOfSpace == true)
        #expect(try file.size() == 12_288)
        try file.storeBytes(run(1, 8192), at: 0)
        #expect(try storageError { try other.writeBytes([1], at: 4096) }?.isOutOfSpace == true)
        try storage.remove("/g")
        // Like every system: the space of a file comes back when the last one closes it.
        #expect(throws: StorageError.self) { try file.fillZeros(from: 12_288, to: 16_384) }
        try other.close()
        try file.fillZeros(from: 12_288, to: 16_384)
        storage.capacity = 1 << 20
        try file.fillZeros(from: 16_384, to: 65_536)
        #expect(storage.powerLossImage(.everythingPending).capacity == 1 << 20)
    }

    @Test("a store outside filled space, a bus error elsewhere, throws loudly")
    func storeOutside() throws {
        let storage = SimulatedStorage()
        let file = try storage.make("/f", run(1, 64))
        for surface in AppendSurface.allCases {
            let error = try storageError { try file.storeBytes([1, 2], at: 63, surface: surface) }
            #expect(error?.errno == .badAddress)
        }
        #expect(try storageError { try file.storeWord(1, at: 64) }?.errno == .badAddress)
        #expect(try file.size() == 64)
    }

    @Test("clocks stand still until they are moved; the machine's words come from the seed")
    func machine() throws {
        let storage = SimulatedStorage(seed: 3)
        let machine = storage.machine
        let (wall, monotonic) = (machine.wallMicroseconds(), machine.monotonicNanoseconds())
        _ = try storage.create("/f")
        #expect(machine.wallMicroseconds() == wall)
        storage.advanceClock(nanoseconds: 1_500)
        machine.sleep(nanoseconds: 500)
        #expect(machine.wallMicroseconds() == wall + 2)
        #expect(machine.monotonicNanoseconds() == monotonic + 2000)
        storage.nanosecondsPerCall = 1000
        try storage.syncDirectory("/")
        #expect(machine.wallMicroseconds() == wall + 3)
        storage.setWallClock(microseconds: 5)
        #expect(machine.wallMicroseconds() == 5)
        #expect(machine.monotonicNanoseconds() == monotonic + 3000)
        let same = SimulatedStorage(seed: 3)
        #expect(try #require(same.machine.boot) == #require(machine.boot))
        #expect(same.machine.random() == machine.random())
        #expect(SimulatedStorage(seed: 4).machine.random() != same.machine.random())
        #expect(storage.killImage(.nothingPending).machine.monotonicNanoseconds() == 1_000_003_000)
    }

    @Test("space that is only filled costs next to nothing", .timeLimit(.minutes(10)))
    func sparse() throws {
        let storage = SimulatedStorage()
        let file = try storage.create("/f")
        for step in 1...64 { try file.fillZeros(from: (step - 1) << 20, to: step << 20) }
        try file.sync()
        try storage.syncDirectory("/")
        for index in 0..<300 { try file.storeBytes(run(1, 112), at: index * 112) }
        for seed in UInt64(0)..<100 {
            let lost = storage.powerLossImage(.sampled(seed))
            #expect(try lost.open("/f", for: .reading).size() == 64 << 20)
        }
    }
}
