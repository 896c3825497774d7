import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// Archives of what no runner writes, and of what is as large as the format allows.
@Suite(.timeLimit(.minutes(10))) struct ArchiveEdgeTests {
    /// A log of some units, all in ended segments, and the archive of them.
    private func archived(
        _ units: [RecordUnit]
    ) throws -> (reader: ArchiveReader, events: [LogEvent]) {
        let storage = SimulatedStorage(seed: 1)
        let directory = LogDirectory(root: "/a.loom")
        var options = LogOptions(durability: .off)
        options.driver = .inline
        options.firstSegmentBytes = 64 << 10
        options.segmentBytesMax = 64 << 10
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        for unit in units { try writer.append(unit) }
        // A unit that fits in no present segment begins another.
        var last = RecordUnit(run: try RunID("last"), epoch: 1, position: 0)
        last.append(Self.noise(100 << 10))
        try writer.append(last)
        try writer.close()
        let manifest = try ManifestStore(directory: directory, storage: storage).load().manifest
        let entry = try ArchiveBuilding(
            directory: directory, storage: storage, semantics: PlainSemantics()
        ).build(0..<(manifest.segments.count - 1), of: manifest, as: 1000)
        let reader = try ArchiveReader(
            file: storage.open(directory.archive(1000), for: .reading), entry: entry,
            storeID: manifest.storeID)
        var events: [LogEvent] = []
        try LogReader(path: "/a.loom", storage: storage).scan {
            if $0.sequence < entry.endSequence { events.append($0) }
        }
        return (reader, events)
    }

    private static func noise(_ count: Int) -> [UInt8] {
        var random = SplitMix(seed: 3)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    private func read(
        _ reader: ArchiveReader, _ run: String, from position: UInt64
    ) throws -> [UInt64] {
        let row = try #require(try reader.row(of: RunID(run))?.row)
        var (events, sequences) = (try reader.events(of: row, from: position), [UInt64]())
        while let event = try events.next() { sequences.append(event.sequence) }
        return sequences
    }

    @Test("events whose positions fall, jump or end the numbers are archived and found")
    func positions() throws {
        var units: [RecordUnit] = []
        for (index, position) in ([9, 3, 4, 3, 12, 5, .max, 6] as [UInt64]).enumerated() {
            var unit = RecordUnit(run: try RunID("r"), epoch: 1, position: position)
            unit.append(RecordUnit.body(index, size: 30 << 10))
            units.append(unit)
        }
        let (reader, events) = try archived(units)
        for first in [0, 3, 4, 5, 6, 9, 10, 12, 13, .max] as [UInt64] {
            let wanted = events.filter { $0.position >= first }.map(\.sequence)
            #expect(try read(reader, "r", from: first) == wanted, "from \(first)")
        }
    }

    @Test("a run of many short events begins with a block of its own")
    func shortEvents() throws {
        var unit = RecordUnit(run: try RunID("b"), epoch: 1, position: 0)
        for _ in 0..<12_000 { unit.append([1]) }
        let (reader, _) = try archived([.numbered(0, run: "a", size: 10), unit])
        #expect(try reader.row(of: RunID("a"))?.row.blocksMore == 0)
        #expect(try reader.row(of: RunID("b"))?.row.firstBlock == 1)
    }

    @Test("an event of more than a block that no compressor makes smaller is archived")
    func largeNoise() throws {
        var unit = RecordUnit(run: try RunID("r"), epoch: 1, position: 0)
        unit.append(Self.noise(9 << 20))
        let (reader, events) = try archived([unit])
        #expect(try read(reader, "r", from: 0) == events.map(\.sequence))
    }

    @Test("blocks other than events carry the end sequence of the archive")
    func firstSequences() throws {
        let (reader, _) = try archived([.numbered(0, run: "r", size: 10)])
        var walk = reader.walk()
        while let (block, _) = try walk.next() {
            guard block.header.kind != .events else { continue }
            #expect(block.header.firstSequence == reader.seal.endSequence)
        }
    }

    @Test("a unit that never ends is refused before it is in memory")
    func endlessUnit() throws {
        let storage = SimulatedStorage(seed: 2)
        let file = try storage.create("/x.lla")
        let header = SegmentHeader(
            role: .archive, storeID: StoreID(low: 1, high: 2), segmentID: 1, writerID: 1,
            writerEpoch: 1, firstSequence: 1, salt: 5, predecessor: .none, created: 1)
        var output = try ArchiveOutput(file, header)
        var rows = BlockRows()
        let run = rows.declare(try RunID("r"))
        let body = [UInt8](repeating: 0, count: FormatLimits.unitBytesMax + (16 << 20))
        rows.append(run: run, epoch: 1, position: 0, sequence: 1, body.rawSpan)
        let length = try output.write(rows)
        try output.flush()
        var events = ArchiveEvents(
            ArchiveBlocks(file: file, salt: 5), run: try RunID("r"), from: 0,
            at: SegmentHeader.byteCount, end: SegmentHeader.byteCount + length)
        do {
            _ = try events.next()
            Issue.record("was read")
        } catch {
            #expect(error.description.contains("the size of a unit"))
        }
    }
}
