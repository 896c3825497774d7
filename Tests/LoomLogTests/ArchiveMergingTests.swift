import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// Archives made of archives.
@Suite(.timeLimit(.minutes(10))) struct ArchiveMergingTests {
    /// Compares an archive with the events that it must hold, and its tables with those of an
    /// archive that was made at once.
    private func expect(
        _ merged: ArchiveReader, like whole: ArchiveReader, events: [LogEvent]
    ) throws {
        #expect(try merged.told() == whole.told())
        let rows = try merged.allRows(of: RunTableRow.self)
        let runs = Dictionary(grouping: events, by: \.run)
        #expect(rows.map(\.name) == runs.keys.sorted())
        for row in rows {
            let expected = try #require(runs[row.name])
            let found = try merged.read(row)
            #expect(found.map(\.body) == expected.map(\.body))
            #expect(found.map(\.sequence) == expected.map(\.sequence))
            #expect(found.map(\.position) == expected.map(\.position))
            #expect(found.map(\.epoch) == expected.map(\.epoch))
            for event in expected where event.sequence % 7 == 0 {
                let found = try merged.read(row, from: event.position).map(\.sequence)
                let wanted = expected.filter { $0.position >= event.position }.map(\.sequence)
                #expect(found == wanted)
            }
        }
        try expectBlocks(merged, events: events)
    }

    /// Compares the block table with the events.
    private func expectBlocks(_ reader: ArchiveReader, events: [LogEvent]) throws {
        let rows = try reader.allRows(of: BlockTableRow.self)
        let runs = Dictionary(grouping: events, by: \.run)
        var (walk, unit, number) = (reader.walk(), [UInt8](), 0)
        while let (block, _) = try walk.next() {
            guard block.header.kind == .events else { continue }
            unit += block.payload
            if block.header.flags.contains(.continues) { continue }
            let found = try ArchiveUnit.events(in: unit.rawSpan, at: 0) { _, _ in true }
            unit = []
            let last = try #require(found.last)
            let before = try #require(runs[last.run]).prefix { $0.sequence <= last.sequence }
            let row = rows[number]
            #expect(row.counts.steps == UInt64(before.count), "block \(number) of \(last.run)")
            #expect(row.endPosition == before.map(\.position).max().map { $0 + 1 })
            let whole = before[(before.count - 1) / 10 * 10]
            #expect(row.eventsSinceWholeState == row.endPosition - whole.position)
            number += 1
        }
        #expect(number == rows.count)
    }

    @Test("archives of archives hold what one made at once holds", arguments: 1...12)
    func merges(seed: UInt64) throws {
        let store = try ArchiveStore(seed: seed, large: seed == 3 ? 9 << 20 : 0)
        var random = SplitMix(seed: seed ^ 99)
        var entries = try store.buildAll(&random)
        #expect(entries.count > 2)
        let whole = try store.reader(store.build(0..<store.endedCount))
        try expect(whole, like: whole, events: store.events)
        while entries.count > 1 {
            let count = min(entries.count, 1 + Int(random.next() % 8))
            let start = Int(random.next() % UInt64(entries.count - count + 1))
            let range = start..<(start + count)
            let merged = try store.merge(range, of: entries)
            #expect(merged.eventCount == entries[range].reduce(0) { $0 + $1.eventCount })
            #expect(merged.firstSequence == entries[range].first?.firstSequence)
            #expect(merged.endSequence == entries[range].last?.endSequence && merged.tier == 1)
            entries.replaceSubrange(range, with: [merged])
        }
        let merged = try store.reader(entries[0])
        #expect(merged.seal.leastTime == whole.seal.leastTime)
        #expect(merged.seal.greatestTime == whole.seal.greatestTime)
        try expect(merged, like: whole, events: store.events)
    }
}
