import LoomFormat
import LoomTesting
import Testing

@testable import LoomModel

/// The events of a run, as a fold that goes on from an outline finds them.
struct ArrayPast: RunPast {
    /// How much an index tells of a key's calls.
    enum Index: CaseIterable {
        case endsToo, starts, withOthers
    }

    var events: ArraySlice<(RunEvent, RunFold.Place)?>
    var index: Index

    func events(_ positions: Range<UInt64>, _ body: (RunEvent, RunFold.Place) -> Bool) {
        for case let (event, place)? in events where positions.contains(place.position) {
            if !body(event, place) { return }
        }
    }

    func calls(of key: ToolKey) -> [PastCall] {
        var calls: [PastCall] = []
        for case let (event, place)? in events {
            switch event.content {
            case .toolStarted(let start):
                let isOther = start.key != key
                if case .occurrence = start.key { continue }
                if isOther, index != .withOthers { continue }
                calls.insert(PastCall(start: place.position), at: 0)
            case .toolFinished(let finish):
                guard index != .starts else { continue }
                for number in calls.indices where calls[number].start == finish.start {
                    calls[number].end = place.position
                }
            default: break
            }
        }
        return calls
    }
}

/// A fold that goes on from an outline against the fold of all events.
@Suite struct ResumedFoldTests {
    /// A run that was dealt at random, with events that cannot follow and were not stored; `nil`
    /// stands for one of a kind that this version does not know.
    private struct Dealt {
        var accepted: [(RunEvent, RunFold.Place)?] = []
        /// By the number of events accepted before.
        var refused: [Int: [(RunEvent, RunFold.Place)]] = [:]

        /// Puts events of unknown kinds between the others, which move on.
        mutating func addUnknownKinds(_ dealer: inout EventDealer) {
            var (all, moved): ([(RunEvent, RunFold.Place)?], [UInt64]) = ([], [])
            for stored in accepted {
                if !all.isEmpty, dealer.chance(6) { all.append(nil) }
                moved.append(UInt64(all.count))
                all.append(stored)
            }
            func move(_ position: UInt64) -> UInt64 {
                position < moved.count ? moved[Int(position)] : position + 1000
            }
            accepted = all.map { stored in
                stored.map { event, place in
                    (
                        event.moved(move),
                        RunFold.Place(position: move(place.position), epoch: place.epoch)
                    )
                }
            }
            refused = [:]
        }
    }

    private func deal(_ seed: UInt64) -> Dealt {
        var dealer = EventDealer(random: SeededGenerator(seed))
        var (fold, model, dealt) = (OutlineFold(), FoldModel(), Dealt())
        for _ in 0..<60 {
            if fold.summary.status == .completed, dealer.chance(3) { break }
            var (event, place) = dealer.deal(to: model)
            if case .stepCommitted(let id, _) = event.content {
                let length = Int(fold.state.length)
                event.content = .stepCommitted(
                    id,
                    delta: StateDelta.encode(
                        from: [UInt8](repeating: 7, count: length),
                        to: [UInt8](repeating: 7, count: (length + 5) % 60)))
            }
            if (try? fold.apply(event, at: place)) == nil {
                dealt.refused[dealt.accepted.count, default: []].append((event, place))
                continue
            }
            model.append(event, at: place)
            dealt.accepted.append((event, place))
        }
        let isDeleted = dealt.accepted.contains { $0?.0.content == .deleted }
        if seed % 4 == 3, !isDeleted { dealt.addUnknownKinds(&dealer) }
        return dealt
    }

    private func apply(
        _ stored: (RunEvent, RunFold.Place)?, at position: Int, to fold: inout OutlineFold
    ) throws {
        if let (event, place) = stored {
            try fold.apply(event, at: place)
        } else {
            try fold.skip(at: .init(position: UInt64(position), epoch: fold.summary.epoch))
        }
    }

    /// What two folds tell otherwise of the calls of a run.
    private func difference(
        _ whole: OutlineFold, _ resumed: OutlineFold, _ past: ArrayPast, end: Int
    ) -> String? {
        var asked = resumed
        for start in EventDealer.starts(Make.id(0, 0)) {
            asked.prepare(forCall: start, from: past)
            let (known, told) = (
                whole.fold.calls.look(up: start), asked.fold.calls.look(up: start)
            )
            if known != told { return "call \(start.key): \(told), not \(known)" }
        }
        asked = resumed
        for position in 0..<UInt64(end) {
            asked.prepare(forCallAt: position, from: past)
            let (all, some) = (whole.fold.calls, asked.fold.calls)
            if all.unfinished(at: position) != some.unfinished(at: position) {
                return "the open call at \(position)"
            }
            if all.ended(at: position) != some.ended(at: position) {
                return "the call at \(position) that has ended"
            }
        }
        asked = resumed
        asked.prepareToDrive(from: past)
        let (all, some) = (whole.fold.calls, asked.fold.calls)
        if all.unfinished != some.unfinished { return "the open calls" }
        let step = whole.summary.stepIndex
        if all.unsettled(ofStep: step) != some.unsettled(ofStep: step) { return "unsettled" }
        for start in EventDealer.starts(Make.id(0, 0)) {
            let numbers = [all, some].map { $0.number(of: start, from: 0) { _ in false } }
            if numbers[0] != numbers[1] { return "numbers" }
        }
        return nil
    }

    /// Goes on from each position of a run, and tells what is first otherwise.
    private func disagreement(_ dealt: Dealt, _ index: ArrayPast.Index, keepsValues: Bool) throws
        -> String?
    {
        // The whole fold before each event.
        var wholes = [OutlineFold(keepsValues: keepsValues)]
        for (position, stored) in dealt.accepted.enumerated() {
            var next = wholes[position]
            try apply(stored, at: position, to: &next)
            wholes.append(next)
        }
        for cut in 1..<wholes.count {
            let bytes = wholes[cut].outline.encoded()
            let outline = try RunOutline(decoding: bytes.rawSpan)
            var fold = OutlineFold(resuming: outline, keepsValues: keepsValues)
            let past = ArrayPast(events: dealt.accepted[..<cut], index: index)
            for position in cut..<wholes.count {
                let whole = wholes[position]
                var what: String { "cut \(cut), position \(position)" }
                if whole.outline != fold.outline || whole.rowCounts != fold.rowCounts {
                    return "\(what): \(fold.outline), not \(whole.outline)"
                }
                if position < cut + 3 || position + 1 == wholes.count,
                    let found = difference(whole, fold, past, end: position)
                {
                    return "\(what): \(found)"
                }
                for (event, place) in dealt.refused[position] ?? [] {
                    var asked = fold
                    asked.prepare(for: event, from: past)
                    let (known, told) = (
                        whole.refusal(of: event, at: place), asked.refusal(of: event, at: place)
                    )
                    if known != told { return "\(what): refusal of \(event) at \(place)" }
                }
                guard position + 1 < wholes.count else { break }
                let stored = dealt.accepted[position]
                if let stored { fold.prepare(for: stored.0, from: past) }
                do {
                    try apply(stored, at: position, to: &fold)
                } catch {
                    return "\(what): \(String(describing: stored)) was refused: \(error)"
                }
            }
        }
        return nil
    }

    @Test("a fold that goes on from an outline says what the fold of all events says")
    func agrees() throws {
        var kinds: [ContentKind: Int] = [:]
        for seed in 0..<(StateDeltaTests.isHeavy ? 240 : 90) as Range<UInt64> {
            let dealt = deal(seed)
            for case let (event, _)? in dealt.accepted {
                kinds[ContentKind(event.content), default: 0] += 1
            }
            let index = ArrayPast.Index.allCases[Int(seed % 3)]
            if let found = try disagreement(dealt, index, keepsValues: seed % 2 == 0) {
                Issue.record("seed \(seed): \(found)")
                return
            }
        }
        for kind in ContentKind.allCases {
            #expect(kinds[kind, default: 0] > 20, "\(kind) was accepted too seldom")
        }
    }

    @Test("a commit or a start folded from its bytes does what the decoded event does")
    func heads() throws {
        var (ordinary, wholeStates) = (0, 0)
        for seed in 0..<400 as Range<UInt64> {
            let dealt = deal(seed)
            var (whole, fast) = (OutlineFold(keepsValues: false), OutlineFold(keepsValues: false))
            for position in 0...dealt.accepted.count {
                for (event, place) in dealt.refused[position] ?? [] {
                    let body = event.encoded()
                    let isTaken = fast.applyOrdinary(body: body, at: place) != nil
                    #expect(!isTaken)
                }
                #expect(whole.outline == fast.outline && whole.rowCounts == fast.rowCounts)
                guard position < dealt.accepted.count else { break }
                guard let stored = dealt.accepted[position] else {
                    try apply(nil, at: position, to: &whole)
                    try apply(nil, at: position, to: &fast)
                    continue
                }
                try whole.apply(stored.0, at: stored.1)
                var body = stored.0.encoded()
                // Bytes behind the last field are no reason to read it otherwise.
                if case .stepCommitted = stored.0.content, position % 2 == 0 { body.append(9) }
                if let applied = fast.applyOrdinary(body: body, at: stored.1) {
                    ordinary += 1
                    let isWhole = RunEvent.isWholeCommit(body.rawSpan)
                    #expect((applied == .wholeState) == isWhole)
                    wholeStates += isWhole ? 1 : 0
                } else {
                    try fast.apply(stored.0, at: stored.1)
                }
            }
        }
        #expect(ordinary > 2000 && wholeStates > 20 && wholeStates < ordinary)
    }
}

extension RunEvent {
    /// The event with the positions that it names moved.
    fileprivate func moved(_ move: (UInt64) -> UInt64) -> RunEvent {
        var event = self
        switch content {
        case .toolFinished(var finish):
            finish.start = move(finish.start)
            event.content = .toolFinished(finish)
        case .toolReused(let id, let finish): event.content = .toolReused(id, finish: move(finish))
        case .toolThrew(let start, let failure):
            event.content = .toolThrew(start: move(start), failure)
        case .paused(.unknownOutcome(let call, let cause)):
            event.content = .paused(.unknownOutcome(call: move(call), cause: cause))
        default: break
        }
        return event
    }
}

extension OutlineFold {
    /// Applies an event from its bytes, head and all.
    fileprivate mutating func applyOrdinary(body: [UInt8], at place: RunFold.Place) -> Ordinary? {
        EventHead(body.rawSpan).flatMap { applyOrdinary($0, body.rawSpan, at: place) }
    }
}
