import Foundation
import LoomFormat
import LoomModel
import LoomRunner
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomRuns

/// Logs whose archives leave out what policies hide: the bytes are gone from the files.
@Suite(.timeLimit(.minutes(10))) struct BlankedLogTests {
    private let storage = SimulatedStorage(seed: 21)

    /// A run of states that no packing makes smaller, each larger than a block, with the snapshots
    /// that a runner writes.
    private struct Written {
        var states: [[UInt8]]
        /// The steps of the snapshots, by their positions.
        var snapshots: [UInt64: Int] = [:]
    }

    private func write(
        _ name: String, _ policy: CheckpointPolicy, in store: LogRunStore, steps: Int,
        stateBytes: Int
    ) async throws -> Written {
        let seed = name.utf8.reduce(0) { $0 &* 31 &+ Int($1) }
        var written = Written(states: [RawRun.noise(seed, stateBytes)])
        var run = try await RawRun(name, in: store, state: written.states[0], policy: policy)
        var track = StateTrack(initial: written.states[0])
        for step in 0..<steps {
            let id = AttemptID(step: UInt64(step), attempt: 0)
            let next = RawRun.noise(seed + step + 1, stateBytes)
            let change = track.commit(next, pauses: false)
            var contents: [RunEvent.Content] = [
                .attemptStarted(id), .stepCommitted(id, delta: change.delta),
            ]
            if let state = change.snapshot {
                written.snapshots[run.nextPosition + 2] = step + 1
                contents.append(.snapshot(step: UInt64(step + 1), state: state))
            }
            try await run.write(contents)
            written.states.append(next)
        }
        try await run.pause()
        return written
    }

    /// Which of some states stand in any file.
    private func found(_ states: [[UInt8]]) throws -> [Int] {
        var files: [Data] = []
        for name in try storage.list("/a.loom/seg") {
            let file = try storage.open(.init("/a.loom/seg/\(name)"), for: .reading)
            files.append(Data(try file.readBytes(count: file.size(), at: 0)))
            try file.close()
        }
        return states.indices.filter { index in
            let part = Data(states[index][100..<140])
            return files.contains { $0.range(of: part) != nil }
        }
    }

    private var archivedBytes: UInt64 {
        get throws {
            try ManifestStore(directory: LogDirectory(root: "/a.loom"), storage: storage).load()
                .manifest.segments.filter { $0.role == .archive }.reduce(0) { $0 + $1.validEnd }
        }
    }

    @Test("hidden states are gone from the files, also large ones, and shown ones stay")
    func statesGo() async throws {
        let store = try LogRunStore(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 8 << 20), storage: storage)
        let written = try await write(
            "r", .interval(7), in: store, steps: 30, stateBytes: 40 << 10)
        #expect(written.snapshots.count > 10)
        let run = try RunID("r")
        let before = RunReader(source: store)
        let (history, view) = (try before.history(run), try before.get(run))
        _ = try await store.compact()
        let outline = try #require(try store.row(of: run)?.outline)
        let named = try #require(written.snapshots[outline.state.wholeState])
        let stay = Set([0, 7, 14, 21, 28, 30, named])
        #expect(try Set(found(written.states)) == stay)
        #expect(try archivedBytes < UInt64(stay.count * 2 + 1) * 40 << 10)
        for reader in [before, try RunReader(path: "/a.loom", storage: storage)] {
            #expect(try reader.history(run) == history && reader.get(run).summary == view.summary)
            #expect(try reader.state(run, at: 28).state == written.states[28])
            #expect(try reader.state(run, at: 30).state == written.states[30])
            #expect(throws: RunReadError.notKept(run, step: 27, kept: 21)) {
                try reader.state(run, at: 27)
            }
        }
        #expect(history.map(\.state) == [0, 7, 14, 21, 28].map { written.states[$0] })
        #expect(try await store.compact().rewrittenCount == 0)
        try store.close()
    }

    /// What had been read from live segments was the base of no difference in the archive: rows
    /// that were being fetched ended with a run that was told to be damaged.
    @Test("reads that began before their run was archived go on behind it")
    func readsGoOn() async throws {
        let store = try LogRunStore(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 8 << 20), storage: storage)
        // Each is longer than the one before, and little is new in it.
        let all = RawRun.noise(3, 4000)
        let written = (0...30).map { Array(all[..<(1000 + 50 * $0)]) }
        var raw = try await RawRun("r", in: store, state: written[0], policy: .interval(7))
        for state in written.dropFirst() { try await raw.commit(state) }
        try await raw.pause()
        let reader = RunReader(source: store)
        let (history, attempts) = (try reader.history(raw.run), try reader.attempts(raw.run))
        let row = try #require(try store.row(of: raw.run))
        var (cursor, live) = (try store.events([RunPart(raw.run)]), [StoredEvent]())
        while let event = try cursor.next() { live.append(event) }
        _ = try await store.compact()
        for count in 0...live.count {
            let spliced = { RunReader(source: SplicedStore(store, live.prefix(count))) }
            #expect(try spliced().history(raw.run) == history, "behind \(count)")
            #expect(try spliced().attempts(raw.run) == attempts, "behind \(count)")
            #expect(try spliced().state(raw.run, at: 28).state == written[28], "behind \(count)")
            var values = RunValues(row)
            try values.read(from: SplicedStore(store, live.prefix(count)))
            #expect(try values.view().state == written[30], "behind \(count)")
        }
        try store.close()
    }

    @Test("a policy that hides more frees old archives, one that hides less brings nothing back")
    func policiesChange() async throws {
        let store = try LogRunStore(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 64 << 10), storage: storage)
        let written = try await write("r", .full, in: store, steps: 40, stateBytes: 3000)
        let run = try RunID("r")
        _ = try await store.compact()
        #expect(try found(written.states).count == 41)
        let full = try archivedBytes
        try await RunControl(store: store).setPolicy(run, .interval(10))
        let history = try RunReader(source: store).history(run)
        #expect(try await store.compact().rewrittenCount > 1)
        #expect(try archivedBytes < full / 2)
        let left = try found(written.states)
        #expect(left.count < 25 && Set(left).isSuperset(of: [0, 10, 20, 30, 40]))
        #expect(try RunReader(source: store).history(run) == history)
        try await RunControl(store: store).setPolicy(run, .full)
        _ = try await store.compact()
        #expect(try RunReader(source: store).history(run) == history)
        #expect(try found(written.states) == left)
        // What hides more than anything that is stored still.
        try await RunControl(store: store).setPolicy(run, .interval(1000))
        _ = try await store.compact()
        let shown = try RunReader(source: store).history(run)
        #expect(shown.map(\.state) == [written.states[0]])
        #expect(try RunReader(source: store).get(run).state == written.states[40])
        #expect(try await store.compact().rewrittenCount == 0)
        try store.close()
    }

    @Test("a read that began before its run got a stronger policy never tells a wrong state")
    func oldReads() async throws {
        let store = try LogRunStore(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 64 << 10), storage: storage)
        let written = try await write("r", .full, in: store, steps: 60, stateBytes: 2000)
        let run = try RunID("r")
        _ = try await store.compact()
        for fetched in [0, 1, 20] {
            let reader = try RunReader(path: "/a.loom", storage: storage)
            var rows = try reader.historyRows(run)
            for _ in 0..<fetched { _ = try rows.next() }
            try await RunControl(store: store).setPolicy(run, .interval(fetched == 0 ? 3 : 7))
            _ = try await store.compact(CompactionRequest(removesAtOnce: true))
            do {
                while let row = try rows.next() {
                    #expect(row.state == written.states[Int(row.step)])
                }
            } catch let error as RunReadError {
                #expect("\(error)".contains("not kept"), "\(error)")
            }
        }
        try store.close()
    }
}

/// A store whose run is archived while its events are read for the first time: some come as they
/// were before, and the others as they are.
private final class SplicedStore: RunStoreWrapper {
    let base: any RunStore
    private let live: Monitor<ArraySlice<StoredEvent>>

    private struct Events: RunEventCursor {
        var live: ArraySlice<StoredEvent>
        var archived: any RunEventCursor
        let first: UInt64
        let end: UInt64

        mutating func next() throws -> StoredEvent? {
            while let event = live.popFirst() {
                if (first..<end).contains(event.place.position) { return event }
            }
            return try archived.next()
        }
    }

    init(_ base: any RunStore, _ live: ArraySlice<StoredEvent>) {
        (self.base, self.live) = (base, Monitor(live))
    }

    func events(_ parts: [RunPart]) throws -> any RunEventCursor {
        let live = live.withLock { events in
            defer { events = [] }
            return events
        }
        guard let part = parts.first, let last = live.last else { return try base.events(parts) }
        let (first, end) = (part.positions.lowerBound, part.positions.upperBound)
        let rest = RunPart(part.run, from: max(first, last.place.position + 1), before: end)
        return Events(live: live, archived: try base.events([rest]), first: first, end: end)
    }
}
