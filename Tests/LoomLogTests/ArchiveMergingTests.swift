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

    @Test(
        "archives of archives hold what one made at once holds",
        arguments: 1...(CrashTests.isHeavy ? 12 : 5) as ClosedRange<UInt64>)
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

    @Test("runs are deleted when archives are rewritten, and others stay as they are")
    func deletion() throws {
        let store = try ArchiveStore(seed: 6)
        var random = SplitMix(seed: 6)
        let entries = try store.buildAll(&random)
        store.semantics.deleted = ["again", "long", "m7", "café"]
        store.semantics.hidden = ["z", "m8"]
        let left = store.events.filter { !store.semantics.deleted.contains($0.run.rawValue) }
        for range in [0..<entries.count, 0..<1] {
            let end = entries[range.upperBound - 1].endSequence
            let merged = try store.merge(range, of: entries)
            let reader = try store.reader(merged)
            let rows = try reader.allRows(of: RunTableRow.self)
            var found: [ArchivedEvent] = []
            for row in rows {
                let events = try reader.read(row)
                #expect(row.flags.contains(.deleted) == events.isEmpty)
                found += events
            }
            let wanted = left.filter { $0.sequence < end }
            #expect(found.sorted { $0.sequence < $1.sequence }.map(\.body) == wanted.map(\.body))
            #expect(merged.eventCount == UInt64(wanted.count))
            #expect(merged.endSequence == end)
            try expectBlocks(reader, events: wanted)
            // A rewrite of what is as it should be changes nothing.
            let again = try store.reader(store.merge(0..<1, of: [merged]))
            #expect(try again.told() == reader.told())
        }
    }

    @Test("a damaged archive stops a merge with its name and a place, and nothing is left behind")
    func damage() throws {
        let store = try ArchiveStore(seed: 5, units: 60)
        let half = store.endedCount / 2
        let first = try store.build(0..<half)
        let entries = [first, try store.build(half..<store.endedCount, after: [first])]
        let names = try store.storage.list(store.directory.segments).sorted()
        for (index, entry) in entries.enumerated() {
            let path = store.directory.archive(entry.segmentID)
            let file = try store.storage.open(path, for: .writing)
            let bytes = try store.bytes(of: entry)
            for place in stride(from: SegmentHeader.byteCount + index, to: bytes.count, by: 31) {
                try file.writeBytes([bytes[place] ^ (1 << UInt8(place % 8))], at: place)
                #expect {
                    _ = try store.merge(0..<2, of: entries)
                } throws: { error in
                    guard let error = error as? LogError else { return false }
                    return error.path == path && error.offset != nil
                }
                try file.writeBytes([bytes[place]], at: place)
            }
        }
        #expect(try store.storage.list(store.directory.segments).sorted() == names)
        // Archives that are not adjacent, or in another order.
        #expect(throws: LogError.self) { try store.merge(0..<2, of: entries.reversed()) }
        #expect(throws: LogError.self) { try store.merge(0..<0, of: entries) }
        #expect(try store.storage.list(store.directory.segments).sorted() == names)
        _ = try store.merge(0..<2, of: entries)
    }

    @Test("parts with tables of another version, or without summaries, are gone through again")
    func otherVersions() throws {
        let store = try ArchiveStore(seed: 8, units: 200)
        let half = store.endedCount / 2
        let first = try store.build(0..<half)
        store.semantics.summaryVersion = 8
        let entries = [first, try store.build(half..<store.endedCount, after: [first])]
        let merged = try store.reader(store.merge(0..<2, of: entries))
        let whole = try store.reader(store.build(0..<store.endedCount))
        try expect(merged, like: whole, events: store.events)
    }
}
