import LoomStorage
import SystemPackage
import Testing

/// Each test holds one rule of what power loss may leave, and fails when the simulation breaks it.
@Suite struct SimulatedCrashTests {
    static let samples: [CrashImage] = CrashImage.several(sampled: 200)

    /// The states of `/f` over all images.
    private func states(
        _ storage: SimulatedStorage, _ images: [CrashImage] = samples
    ) throws -> Set<[UInt8]> {
        try Set(images.map { try storage.powerLossImage($0).bytes(of: "/f") })
    }

    @Test("an unsynced sector is lost, kept, or any state in between")
    func unsyncedSector() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(1, 512))
        try file.storeBytes(run(2, 512), at: 0)
        try file.storeBytes(run(3, 512), at: 0)
        let states = try states(storage)
        for byte in 1...3 { #expect(states.contains(run(UInt8(byte), 512))) }
        // An instant may lie within a store.
        #expect(states.contains { Set($0) == [1, 2] })
        #expect(states.contains { Set($0) == [2, 3] })
        // But a store reaches the sector only after the one before it.
        for state in states {
            #expect(!(state.contains(1) && state.contains(3)))
            #expect(state == state.sorted(by: >))
        }
        #expect(try storage.powerLossImage(.nothingPending).bytes(of: "/f") == run(1, 512))
        #expect(try storage.powerLossImage(.everythingPending).bytes(of: "/f") == run(3, 512))
    }

    @Test("sectors are independent of each other", arguments: [512, 4096])
    func independentSectors(sectorBytes: Int) throws {
        let storage = SimulatedStorage(sectorBytes: sectorBytes)
        let file = try storage.makeDurable("/f", run(1, 8192))
        try file.storeBytes(run(2, 8192), at: 0)
        let states = try states(storage).map { state in
            stride(from: 0, to: 8192, by: sectorBytes).map { state[$0 + sectorBytes - 1] }
        }
        #expect(states.contains { $0.first == 1 && $0.last == 2 })
        #expect(states.contains { $0.first == 2 && $0.last == 1 })
        // Only the sector is the unit: within it nothing newer follows something older.
        for image in Self.samples {
            let bytes = try storage.powerLossImage(image).bytes(of: "/f")
            for start in stride(from: 0, to: 8192, by: sectorBytes) {
                let sector = Array(bytes[start..<start + sectorBytes])
                #expect(sector == sector.sorted(by: >))
            }
        }
    }

    @Test("what a sync covered stays, and so does what is beside a store that is cut")
    func syncedStays() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(0, 1024))
        try file.storeBytes(run(7, 100), at: 200)
        try file.syncData()
        #expect(!storage.hasPending)
        try file.storeBytes(run(8, 100), at: 300)
        for state in try states(storage) {
            #expect(Array(state[200..<300]) == run(7, 100))
            #expect(state[..<200].allSatisfy { $0 == 0 })
            #expect(state[400...].allSatisfy { $0 == 0 })
        }
    }

    @Test("a sync covers what was stored before it began, and nothing that came meanwhile")
    func storesDuringSync() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(0, 1024))
        try file.storeBytes([1], at: 0)
        storage.whileSyncing { _ in
            try? file.storeBytes([2], at: 0)
            try? file.storeBytes([3], at: 512)
        }
        try file.syncData()
        storage.whileSyncing(nil)
        let states = try states(storage)
        #expect(Set(states.map { $0[0] }) == [1, 2])
        #expect(Set(states.map { $0[512] }) == [0, 3])
        try file.syncData()
        #expect(try self.states(storage).count == 1)
    }

    @Test("a file has any of its sizes since the last full sync, and zeros where bytes are missing")
    func sizes() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(1, 100))
        try file.writeBytes(run(2, 1000), at: 100)
        try file.writeBytes(run(3, 1000), at: 1100)
        try file.fillZeros(from: 2100, to: 20_000)
        let states = try states(storage)
        #expect(Set(states.map(\.count)).isSuperset(of: [100, 1100, 2100, 20_000]))
        // On the way, space comes in steps of 4 KiB.
        #expect(Set(states.map(\.count)).contains(8192))
        #expect(states.contains { $0.count >= 1100 && $0[600] == 0 })
        #expect(states.contains { $0.count >= 1100 && $0[600] == 2 })
        for state in states { #expect(Array(state[..<100]) == run(1, 100)) }
    }

    @Test("bytes behind a size that was lost do not come back when the file grows again")
    func regrowth() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(1, 100))
        try file.writeBytes(run(2, 1000), at: 100)
        for image in Self.samples {
            let lost = storage.powerLossImage(image)
            let file = try lost.open("/f", for: .writing)
            let size = try file.size()
            try file.fillZeros(from: 2000, to: 2001)
            #expect(try file.readBytes(count: 2001 - size, at: size) == run(0, 2001 - size))
        }
    }

    @Test("a data sync makes bytes durable only inside the size that a full sync made durable")
    func dataSyncAndSize() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(1, 600))
        try file.writeBytes(run(2, 1000), at: 300)
        try file.syncData()
        let states = try states(storage)
        for state in states { #expect(Array(state[300..<600]) == run(2, 300)) }
        #expect(states.contains { $0.count == 600 })
        #expect(states.contains { $0.count == 1300 && $0[700] == 0 })
        #expect(states.contains { $0.count == 1300 && $0[1200] == 0 })
        try file.sync()
        #expect(try self.states(storage) == [run(1, 300) + run(2, 1000)])
    }

    @Test("a word is old or new, never cut")
    func words() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(0, 512))
        try file.storeWord(.max, at: 8)
        storage.crash(at: storage.callCount)
        #expect(throws: StorageError.self) { try file.storeWord(0x0101_0101_0101_0101, at: 8) }
        let words = try Set(states(storage).map { Array($0[8..<16]) })
        #expect(words == [run(0, 8), run(255, 8), run(1, 8)])
        let killed = try Set(
            Self.samples.map { Array(try storage.killImage($0).bytes(of: "/f")[8..<16]) })
        #expect(killed == [run(255, 8), run(1, 8)])
    }

    @Test("a store in flight is cut at any byte, on both surfaces", arguments: [true, false])
    func storeInFlight(isMapped: Bool) throws {
        let storage = SimulatedStorage(supportsMapping: isMapped)
        let file = try storage.makeDurable("/f", run(1, 2048))
        #expect(try file.mapForAppending(length: 2048) == isMapped)
        storage.crash(at: storage.callCount)
        let error = try storageError { try file.storeBytes(run(2, 2048), at: 0, surface: .mapped) }
        #expect(error?.errno == .ioError)
        #expect(storage.isCrashed)
        #expect(storage.calls.last?.surface == (isMapped ? .mapped : .positional))
        let killed = try Set(Self.samples.map { try storage.killImage($0).bytes(of: "/f") })
        #expect(killed.isSuperset(of: [run(1, 2048), run(2, 2048)]))
        // A process that is killed leaves a beginning; a machine that loses power any sectors.
        for state in killed { #expect(state == state.sorted(by: >)) }
        #expect(killed.contains { Set($0) == [1, 2] })
        let lost = try states(storage)
        #expect(lost.contains { $0 != $0.sorted(by: >) })
        #expect(lost.count > 20)
    }

    @Test("after the crash every call throws, in files too that were open")
    func everythingIsDead() throws {
        let storage = SimulatedStorage()
        let file = try storage.make("/f", run(1, 10))
        storage.crash()
        #expect(try storageError { _ = try file.size() }?.errno == .ioError)
        #expect(try storageError { try file.sync() }?.errno == .ioError)
        #expect(try storageError { _ = try storage.list("/") }?.errno == .ioError)
        #expect(try storageError { try file.close() }?.errno == .ioError)
        let count = storage.callCount
        file.dropCache()
        #expect(storage.callCount == count)
        #expect(try storage.killImage(.nothingPending).bytes(of: "/f") == run(1, 10))
    }

    @Test("the end of a process takes nothing, but does not make anything durable")
    func killKeepsEverything() throws {
        let storage = SimulatedStorage()
        let file = try storage.make("/f", run(1, 3000))
        let lock = try storage.lock("/lock", holder: "me")
        for image in Self.samples {
            let killed = storage.killImage(image)
            #expect(try killed.bytes(of: "/f") == run(1, 3000))
            #expect(try killed.lockHolder("/lock") == nil)
            #expect(try killed.open("/f", for: .reading).identity == file.identity)
        }
        let killed = storage.killImage(.sampled(1))
        #expect(try #require(killed.machine.boot) == #require(storage.machine.boot))
        #expect(killed.hasPending)
        #expect(try killed.powerLossImage(.nothingPending).list("/").isEmpty)
        try killed.open("/f", for: .writing).sync()
        try killed.syncDirectory("/")
        let lost = killed.powerLossImage(.nothingPending)
        #expect(try lost.bytes(of: "/f") == run(1, 3000))
        #expect(try #require(lost.machine.boot) != #require(storage.machine.boot))
        #expect(!lost.hasPending)
        _ = try lost.lock("/lock", holder: "next")
        withExtendedLifetime(lock) {}
    }

    @Test("images are the same for the same seed and leave their storage alone")
    func images() throws {
        let storage = SimulatedStorage(seed: 9)
        let file = try storage.make("/f", run(1, 3000))
        try file.storeBytes(run(2, 3000), at: 0)
        try storage.syncDirectory("/")
        for image in Self.samples.prefix(20) {
            let first = storage.powerLossImage(image)
            let second = storage.powerLossImage(image)
            #expect(try first.bytes(of: "/f") == second.bytes(of: "/f"))
            #expect(try #require(first.machine.boot) == #require(second.machine.boot))
            #expect(first.machine.random() == second.machine.random())
            try first.open("/f", for: .writing).writeBytes([9], at: 0)
            #expect(try storage.bytes(of: "/f") == run(2, 3000))
        }
    }
}
