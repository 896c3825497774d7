import LoomFormat
import LoomTesting
import Testing

@testable import LoomModel

/// The outline of a run, as a value and as bytes.
@Suite struct RunOutlineTests {
    /// Events of a run that was dealt at random, with deltas that fit its states.
    private func events(seed: UInt64) -> [(RunEvent, RunFold.Place)] {
        var dealer = EventDealer(random: SeededGenerator(seed))
        var (fold, model) = (OutlineFold(), FoldModel())
        var events: [(RunEvent, RunFold.Place)] = []
        for _ in 0..<40 {
            var (event, place) = dealer.deal(to: model)
            if case .deleted = event.content { continue }
            if case .stepCommitted(let id, _) = event.content {
                let length = Int(fold.state.length)
                let delta = StateDelta.encode(
                    from: [UInt8](repeating: 7, count: length),
                    to: [UInt8](repeating: 7, count: (length + 5) % 60))
                event.content = .stepCommitted(id, delta: delta)
            }
            guard (try? fold.apply(event, at: place)) != nil else { continue }
            model.append(event, at: place)
            events.append((event, place))
        }
        return events
    }

    private func fold(
        _ events: [(RunEvent, RunFold.Place)], keepsValues: Bool = true
    ) throws -> OutlineFold {
        var fold = OutlineFold(keepsValues: keepsValues)
        for (event, place) in events { try fold.apply(event, at: place) }
        return fold
    }

    @Test("an outline is the same with and without values, and comes back from its bytes")
    func bytes() throws {
        var seen: Set<RunStatus> = []
        for seed in 0..<400 as Range<UInt64> {
            let events = events(seed: seed)
            let outline = try fold(events).outline
            seen.insert(outline.summary.status)
            #expect(try fold(events, keepsValues: false).outline == outline)
            let bytes = outline.encoded()
            let decoded = try RunOutline(decoding: bytes.rawSpan)
            #expect(decoded == outline, "seed \(seed)")
            #expect(decoded.encoded() == bytes)
        }
        #expect(seen == Set(RunStatus.allCases))
    }

    /// A claim that goes on from a stored outline must come to what the whole fold says.
    @Test("an advance does to an outline what its events do")
    func advance() throws {
        var (whole, single) = (OutlineFold(), OutlineFold())
        let creation = RunCreation(loop: "l", policy: .compact, state: [1, 2, 3])
        let start: [RunEvent.Content] = [
            .created(creation), .resumed(holder: "h"),
            .attemptStarted(AttemptID(step: 0, attempt: 0)),
        ]
        for (index, content) in start.enumerated() {
            let event = RunEvent(time: EventTime(microseconds: UInt64(index)), content)
            let place = RunFold.Place(position: UInt64(index), epoch: 1)
            try whole.apply(event, at: place)
            try single.apply(event, at: place)
        }
        var (track, place) = (StateTrack(initial: [1, 2, 3]), RunFold.Place(position: 3, epoch: 1))
        for step in 0..<3000 as Range<UInt64> {
            let state = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: 40)
            let change = track.commit(state, pauses: false)
            let advance = StepAdvance(
                AttemptID(step: step, attempt: 0), change, time: EventTime(microseconds: step))
            try whole.apply(advance, at: place)
            for event in advance.events {
                try single.apply(event, at: place)
                place.position += 1
            }
            #expect(whole.outline == single.outline)
        }
        #expect(whole.outline.state.wholeState > 0)
        #expect(whole.outline.hiddenAttemptCount == 3001)
    }

    @Test("an event that is refused changes nothing of an outline")
    func refused() throws {
        var fold = try fold(events(seed: 3))
        let (before, place) = (
            fold.outline,
            RunFold.Place(position: fold.summary.nextPosition, epoch: fold.summary.epoch)
        )
        let contents: [RunEvent.Content] = [
            .created(RunCreation(loop: "x", state: [9])), .snapshot(step: 999, state: [1]),
            .stepCommitted(AttemptID(step: 99, attempt: 9), delta: [0, 0]),
            .toolFinished(ToolFinish(start: 9999, outcome: .didNotHappen, by: .correction)),
        ]
        for content in contents {
            let event = RunEvent(time: EventTime(microseconds: 1), content)
            #expect(throws: OutlineFold.Refusal.self) { try fold.apply(event, at: place) }
            #expect(fold.outline == before)
        }
    }

    @Test("bytes that were changed never trap, and those of another version are told apart")
    func damaged() throws {
        let bytes = try fold(events(seed: 11)).outline.encoded()
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << UInt8(bit)
                _ = try? RunOutline(decoding: changed.rawSpan)
            }
            _ = try? RunOutline(decoding: Array(bytes[..<index]).rawSpan)
        }
        var later = bytes
        later[0] = 2
        #expect(throws: FormatError.unsupported("summary version", found: 2)) {
            try RunOutline(decoding: later.rawSpan)
        }
        // Parts and fields of a later version stand behind the known ones.
        #expect(try RunOutline(decoding: (bytes + [3, 1, 2, 3]).rawSpan).encoded() == bytes)
    }

    /// Each of these numbers was accepted, and trapped where it was counted with.
    @Test("an outline whose counts cannot be is refused")
    func impossibleCounts() throws {
        var outline = try fold(events(seed: 11)).outline
        outline.ordinaryAttempts = outline.policies.changes.map { _ in .max }
        var several = OutlineFold().outline
        several.policies.change(to: .compact, at: 0)
        several.policies.change(to: .compact, at: 0)
        several.ordinaryAttempts = [1 << 63, 1 << 63]
        var hiding = OutlineFold().outline
        hiding.policies.change(to: .compact, at: 0)
        hiding.ordinaryAttempts = [3]
        hiding.summary.attemptCount = 2
        var open = OutlineFold().outline
        open.policies.change(to: .compact, at: 0)
        open.ordinaryAttempts = [2]
        open.summary.attemptCount = 2
        open.summary.openAttempt = AttemptID(step: 0, attempt: 0)
        var steps = OutlineFold().outline
        steps.summary.stepIndex = .max
        var calls = OutlineFold().outline
        calls.summary.toolCallCount = 1 << 63
        for impossible in [outline, several, hiding, open, steps, calls] {
            #expect(throws: FormatError.self) {
                let read = try RunOutline(decoding: impossible.encoded().rawSpan)
                // What a list makes of it.
                _ = Int(read.policies.shownStateCount(to: read.summary.stepIndex))
                _ = Int(read.summary.attemptCount - read.hiddenAttemptCount)
                _ = Int(read.summary.toolCallCount)
            }
        }
    }

    @Test("of a deleted run the epoch stays, and its name begins anew above it")
    func deleted() throws {
        var fold = OutlineFold()
        let created = RunEvent.Content.created(RunCreation(loop: "l", state: [0x30]))
        func event(_ content: RunEvent.Content) -> RunEvent {
            RunEvent(time: EventTime(microseconds: 1), content)
        }
        for (index, content) in [created, .cancelled(reason: ""), .deleted].enumerated() {
            try fold.apply(event(content), at: .init(position: UInt64(index), epoch: 4))
        }
        var left = OutlineFold(deletedAt: 4).outline
        #expect(fold.outline == left && left.isDeleted && !left.isBegun)
        left = try RunOutline(decoding: left.encoded().rawSpan)
        #expect(left == fold.outline)
        // The epoch stands behind the labels, of which there are none.
        #expect(Array(left.encoded().prefix(9)) == [1, 7, 0, 0, 0, 0, 0, 0, 4])
        #expect(fold.refusal(of: event(created), at: .init(position: 0, epoch: 4)) != nil)
        #expect(fold.refusal(of: event(created), at: .init(position: 3, epoch: 5)) != nil)
        // What an old holder left behind is no fault of the new run.
        fold.note(.init(place: .init(position: 9, epoch: 4), description: "late"))
        try fold.apply(event(created), at: .init(position: 0, epoch: 5))
        #expect(fold.outline.isBegun && fold.outline.violations.isEmpty)
        #expect(fold.summary.deletedEpoch == 4)
        // One that can go on is not deleted.
        #expect(fold.refusal(of: event(.deleted), at: .init(position: 1, epoch: 5)) != nil)
    }

    @Test("what was noted of open calls stands behind their positions")
    func goldenNotes() throws {
        var fold = OutlineFold()
        let (id, failure) = (AttemptID(step: 0, attempt: 0), Make.failure)
        let contents: [RunEvent.Content] = [
            .created(RunCreation(loop: "l", state: [0x30])), .attemptStarted(id), Make.ask(id),
            Make.pay(id), .toolThrew(start: 3, failure),
            .paused(.unknownOutcome(call: 3, cause: failure)),
        ]
        for (index, content) in contents.enumerated() {
            try fold.apply(
                RunEvent(time: EventTime(microseconds: 1), content),
                at: .init(position: UInt64(index), epoch: 1))
        }
        let bytes = fold.outline.encoded()
        // Part 6: starts 2 and 3; of the call at 3 the event one behind it and that two behind it.
        #expect(bytes.suffix(10) == [7, 2, 2, 1, 1, 3, 1, 2, 2, 0, 0][1...])
        #expect(try RunOutline(decoding: bytes.rawSpan) == fold.outline)
    }

    /// The bytes of FORMAT.md 12.5: they change with its version alone.
    @Test("the bytes are those that are written down")
    func golden() throws {
        var fold = OutlineFold()
        let contents: [RunEvent.Content] = [
            .created(
                RunCreation(
                    loop: "counter", policy: .interval(10),
                    labels: [Label(name: "team", value: "search")], state: [0x30])),
            .resumed(holder: "pid 7"), .attemptStarted(AttemptID(step: 0, attempt: 0)),
            .stepCommitted(
                AttemptID(step: 0, attempt: 0), delta: StateDelta.encode(from: [0x30], to: [0x31])),
            .paused(.budget),
        ]
        for (index, content) in contents.enumerated() {
            try fold.apply(
                RunEvent(time: EventTime(microseconds: 1000 + UInt64(index)), content),
                at: .init(position: UInt64(index), epoch: 1))
        }
        let hex = fold.outline.encoded().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
        #expect(hex.joined() == Self.golden)
    }

    private static let golden =
        "011e07636f756e74657201046a736f6e00e80701047465616d067365617263681602010105ec0704"
        + "00000000000570696420370101010006010000000000050100020a01040100070001000200"
        + "00"
}
