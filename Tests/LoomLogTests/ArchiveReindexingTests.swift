import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// Tables of archives made anew from the blocks.
@Suite(.timeLimit(.minutes(10))) struct ArchiveReindexingTests {
    private func reindex(
        _ entry: ManifestSegment, of store: ArchiveStore, as id: UInt64,
        after older: [ManifestSegment] = []
    ) throws -> ManifestSegment {
        try ArchiveReindexing(
            directory: store.directory, storage: store.storage, semantics: store.semantics
        ).build(
            entry, of: store.manifest, as: id, beside: try store.neighbours(older, []))
    }

    @Test(
        "the tables of an archive are those that its blocks give",
        arguments: 1...(CrashTests.isHeavy ? 8 : 4) as ClosedRange<UInt64>)
    func tables(seed: UInt64) throws {
        let store = try ArchiveStore(seed: seed, large: seed == 3 ? 9 << 20 : 0)
        store.semantics.deleted = seed % 2 == 0 ? ["again", "m3", "zz"] : []
        var random = SplitMix(seed: seed)
        let entries = try store.buildAll(&random)
        let middle = entries.count / 2
        let merged = [
            try store.merge(0..<entries.count, of: entries),
            try store.merge(middle..<entries.count, of: entries), entries[0],
            entries[entries.count - 1],
        ]
        let older = [[], Array(entries[..<middle]), [], Array(entries.dropLast())]
        for (number, entry) in merged.enumerated() {
            let again = try reindex(
                entry, of: store, as: 5000 + UInt64(number), after: older[number])
            let (a, b) = (try store.reader(entry), try store.reader(again))
            #expect(try a.tables() == b.tables(), "archive \(number)")
            #expect(try a.blockPayloads() == b.blockPayloads())
            #expect(again.eventCount == entry.eventCount && again.tier == entry.tier)
        }
    }

    @Test(
        "what is passed gives the bytes that it gives where every event is taken",
        arguments: 1...4 as ClosedRange<UInt64>)
    func passing(seed: UInt64) throws {
        let store = try ArchiveStore(seed: seed)
        var told: [[[UInt8]]] = []
        for passes in [true, false] {
            store.semantics.passes = passes
            var random = SplitMix(seed: seed)
            let entries = try store.buildAll(&random)
            let merged = try store.merge(0..<entries.count, of: entries)
            let again = try reindex(merged, of: store, as: passes ? 7001 : 7002)
            let archives = try (entries + [merged, again]).map(store.reader)
            told.append(try archives.flatMap { try $0.blockPayloads() + $0.tables() })
        }
        #expect(told[0] == told[1])
    }

    /// Rows of blocks waited for events of a deleted run that were never given, and got the counts
    /// of the next block.
    @Test("what is left out of a run that began anew moves no count")
    func leftOut() throws {
        for seed in [2, 4, 6] as [UInt64] {
            let store = try ArchiveStore(seed: seed, units: 900)
            let whole = try store.build(0..<store.endedCount)
            store.semantics.deletedEpoch = 1
            let reader = try store.reader(try reindex(whole, of: store, as: 7000))
            var (counts, checked) = ([RunID: UInt64](), 0)
            for (number, payload) in try reader.blockPayloads().enumerated() {
                var last: RunID?
                try ArchiveUnit.each(in: payload.rawSpan) { run, epoch, _, _, _ in
                    last = run
                    if run.rawValue != "again" || epoch > 1 { counts[run, default: 0] += 1 }
                }
                guard let last else { continue }
                let row = try reader.blockRow(number).row
                #expect(row.counts.steps == counts[last, default: 0], "seed \(seed), \(number)")
                checked += last.rawValue == "again" ? 1 : 0
            }
            #expect(checked > 1, "seed \(seed): the run has too few blocks")
        }
    }

    @Test("no byte behind the events is needed")
    func damage() throws {
        let store = try ArchiveStore(seed: 2, units: 40)
        let entry = try store.build(0..<store.endedCount)
        let reader = try store.reader(entry)
        let (tables, payloads) = (try reader.tables(), try reader.blockPayloads())
        let end = try reader.blockRow(reader.directory.rowCount(of: .blocks) - 1).end
        let file = try store.storage.open(reader.path, for: .writing)
        let bytes = try file.readBytes(count: Int(entry.validEnd), at: 0)
        for index in end..<bytes.count {
            try file.writeBytes([bytes[index] ^ (1 << UInt8(index % 8))], at: index)
            let again = try store.reader(reindex(entry, of: store, as: 9000 + UInt64(index)))
            #expect(try again.tables() == tables && again.blockPayloads() == payloads)
            try store.storage.remove(store.directory.archive(9000 + UInt64(index)))
            try file.writeBytes([bytes[index]], at: index)
        }
        // Not even that there is any.
        try file.truncate(to: end)
        let again = try store.reader(reindex(entry, of: store, as: 8000))
        #expect(try again.tables() == tables && again.blockPayloads() == payloads)
        // A damaged block of events is told with its place, and leaves nothing behind.
        let names = try store.storage.list(store.directory.segments)
        for index in stride(from: SegmentHeader.byteCount, to: end, by: 97) {
            try file.writeBytes([bytes[index] ^ 16], at: index)
            #expect {
                _ = try reindex(entry, of: store, as: 8001)
            } throws: { error in
                guard let error = error as? LogError, let offset = error.offset else {
                    return false
                }
                return error.path == reader.path && offset <= index && offset + 70_000 > index
            }
            try file.writeBytes([bytes[index]], at: index)
        }
        #expect(try store.storage.list(store.directory.segments).sorted() == names.sorted())
    }
}

extension ArchiveReader {
    /// What all blocks of events decode to.
    func blockPayloads() throws -> [[UInt8]] {
        var (walk, payloads) = (walk(), [[UInt8]]())
        while let (block, _) = try walk.next() {
            if block.header.kind == .events { payloads.append(block.payload) }
        }
        return payloads
    }
}
