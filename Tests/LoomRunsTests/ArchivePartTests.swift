import LoomFormat
import LoomLog
import LoomModel
import LoomTesting
import Testing

@testable import LoomRuns

/// What older archives hold of a run, in memory.
struct PartsPast: ArchivedPast {
    var row: RunTableRow
    var events: [StoredEvent]
    var calls: [KeyFingerprint: [UInt64: ArchivedRun.Call]] = [:]

    func events(
        _ positions: Range<UInt64>,
        _ body: (_ epoch: UInt64, _ position: UInt64, RawSpan) throws(LogError) -> Bool
    ) throws(LogError) {
        for event in events where positions.contains(event.place.position) {
            let goesOn = try body(event.place.epoch, event.place.position, event.body.rawSpan)
            if !goesOn { return }
        }
    }

    func calls(of key: KeyFingerprint) throws(LogError) -> [ArchivedRun.Call] {
        calls[key, default: [:]].values.sorted { $0.start > $1.start }
    }

    /// The past with one more archive.
    mutating func add(_ part: ArchivedRun, _ events: [StoredEvent]) {
        self.events += events
        row.summary = part.summary
        row.flags = part.flags
        for call in part.calls { calls[call.key, default: [:]][call.start] = call }
    }
}

/// Runs whose events stand in several archives.
@Suite struct ArchivePartTests {
    /// What an archive stores of a part of a run, and its row.
    private struct Part {
        var progress: [ArchiveProgress] = []
        var bodies: [[UInt8]] = []
        var row: ArchivedRun
    }

    /// - Parameter passes: Whether what can be passed is, as a writer of archives does it.
    private func index(
        _ events: [StoredEvent], after past: PartsPast?, passes: Bool = false
    ) throws -> Part {
        var part = Part(row: ArchivedRun())
        let run = try #require(events.first).run
        var slice = try RunIndexer().begin(run, after: past, newest: nil)
        let give: ArchiveSlice.Give = { (_, _, _, body, progress) throws(LogError) in
            part.progress.append(progress)
            part.bodies.append([UInt8](copying: body))
        }
        for event in events {
            if passes, let head = EventHead(event.body.rawSpan),
                let isWholeState = slice.pass(
                    epoch: event.place.epoch, position: event.place.position, head,
                    event.body.rawSpan)
            {
                part.progress.append(.init(counts: slice.counts, isWholeState: isWholeState))
                part.bodies.append(event.body)
                continue
            }
            try slice.take(
                epoch: event.place.epoch, position: event.place.position, sequence: 1,
                event.body.rawSpan, give: give)
        }
        part.row = try #require(try slice.finish(give: give))
        return part
    }

    private func check(_ run: RandomRun, seed: UInt64) throws {
        var random = SeededGenerator(seed)
        let whole = try index(run.events, after: nil)
        #expect(try RunOutline(decoding: whole.row.summary.rawSpan) == run.outline)
        let empty = RunTableRow(
            name: run.run, status: 0, loop: 0, created: 0, updated: 0, endPosition: 0,
            firstBlock: 0)
        var (past, start) = (PartsPast(row: empty, events: []), 0)
        while start < run.events.count {
            let end = min(run.events.count, start + Int.random(in: 1...12, using: &random))
            let events = Array(run.events[start..<end])
            let part = try index(events, after: start == 0 ? nil : past)
            #expect(part.progress == Array(whole.progress[start..<end]), "seed \(seed), \(start)")
            let passed = try index(events, after: start == 0 ? nil : past, passes: true)
            #expect(passed.progress == part.progress && passed.bodies == part.bodies)
            #expect(passed.row.summary == part.row.summary)
            if !run.outline.policies.hidesAnything { #expect(part.bodies == events.map(\.body)) }
            let before = start == 0 ? RowCountVector() : whole.progress[start - 1].counts
            #expect(part.row.countsBefore == before)
            past.add(part.row, events)
            // A row that an archive could not hold, or that another version wrote.
            if random.next() % 8 == 0 { past.row.summary = random.next() % 2 == 0 ? [] : [9, 9] }
            start = end
            guard start == run.events.count else { continue }
            #expect(part.row.summary == whole.row.summary, "seed \(seed)")
            // What an earlier part has to leave out is not told by a later one.
            let flags = whole.row.flags.subtracting(.blankingDue)
            #expect(part.row.flags.subtracting(.blankingDue) == flags)
            #expect(part.row.status == whole.row.status)
            #expect(part.row.loop == whole.row.loop && part.row.category == whole.row.category)
            #expect(part.row.created == whole.row.created && part.row.updated == whole.row.updated)
            #expect(part.row.labels.map(\.value) == whole.row.labels.map(\.value))
        }
        // Of a run that can go on, its archives know the calls that one of all events does.
        guard !whole.row.calls.isEmpty else { return }
        let known = past.calls.values.flatMap(\.values).sorted { $0.start < $1.start }
        #expect(known == whole.row.calls, "seed \(seed)")
    }

    @Test("a run in several archives has the rows and counts that it has in one")
    func parts() throws {
        var (statuses, odd): (Set<RunStatus>, [RandomRun.Oddities]) = ([], [])
        odd = [[], [], .extraSnapshots, .unknownKinds, .strayEvents]
        for seed in 0..<300 as Range<UInt64> {
            let run = try RandomRun(
                "run \(seed)", seed: seed, count: 90, oddities: odd[Int(seed) % odd.count])
            statuses.insert(run.outline.summary.status)
            try check(run, seed: seed)
        }
        #expect(statuses == Set(RunStatus.allCases))
    }
}
