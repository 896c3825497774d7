import LoomFormat
import LoomModel
import LoomRunner
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomRuns

/// Deleted runs, in live segments and in archives, and what begins anew under their names.
@Suite(.timeLimit(.minutes(5))) struct DeletedRunTests {
    private static let path: FilePath = "/a.loom"
    private let storage = SimulatedStorage(seed: 11)

    private func open() throws -> LogRunStore {
        var options = LogOptions(durability: .off)
        (options.driver, options.archivesSegments) = (.inline, false)
        (options.firstSegmentBytes, options.segmentBytesMax) = (64 << 10, 64 << 10)
        return try LogRunStore(path: Self.path, options: options, storage: storage)
    }

    /// Ends the segment that is written to, so that it can be archived.
    private func endSegment(_ store: LogRunStore, _ number: Int) throws {
        var unit = RecordUnit(run: try RunID("filler \(number)"), epoch: 1, position: 0)
        unit.append(RawRun.noise(number + 1, 80 << 10))
        try store.log.append(unit)
    }

    private var manifests: ManifestStore {
        ManifestStore(directory: LogDirectory(root: Self.path), storage: storage)
    }

    /// Archives every ended segment that is not archived yet, as an archiver does.
    private func archive() throws {
        let loaded = try manifests.load()
        let editor = ManifestEditor(loaded, store: manifests)
        let waiting = loaded.manifest.segments.indices.filter {
            let entry = loaded.manifest.segments[$0]
            return entry.role != .archive && entry.state != .active
        }
        guard let first = waiting.first, let last = waiting.last else { return }
        let directory = LogDirectory(root: Self.path)
        let range = first..<(last + 1)
        let entry = try ArchiveBuilding(
            directory: directory, storage: storage, semantics: RunIndexer()
        ).build(
            range, of: loaded.manifest, as: editor.reserveSegmentID(),
            beside: try ArchiveNeighbours(of: range, in: loaded.manifest, directory, storage))
        try editor.edit {
            $0.supersede(loaded.manifest.segments[range].map(\.segmentID), by: entry)
        }
    }

    /// Merges all archives into one.
    private func merge() throws {
        let loaded = try manifests.load()
        let editor = ManifestEditor(loaded, store: manifests)
        let count = loaded.manifest.segments.prefix { $0.role == .archive }.count
        let directory = LogDirectory(root: Self.path)
        let entries = Array(loaded.manifest.segments[..<count])
        let entry = try ArchiveMerging(
            directory: directory, storage: storage, semantics: RunIndexer()
        ).merge(
            entries, of: loaded.manifest, as: editor.reserveSegmentID(), tier: 1,
            beside: try ArchiveNeighbours(of: 0..<count, in: loaded.manifest, directory, storage))
        try editor.edit { $0.supersede(entries.map(\.segmentID), by: entry) }
    }

    /// How many events of runs of the name stand in archives.
    private func archivedEvents(_ name: String) throws -> Int {
        let (manifest, directory) = (try manifests.load().manifest, LogDirectory(root: Self.path))
        var count = 0
        for entry in manifest.segments where entry.role == .archive {
            let file = try storage.open(directory.archive(entry.segmentID), for: .reading)
            let reader = try ArchiveReader(file: file, entry: entry, storeID: manifest.storeID)
            guard let row = try reader.row(of: RunID(name))?.row else { continue }
            var events = try reader.events(of: row, from: 0)
            while try events.next() != nil { count += 1 }
        }
        return count
    }

    /// What a log answers about a run that is not there.
    private func expectNone(_ name: String, _ store: LogRunStore) async throws {
        let run = try RunID(name)
        for source in [store, try LogRunSource(path: Self.path, storage: storage)]
            as [any RunSource]
        {
            let reader = RunReader(source: source)
            #expect(try source.row(of: run) == nil)
            #expect(try reader.list().allSatisfy { $0.run != run })
            #expect(throws: RunReadError.unknownRun(run)) { try reader.get(run) }
            #expect(throws: RunReadError.unknownRun(run)) { try reader.history(run) }
            #expect(throws: RunReadError.unknownRun(run)) { try source.tail(of: run, last: 3) }
            var events = try source.events([RunPart(run)])
            #expect(try events.next() == nil)
            var tail = try source.tail(of: nil, last: nil)
            while let unit = try tail.next() { #expect(unit.allSatisfy { $0.event.run != run }) }
        }
    }

    /// What it answers about the run that is there, by the bytes of its states.
    private func expect(
        _ raw: RawRun, steps: Int, _ word: UInt8, _ store: LogRunStore
    ) async throws {
        let run = raw.run
        for source in [store, try LogRunSource(path: Self.path, storage: storage)]
            as [any RunSource]
        {
            let reader = RunReader(source: source)
            let row = try #require(try source.row(of: run))
            #expect(row.outline.violations.isEmpty && row.readError == nil)
            #expect(row.outline.summary.stepIndex == UInt64(steps))
            #expect(row.outline.summary.epoch == raw.epoch)
            #expect(try reader.list().filter { $0.run == run }.count == 1)
            #expect(try reader.history(run).count == steps + 1)
            for step in 0...steps {
                #expect(try reader.state(run, at: UInt64(step)).state.first == word)
            }
            #expect(try reader.toolCalls(run).count == steps)
            for number in [0, steps / 2, max(0, steps - 1)] where steps > 0 {
                let rows = try reader.history(run, limit: 2, offset: number)
                #expect(rows.first?.step == UInt64(number))
            }
            for step in 0..<steps {
                let calls = try source.calls(of: .explicit("key \(step)"), in: run)
                #expect(calls.count == 1)
            }
            var (events, next) = (try source.events([RunPart(run)]), UInt64(0))
            while let event = try events.next() {
                #expect(event.place == .init(position: next, epoch: raw.epoch))
                next += 1
            }
            #expect(next == row.outline.summary.nextPosition)
            var (tail, told) = (try source.tail(of: run, last: nil), UInt64(0))
            while let unit = try tail.next() { told += UInt64(unit.count) }
            #expect(told == next)
            let part = try source.events([RunPart(run, from: next / 2, before: next / 2 + 1)])
            events = part
            #expect(try events.next()?.place == .init(position: next / 2, epoch: raw.epoch))
            #expect(try events.next() == nil)
        }
    }

    /// Does something to the log that no answer tells of.
    private func disturb(
        _ store: inout LogRunStore, _ number: inout Int, _ random: inout SeededGenerator
    ) throws {
        for _ in 0..<Int.random(in: 0...2, using: &random) {
            number += 1
            switch Int.random(in: 0..<5, using: &random) {
            case 0: try endSegment(store, number)
            case 1, 2:
                try endSegment(store, number)
                try store.close()
                try archive()
                if Int.random(in: 0..<3, using: &random) == 0 { try merge() }
                store = try open()
            default:
                try store.close()
                store = try open()
            }
        }
    }

    @Test(
        "a deleted run is gone from every answer, and what begins anew is told alone",
        arguments: 0..<6 as Range<UInt64>)
    func lives(seed: UInt64) async throws {
        var (random, number, epoch) = (SeededGenerator(seed), 0, UInt64(0))
        var store = try open()
        let run = try RunID("r")
        for life in 0..<3 as Range<UInt8> {
            var raw = try await RawRun("r", in: store, state: [life + 1])
            #expect(raw.epoch > epoch)
            #expect(raw.nextPosition == 2)
            epoch = raw.epoch
            let steps = Int.random(in: 0...12, using: &random)
            for step in 0..<steps {
                try await raw.commit(
                    [life + 1, UInt8(step)], key: .explicit("key \(step)"), result: [life])
            }
            if Bool.random(using: &random) { try await raw.pause() }
            try disturb(&store, &number, &random)
            try await expect(raw, steps: steps, life + 1, store)
            let control = RunControl(store: store)
            await store.release(run, epoch: raw.epoch)
            await #expect(throws: RunnerError.self) { try await control.delete(run) }
            try await control.cancel(run)
            epoch = try #require(try store.row(of: run)?.outline.summary.epoch)
            try disturb(&store, &number, &random)
            try await RunControl(store: store).delete(run)
            epoch += 1
            try await expectNone("r", store)
            try disturb(&store, &number, &random)
            try await expectNone("r", store)
        }
        try endSegment(store, 1000)
        try store.close()
        try archive()
        try merge()
        #expect(try archivedEvents("r") == 0)
        store = try open()
        try await expectNone("r", store)
        #expect(try await store.claim(run, holder: "h").epoch > epoch)
    }
}
