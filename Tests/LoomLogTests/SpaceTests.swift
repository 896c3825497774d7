import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

/// What a log takes of the disk, and what it does when the disk is nearly full.
@Suite struct SpaceTests {
    private static let path: FilePath = "/space.loom"

    private func options(first: Int = 256 << 10, max: Int = 1 << 20) -> LogOptions {
        var options = LogOptions(durability: .normal)
        options.driver = .inline
        options.firstSegmentBytes = first
        options.segmentBytesMax = max
        return options
    }

    /// A unit that does not compress.
    private func noise(_ number: Int, size: Int) throws -> RecordUnit {
        var state = UInt64(number) &* 0x9E37_79B9_7F4A_7C15 | 1
        var body: [UInt8] = []
        body.reserveCapacity(size + 8)
        while body.count < size {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            for shift in 0..<8 { body.append(UInt8(truncatingIfNeeded: state >> (8 * shift))) }
        }
        var unit = RecordUnit(run: try RunID("noise"), epoch: 1, position: UInt64(number))
        unit.append(body)
        return unit
    }

    /// Bytes of all segment files.
    private func segmentBytes(_ log: FilePath, _ storage: any Storage) throws -> Int {
        let folder = log.appending(FileName.segments)
        return try storage.list(folder).reduce(0) { sum, name in
            sum + (try storage.open(folder.appending(name), for: .reading).size())
        }
    }

    /// One large unit that found no room made every later roll ask for as much.
    @Test("a unit refused for want of space changes nothing for the units after it")
    func refusedUnit() throws {
        let storage = SimulatedStorage(capacity: 4 << 20)
        let writer = try LogWriter(path: Self.path, options: options(), storage: storage)
        try writer.append(noise(0, size: 1000))
        let large = try noise(1, size: 6 << 20)
        let error = #expect(throws: LogError.self) { try writer.append(large) }
        #expect(error?.code == .outOfSpace)
        for number in 1..<1500 { try writer.append(noise(number, size: 1000)) }
    }

    /// The space of the next segment was filled and freed ten times a second while nobody wrote.
    @Test("on a nearly full disk nothing is filled for a segment that nobody needs yet")
    func idleOnFullDisk() throws {
        let storage = SimulatedStorage(capacity: 2300 << 10)
        let writer = try LogWriter(
            path: Self.path, options: options(first: 1 << 20), storage: storage)
        for number in 0..<600 { try writer.append(noise(number, size: 1000)) }
        let start = storage.callCount
        for _ in 0..<600 {
            storage.advanceClock(nanoseconds: 100_000_000)
            writer.runTimers()
        }
        let calls = storage.calls[start...]
        #expect(calls.filter { $0.kind == .fillZeros }.count == 0)
        // After 1 second, then 2, 4 and so on.
        #expect((4...6).contains(calls.filter { $0.kind == .availableBytes }.count))
        // Who needs the space gets it.
        for number in 600..<1300 { try writer.append(noise(number, size: 1000)) }
        try writer.close()
        #expect(try readAll(Self.path, storage: storage).count == 1300)
    }

    /// 300 short drivers, killed, left 281 MB for 6.5 MB of events.
    @Test("what an unclean exit leaves blank is given back by the next opening")
    func killedDrivers() throws {
        let folder = try TemporaryFolder()
        for round in 0..<20 {
            let writer = try LogWriter(path: folder.log, options: options(first: 1 << 20))
            for number in 0..<3 {
                try writer.append(noise(round * 3 + number, size: 5000))
            }
        }
        let events = try readAll(folder.log)
        #expect(events.map(\.position) == Array(0..<60))
        let bytes = try segmentBytes(folder.log, POSIXStorage())
        // The last one is as its writer left it.
        #expect(bytes < 20 * (3 * 5000 + 4 * 4096) + (1 << 20))
        #expect(try readAll(folder.log) == events)
    }

    /// A log of a few events took a megabyte.
    @Test("a closed log is as small as what it holds, and goes on in the same segment")
    func closedLog() throws {
        let folder = try TemporaryFolder()
        let storage = POSIXStorage()
        for round in 0..<10 {
            let writer = try LogWriter(path: folder.log, options: options(first: 1 << 20))
            #expect(writer.recovery.ending == (round == 0 ? .created : .clean))
            try writer.commit(noise(round, size: 500))
            try writer.close()
            let bytes = try segmentBytes(folder.log, storage)
            #expect(bytes <= (round + 1) * 8192 + 16384)
        }
        let events = try readAll(folder.log)
        #expect(events.map(\.position) == Array(0..<10))
        #expect(Set(events.map(\.segmentID)) == [1])
    }

    /// A segment that a close had cut down would otherwise be sealed by the next visit.
    @Test("a closed segment grows again in steps, up to the size that it had")
    func growth() throws {
        let storage = SimulatedStorage()
        var count = 0
        func append(_ units: Int, to writer: LogWriter) throws {
            for _ in 0..<units {
                try writer.append(noise(count, size: 1000))
                count += 1
            }
        }
        let second = Self.path.appending(FileName.segments).appending(FileName.segment(2))
        func size() throws -> Int { try storage.open(second, for: .reading).size() }
        let writer = try LogWriter(path: Self.path, options: options(), storage: storage)
        try append(300, to: writer)
        try writer.close()
        let closed = try size()
        #expect(closed < 100 << 10)
        let reopened = try LogWriter(path: Self.path, options: options(), storage: storage)
        #expect(reopened.recovery.ending == .clean)
        #expect(try size() == closed)
        try append(10, to: reopened)
        #expect(try size() == closed + (256 << 10))
        try append(2000, to: reopened)
        try reopened.close()
        let events = try readAll(Self.path, storage: storage)
        #expect(events.map(\.position) == Array(0..<UInt64(count)))
        // 256 KiB, 512 KiB, then 1 MiB each.
        #expect(Set(events.map(\.segmentID)) == [1, 2, 3, 4])
        #expect(events.filter { $0.segmentID == 2 }.count > 450)
    }

    /// A full disk left no room for the manifest that names the end; the log was recovered.
    @Test("a log on a full disk is closed in good order, and gives its space back first")
    func closeOnFullDisk() throws {
        let storage = SimulatedStorage(capacity: 2 << 20)
        let writer = try LogWriter(path: Self.path, options: options(), storage: storage)
        for number in 0..<100 { try writer.append(noise(number, size: 1000)) }
        let ballast = try storage.create("/ballast")
        #expect(throws: StorageError.self) { try ballast.fillZeros(from: 0, to: 4 << 20) }
        #expect(try storage.availableBytes(at: "/") < 4096)
        try writer.close()
        let reopened = try LogWriter(path: Self.path, options: options(), storage: storage)
        #expect(reopened.recovery.ending == .clean)
        #expect(reopened.position.nextSequence == 101)
        // There is room for a small step of growth, not for a segment.
        try reopened.append(noise(100, size: 5000))
        try reopened.close()
        let events = try readAll(Self.path, storage: storage)
        #expect(Set(events.map(\.segmentID)) == [1])
    }
}
