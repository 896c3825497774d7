import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// Archives of real segments, written, read back, and damaged.
@Suite(.timeLimit(.minutes(10))) struct ArchiveTests {
    private struct Store {
        let storage: SimulatedStorage
        let directory: LogDirectory
        let manifest: Manifest
        let events: [LogEvent]

        /// Units of many runs in segments of 64 KiB, some events larger than a block.
        init(seed: UInt64, units: Int = 400, large: Int = 0) throws {
            storage = SimulatedStorage(seed: seed)
            directory = LogDirectory(root: "/a.loom")
            var options = LogOptions(durability: .off)
            options.driver = .inline
            options.firstSegmentBytes = 64 << 10
            options.segmentBytesMax = 64 << 10
            let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
            var (random, positions) = (SplitMix(seed: seed), [RunID: UInt64]())
            for number in 0..<units {
                // Names that are equal by Unicode and differ in bytes are two runs.
                let names = ["caf\u{e9}", "cafe\u{301}", "a", "b\(number / 40)", "z"]
                let run = try RunID(names[Int(random.next() % 5)])
                var unit = RecordUnit(
                    run: run, epoch: 1 + UInt64(number / 150),
                    position: positions[run, default: 0])
                for _ in 0..<(1 + random.next() % 3) {
                    let size = random.next() % 40 == 0 ? 40 << 10 : Int(random.next() % 300)
                    unit.append(RecordUnit.body(number, size: size))
                    positions[run, default: 0] += 1
                }
                try writer.append(unit)
            }
            if large > 0 {
                var unit = RecordUnit(
                    run: try RunID("a"), epoch: 9, position: try positions[RunID("a"), default: 0])
                unit.append(RecordUnit.body(1, size: large))
                try writer.append(unit)
            }
            try writer.append(.numbered(0, run: "last", size: 60 << 10))
            try writer.append(.numbered(1, run: "last", size: 60 << 10))
            try writer.close()
            manifest = try ManifestStore(directory: directory, storage: storage).load().manifest
            var events: [LogEvent] = []
            let end = manifest.segments.last?.firstSequence ?? 0
            try LogReader(path: "/a.loom", storage: storage).scan {
                if $0.sequence < end { events.append($0) }
            }
            self.events = events
        }

        func build() throws -> ManifestSegment {
            try ArchiveBuilding(
                directory: directory, storage: storage, semantics: CountingSemantics()
            ).build(0..<(manifest.segments.count - 1), of: manifest, as: 1000)
        }

        func reader(_ entry: ManifestSegment) throws -> ArchiveReader {
            try ArchiveReader(
                file: storage.open(directory.archive(1000), for: .reading), entry: entry,
                storeID: manifest.storeID)
        }
    }

    private func all(_ events: inout ArchiveEvents) throws -> [ArchivedEvent] {
        var all: [ArchivedEvent] = []
        while let event = try events.next() { all.append(event) }
        return all
    }

    @Test("an archive holds the events of its segments, run by run", arguments: 1...6)
    func events(seed: UInt64) throws {
        let store = try Store(seed: seed, large: seed == 1 ? 9 << 20 : 0)
        #expect(store.manifest.segments.count > 3)
        let entry = try store.build()
        #expect(entry.eventCount == UInt64(store.events.count))
        #expect(entry.endSequence - entry.firstSequence == entry.eventCount)
        let reader = try store.reader(entry)
        let runs = Dictionary(grouping: store.events, by: \.run)
        #expect(reader.seal.runCount == UInt64(runs.count))
        for (run, expected) in runs {
            let (row, number) = try #require(try reader.row(of: run))
            #expect(row.firstPosition == expected.first?.position)
            #expect(row.endPosition == expected.last.map { $0.position + 1 })
            #expect(row.summary.starts(with: "\(expected.count) events ".utf8))
            #expect(try reader.text(row.loop) == "loop \(expected.count % 3)")
            let label = try #require(row.labels.first)
            #expect(try reader.text(label.value)?.utf8.elementsEqual(run.rawValue.utf8) == true)
            let key = KeyFingerprint(kind: 1, key: Array("k".utf8))
            let starts = try reader.calls(of: key, runRow: number).map(\.start)
            #expect(starts == (expected.count % 5 == 3 ? [] : [0]))
            for first in [0, 1, expected.count / 2, expected.count - 1, expected.count] {
                let position = expected[0].position + UInt64(first)
                var events = try reader.events(of: row, from: position)
                let found = try all(&events)
                let wanted = expected.dropFirst(first)
                #expect(found.map(\.body) == wanted.map(\.body))
                #expect(found.map(\.sequence) == wanted.map(\.sequence))
                #expect(found.map(\.position) == wanted.map(\.position))
                #expect(found.map(\.epoch) == wanted.map(\.epoch))
            }
        }
        #expect(try reader.row(of: RunID("none")) == nil)
        #expect(try reader.row(of: RunID("last")) == nil || runs[RunID("last")] != nil)
    }

    @Test("the block table finds a place, and counts what is before it")
    func blockTable() throws {
        let store = try Store(seed: 7)
        let reader = try store.reader(store.build())
        var (walk, number, end) = (reader.walk(), 0, SegmentHeader.byteCount)
        while let (block, offset) = try walk.next() {
            guard block.header.kind == .events else { continue }
            if block.header.flags.contains(.continues) { continue }
            let (row, place, rowEnd) = try reader.blockRow(number)
            #expect(place == end && rowEnd > offset)
            let events = try ArchiveUnit.events(in: block.payload.rawSpan, at: 0) { _, _ in true }
            let last = try #require(events.last)
            #expect(row.eventCount == UInt32(events.count))
            #expect(row.endPosition == last.position + 1)
            let ofRun = store.events.filter { $0.run == last.run && $0.position <= last.position }
            #expect(row.counts.steps == UInt64(ofRun.count))
            #expect(row.eventsSinceWholeState == UInt64((ofRun.count - 1) % 10 + 1))
            (number, end) = (number + 1, rowEnd)
        }
        #expect(number > 5 && number == reader.directory.rowCount(of: .blocks))
    }

    @Test("a byte that was changed is found wherever it is, and nothing wrong is told")
    func damage() throws {
        let store = try Store(seed: 3, units: 60)
        let entry = try store.build()
        let path = store.directory.archive(1000)
        let file = try store.storage.open(path, for: .writing)
        let bytes = try file.readBytes(count: Int(entry.validEnd), at: 0)
        let runs = Dictionary(grouping: store.events, by: \.run)
        var found = 0
        for index in bytes.indices {
            try file.writeBytes([bytes[index] ^ (1 << UInt8(index % 8))], at: index)
            let isFound = Result {
                let reader = try store.reader(entry)
                var walk = reader.walk()
                while try walk.next() != nil {}
            }
            // Whoever reads runs and not blocks gets the right answer or an error.
            for (run, expected) in runs where index % 7 == 0 {
                let read = Result {
                    let reader = try store.reader(entry)
                    guard let (row, _) = try reader.row(of: run) else { return [[UInt8]]() }
                    var events = try reader.events(of: row, from: 0)
                    return try all(&events).map(\.body)
                }
                if let answer = try? read.get() { #expect(answer == expected.map(\.body)) }
            }
            if case .failure(let error as LogError) = isFound {
                found += 1
                #expect(error.code == .corrupt || error.code == .unsupportedVersion)
            }
            try file.writeBytes([bytes[index]], at: index)
        }
        // All but those bytes of the header that say nothing.
        #expect(found > bytes.count - 16)
    }

    @Test("a full disk or a crash while an archive is made leaves the log as it was")
    func failures() throws {
        let dry = try Store(seed: 4, units: 100)
        let first = dry.storage.calls.count
        _ = try dry.build()
        let count = dry.storage.calls.count - first
        #expect(count > 4)
        for index in 0..<count {
            let store = try Store(seed: 4, units: 100)
            let names = try store.storage.list(store.directory.segments)
            store.storage.failCall(at: store.storage.calls.count + index, with: .noSpace)
            do {
                // A file that cannot be closed is whole all the same.
                let entry = try store.build()
                #expect([.close, .dropCache].contains(dry.storage.calls[first + index].kind))
                #expect(try store.reader(entry).seal.eventCount == UInt64(store.events.count))
            } catch {
                let left = try store.storage.list(store.directory.segments)
                #expect(left.sorted() == names.sorted())
            }
            #expect(try readAll("/a.loom", storage: store.storage).count > store.events.count)
        }
    }
}
