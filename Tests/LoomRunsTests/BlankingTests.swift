import LoomFormat
import LoomLog
import LoomModel
import LoomTesting
import Testing

@testable import LoomRuns

/// What archives leave out of a run is read by nobody: parts of runs in memory, rewritten again and
/// again with other bounds between the parts.
@Suite(.timeLimit(.minutes(10))) struct BlankingTests {
    /// What came of a run's events.
    private struct Rewritten {
        var events: [StoredEvent] = []
        /// Positions that tables and outlines name as those of whole states.
        var named: Set<UInt64> = []
        var outline = RunOutline()
    }

    private func slice(
        _ events: ArraySlice<StoredEvent>, after past: PartsPast?, newest: [UInt8]?, own: [UInt8]?,
        give: (StoredEvent, ArchiveProgress) -> Void
    ) throws -> ArchivedRun {
        let run = try #require(events.first).run
        var slice = try RunIndexer().begin(run, after: past, newest: newest, rewriting: own)
        let store: ArchiveSlice.Give = { (epoch, position, _, body, progress) throws(LogError) in
            let place = RunFold.Place(position: position, epoch: epoch)
            give(StoredEvent(run: run, place: place, body: [UInt8](copying: body)), progress)
        }
        for event in events {
            try slice.take(
                epoch: event.place.epoch, position: event.place.position, sequence: 1,
                event.body.rawSpan, give: store)
        }
        return try #require(try slice.finish(give: store))
    }

    /// Goes over the parts of a run, as whoever makes archives does.
    ///
    /// - Parameter newest: What newer archives know; `nil` where each part is the newest.
    private func rewrite(
        _ events: [StoredEvent], newest: RunOutline?, partMax: Int = 40,
        _ random: inout SeededGenerator
    ) throws -> Rewritten {
        let run = try #require(events.first).run
        let empty = RunTableRow(
            name: run, status: 0, loop: 0, created: 0, updated: 0, endPosition: 0, firstBlock: 0)
        var (past, start, result) = (PartsPast(row: empty, events: []), 0, Rewritten())
        while start < events.count {
            let end = min(events.count, start + Int.random(in: 1...partMax, using: &random))
            let part = events[start..<end]
            let before = start == 0 ? nil : past
            let own = try slice(part, after: before, newest: nil, own: nil) { _, _ in }.summary
            var given: [StoredEvent] = []
            let row = try slice(
                part, after: before, newest: newest?.encoded() ?? own, own: own
            ) { event, progress in
                given.append(event)
                if progress.isWholeState { result.named.insert(event.place.position) }
            }
            #expect(row.summary == own)
            #expect(given.map(\.place) == part.map(\.place))
            past.add(row, given)
            result.events += given
            result.outline = try RunOutline(decoding: row.summary.rawSpan)
            if result.outline.isBegun { result.named.insert(result.outline.state.wholeState) }
            start = end
        }
        return result
    }

    private func holdsWholeState(_ stored: StoredEvent) throws -> Bool {
        switch try stored.event()?.content {
        case .created, .migrated: true
        case .snapshot(_, let state): !state.isEmpty
        case .stepCommitted: RunEvent.isWholeCommit(stored.body.rawSpan)
        default: false
        }
    }

    private struct Figures {
        var (deltas, snapshots, times, composed) = (0, 0, 0, 0)

        mutating func count(_ before: [StoredEvent], _ after: [StoredEvent]) throws {
            for (old, new) in zip(before, after) where old.body != new.body {
                let events = (try #require(try old.event()), try #require(try new.event()))
                if events.0.time != events.1.time { times += 1 }
                switch (events.0.content, events.1.content) {
                case (.stepCommitted(_, let old), .stepCommitted(_, let new)) where old != new:
                    if new.isEmpty { deltas += 1 } else { composed += 1 }
                case (.snapshot(_, let old), .snapshot(_, let new)) where old != new:
                    #expect(new.isEmpty)
                    snapshots += 1
                default: #expect(events.0.content == events.1.content)
                }
            }
        }
    }

    private func listed(_ events: [StoredEvent]) -> ListedEvents {
        let listed = ListedEvents()
        listed.append(events)
        return listed
    }

    private func check(_ run: RandomRun, seed: UInt64, _ figures: inout Figures) throws {
        var random = SeededGenerator(seed)
        let before = listed(run.events)
        var queries = RunQueries(random: random, listed: before)
        let known = RunReader(source: before)
        let asked = queries.all(pages: 1).map { (query: $0, answer: $0.answer(known)) }
        // Archived, then rewritten twice.
        var (events, newest) = (run.events, RunOutline())
        let isUnreadable = try before.row(of: run.run)?.readError != nil
        for round in 0..<3 {
            let rewritten = try rewrite(events, newest: round == 0 ? nil : newest, &random)
            try figures.count(events, rewritten.events)
            (events, newest) = (rewritten.events, rewritten.outline)
            for event in events where rewritten.named.contains(event.place.position) {
                // Elsewhere two events may have one position.
                if run.outline.violations.isEmpty, !isUnreadable {
                    #expect(try holdsWholeState(event), "seed \(seed): \(event.place.position)")
                }
            }
            let after = RunReader(source: listed(events))
            for (query, answer) in asked {
                let told = query.answer(after)
                guard told != answer else { continue }
                Issue.record(
                    "seed \(seed), round \(round), \(query.name): \(told.difference(from: answer))")
                return
            }
        }
    }

    @Test("every answer about a run is the same after what its policies hide was left out")
    func answersStay() throws {
        var figures = Figures()
        let odd: [RandomRun.Oddities] = [
            [], .extraSnapshots, .unknownKinds, .extraSnapshots, .strayEvents, [], .unreadable,
        ]
        for seed in 0..<28 as Range<UInt64> {
            let run = try RandomRun(
                "run \(seed)", seed: seed, count: 60 + Int(seed % 90),
                oddities: odd[Int(seed) % odd.count])
            try check(run, seed: seed, &figures)
        }
        print("left out: \(figures)")
        #expect(figures.deltas > 100 && figures.snapshots > 6 && figures.times > 30)
        #expect(figures.composed > 30)
    }

    @Test("a run that is rewritten twice has the same bytes")
    func twice() throws {
        for seed in 0..<(EqualAnswersTests.isHeavy ? 20 : 10) as Range<UInt64> {
            let run = try RandomRun("r", seed: seed, count: 80, oddities: .extraSnapshots)
            var (first, second) = (SeededGenerator(seed), SeededGenerator(seed))
            let once = try rewrite(run.events, newest: run.outline, &first).events
            #expect(try rewrite(once, newest: run.outline, &second).events == once, "seed \(seed)")
        }
    }

    @Test("runs that are not understood to the last stay as they are")
    func notUnderstood() throws {
        var changed = 0
        for seed in 0..<(EqualAnswersTests.isHeavy ? 60 : 30) as Range<UInt64> {
            let oddity: RandomRun.Oddities = seed % 2 == 0 ? .unknownKinds : .strayEvents
            let run = try RandomRun("r", seed: seed, count: 80, oddities: oddity)
            var random = SeededGenerator(seed)
            let events = try rewrite(run.events, newest: run.outline, &random).events
            let isOdd = run.outline.unknownEvent != nil || !run.outline.violations.isEmpty
            if isOdd { #expect(events == run.events, "seed \(seed)") }
            if events != run.events { changed += 1 }
        }
        #expect(changed > 0)
    }

    // MARK: A run that is written by hand

    private func run(
        _ policy: CheckpointPolicy, steps: UInt64, tailAt tail: UInt64? = nil
    ) throws -> (events: [StoredEvent], states: [[UInt8]]) {
        var states = [Array("{\"step\":0,\"log\":\"\"}".utf8)]
        let name = try RunID("r")
        var (track, events) = (StateTrack(initial: states[0]), [StoredEvent]())
        func add(_ content: RunEvent.Content, _ rest: [UInt8] = []) {
            let event = RunEvent(time: EventTime(microseconds: UInt64(events.count) * 7), content)
            let place = RunFold.Place(position: UInt64(events.count), epoch: 1)
            events.append(StoredEvent(run: name, place: place, body: event.encoded() + rest))
        }
        add(.created(RunCreation(loop: "l", policy: policy, state: states[0])))
        add(.resumed(holder: "h"))
        for step in 0..<steps {
            let id = AttemptID(step: step, attempt: 0)
            let words = String(repeating: "w\(step)", count: Int(step % 5) * 20)
            let next = Array("{\"step\":\(step + 1),\"log\":\"\(words)\"}".utf8)
            add(.attemptStarted(id))
            let change = track.commit(next, pauses: false)
            add(.stepCommitted(id, delta: change.delta), step == tail ? [9, 9] : [])
            if let state = change.snapshot { add(.snapshot(step: step + 1, state: state)) }
            states.append(next)
        }
        return (events, states)
    }

    /// The states that a run's events tell, by step; `nil` where one was not kept.
    private func states(_ events: [StoredEvent]) throws -> [[UInt8]?] {
        var (track, found) = (StateTrack(), [[UInt8]?]())
        for stored in events {
            let event = try #require(try stored.event())
            try track.apply(event)
            switch event.content {
            case .created, .stepCommitted:
                found.append(track.isKept ? try track.present() : nil)
                #expect(track.isKept || (try? track.present()) == nil)
            default: break
            }
        }
        return found
    }

    @Test("of the states stay those that are shown and the last one, each to the byte")
    func whichStates() throws {
        let (events, written) = try run(.interval(5), steps: 62)
        var random = SeededGenerator(1)
        let rewritten = try rewrite(events, newest: nil, partMax: 1, &random)
        // Each part is one event: each state is the last of its part.
        #expect(try states(rewritten.events) == written)
        var outline = ReadFold(keepsValues: false)
        for event in events { try outline.see(event) }
        let own = outline.outline.encoded()
        var given: [StoredEvent] = []
        _ = try slice(events[...], after: nil, newest: own, own: own) { event, _ in
            given.append(event)
        }
        let kept = try states(given)
        for (step, state) in kept.enumerated() {
            let isShown = step % 5 == 0 || step == 62
            #expect(state == (isShown ? written[step] : nil), "step \(step)")
        }
        func byteCount(_ events: [StoredEvent]) -> Int { events.reduce(0) { $0 + $1.body.count } }
        #expect(byteCount(given) < byteCount(events) / 2)
        let wholeState = outline.outline.state.wholeState
        #expect(wholeState > 0)
        #expect(try holdsWholeState(given[Int(wholeState)]))
    }

    @Test("what a newer version wrote behind the fields of a commit stays, and so does its state")
    func unknownFields() throws {
        let (events, written) = try run(.interval(10), steps: 25, tailAt: 6)
        var fold = ReadFold(keepsValues: false)
        for event in events { try fold.see(event) }
        let own = fold.outline.encoded()
        var given: [StoredEvent] = []
        _ = try slice(events[...], after: nil, newest: own, own: own) { event, _ in
            given.append(event)
        }
        let kept = try states(given)
        #expect(kept[7] == written[7] && kept[6] == nil && kept[10] == written[10])
        let commit = try #require(
            try given.first {
                if case .stepCommitted(let id, _)? = try $0.event()?.content { return id.step == 6 }
                return false
            })
        #expect(commit.body.suffix(2) == [9, 9])
    }

    @Test("under compact the times of ordinary attempts go, but for that of the last event")
    func times() throws {
        let (events, written) = try run(.compact, steps: 20)
        var fold = ReadFold(keepsValues: false)
        for event in events { try fold.see(event) }
        let own = fold.outline.encoded()
        var given: [StoredEvent] = []
        let row = try slice(events[...], after: nil, newest: own, own: own) { event, _ in
            given.append(event)
        }
        #expect(try states(given) == written)
        let times = try given.map { try #require(try $0.event()).time.microseconds }
        #expect(Set(times).count < 6)
        #expect(times.last == row.updated && row.updated == UInt64(events.count - 1) * 7)
        // Indexed anew the row is the same.
        let again = try slice(given[...], after: nil, newest: nil, own: nil) { _, _ in }
        #expect(again.updated == row.updated && again.created == row.created)
        #expect(again.flags == .blankingDue && row.flags == [])
    }
}
