import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// A log of random runs in small segments, and archives of them.
final class ArchiveStore {
    let storage: SimulatedStorage
    let directory = LogDirectory(root: "/a.loom")
    let manifest: Manifest
    /// The events of all ended segments, in order of sequence.
    let events: [LogEvent]
    var semantics = CountingSemantics()
    private var nextID: UInt64 = 1000

    /// Runs of every shape: long, short, in some segments only, and a name that is used again from
    /// position 0 on.
    init(seed: UInt64, units: Int = 500, large: Int = 0) throws {
        storage = SimulatedStorage(seed: seed)
        var options = LogOptions(durability: .off)
        options.driver = .inline
        options.firstSegmentBytes = 64 << 10
        options.segmentBytesMax = 64 << 10
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        var (random, positions) = (SplitMix(seed: seed), [RunID: UInt64]())
        var epochs: [RunID: UInt64] = [:]
        for number in 0..<units {
            let names = [
                "long", "long", "m\(number / 25)", "café", "cafe\u{301}", "n\(number / 90)",
                "again", number < units / 2 ? "early" : "late", "z",
            ]
            let run = try RunID(names[Int(random.next() % UInt64(names.count))])
            if run.rawValue == "again", random.next() % 9 == 0 {
                epochs[run, default: 1] += 1
                positions[run] = 0
            }
            var unit = RecordUnit(
                run: run, epoch: epochs[run, default: 1], position: positions[run, default: 0])
            for _ in 0..<(1 + random.next() % 4) {
                let isLarge = random.next() % 60 == 0
                let size = isLarge ? 40 << 10 : Int(random.next() % (seed % 2 == 0 ? 3000 : 200))
                unit.append(Self.body(number, size, &random))
                positions[run, default: 0] += 1
            }
            if large > 0, number == units / 2 {
                unit.append(RecordUnit.body(number, size: large))
                positions[run, default: 0] += 1
            }
            try writer.append(unit)
        }
        try writer.append(.numbered(0, run: "last", size: 60 << 10))
        try writer.append(.numbered(1, run: "last", size: 60 << 10))
        try writer.close()
        manifest = try ManifestStore(directory: directory, storage: storage).load().manifest
        let end = manifest.segments.last?.firstSequence ?? 0
        var events: [LogEvent] = []
        try LogReader(path: "/a.loom", storage: storage).scan {
            if $0.sequence < end { events.append($0) }
        }
        self.events = events
    }

    /// Half of it noise, which no compressor makes smaller.
    private static func body(_ number: Int, _ size: Int, _ random: inout SplitMix) -> [UInt8] {
        var body = RecordUnit.body(number, size: size / 2)
        while body.count < size { body.append(UInt8(truncatingIfNeeded: random.next())) }
        return body
    }

    var endedCount: Int { manifest.segments.count - 1 }

    private func newID() -> UInt64 {
        nextID += 1
        return nextID
    }

    /// Archives some segments; the archives of those before are told.
    func build(_ segments: Range<Int>, after older: [ManifestSegment] = []) throws
        -> ManifestSegment
    {
        try ArchiveBuilding(directory: directory, storage: storage, semantics: semantics)
            .build(segments, of: manifest, as: newID(), beside: try neighbours(older, []))
    }

    /// Archives the segments in groups of random size.
    func buildAll(_ random: inout SplitMix) throws -> [ManifestSegment] {
        var (start, entries) = (0, [ManifestSegment]())
        while start < endedCount {
            let end = min(endedCount, start + 1 + Int(random.next() % 3))
            entries.append(try build(start..<end, after: entries))
            start = end
        }
        return entries
    }

    /// Merges some archives of a row of them.
    func merge(_ range: Range<Int>, of entries: [ManifestSegment]) throws -> ManifestSegment {
        try ArchiveMerging(directory: directory, storage: storage, semantics: semantics).merge(
            Array(entries[range]), of: manifest, as: newID(), tier: 1,
            beside: try neighbours(
                Array(entries[..<range.lowerBound]), Array(entries[range.upperBound...])))
    }

    func reader(_ entry: ManifestSegment) throws -> ArchiveReader {
        try ArchiveReader(
            file: storage.open(directory.archive(entry.segmentID), for: .reading), entry: entry,
            storeID: manifest.storeID)
    }

    func neighbours(
        _ older: [ManifestSegment], _ newer: [ManifestSegment]
    ) throws -> ArchiveNeighbours {
        let (older, newer) = (try older.map(reader), try newer.map(reader))
        return ArchiveNeighbours(
            past: { (run) throws(LogError) in
                for reader in older.reversed() {
                    if let row = try reader.row(of: run)?.row { return Past(row: row) }
                }
                return nil
            },
            newest: { (run) throws(LogError) in
                for reader in newer.reversed() {
                    if let row = try reader.row(of: run)?.row { return row.summary }
                }
                return nil
            })
    }

    /// The newest row of older archives; counting needs no more.
    private struct Past: ArchivedPast {
        let row: RunTableRow

        func events(
            _ positions: Range<UInt64>,
            _ body: (_ epoch: UInt64, _ position: UInt64, RawSpan) throws(LogError) -> Bool
        ) throws(LogError) {}

        func calls(of key: KeyFingerprint) throws(LogError) -> [ArchivedRun.Call] { [] }
    }

    /// Everything of a file, to be changed.
    func bytes(of entry: ManifestSegment) throws -> [UInt8] {
        try storage.open(directory.archive(entry.segmentID), for: .reading)
            .readBytes(count: Int(entry.validEnd), at: 0)
    }
}

/// What the tables of an archive tell of a run, wherever its blocks are.
struct ToldRun: Hashable {
    var row: RunTableRow
    var loop: String?
    var labels: [[String?]]
    var calls: [KeyTableRow]
}

extension ArchiveReader {
    /// All runs of the table.
    func told() throws -> [ToldRun] {
        let keys = try allRows(of: KeyTableRow.self)
        return try allRows(of: RunTableRow.self).enumerated().map { number, row in
            var bare = row
            (bare.firstBlock, bare.blocksMore, bare.loop, bare.labels) = (0, 0, 0, [])
            return ToldRun(
                row: bare, loop: try text(row.loop),
                labels: try row.labels.map { [try text($0.name), try text($0.value)] },
                calls: keys.filter { $0.runRow == UInt32(number) })
        }
    }

    /// All events of the runs of the table, found by their rows, from a position on.
    func read(_ row: RunTableRow, from position: UInt64 = 0) throws -> [ArchivedEvent] {
        var (events, all) = (try events(of: row, from: position), [ArchivedEvent]())
        while let event = try events.next() { all.append(event) }
        return all
    }

    /// The payloads of all table blocks and of the directory.
    func tables() throws -> [[UInt8]] {
        var (walk, tables) = (walk(), [[UInt8]]())
        while let (block, _) = try walk.next() {
            if block.header.kind != .events { tables.append(block.payload) }
        }
        return tables
    }
}
