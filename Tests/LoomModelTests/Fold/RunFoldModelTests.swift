import LoomFormat
import LoomModel
import LoomTesting
import Testing

/// Deals events to a run at random: mostly ones that can come, some that cannot.
struct EventDealer {
    var random: SeededGenerator
    var time: UInt64 = 0

    /// How often each kind is dealt, by where the run stands.
    private static let whileOpen = bag([
        .toolStarted: 6, .toolFinished: 6, .toolReused: 6, .stepCommitted: 4, .attemptFailed: 3,
        .snapshot: 1, .paused: 1, .resumed: 2, .runCompleted: 1, .toolThrew: 2,
    ])
    private static let whileRunning = bag([
        .attemptStarted: 12, .toolFinished: 1, .failed: 1, .migrated: 1, .paused: 1, .resumed: 1,
    ])
    private static let whilePaused = bag([.resumed: 6, .toolFinished: 2, .paused: 1])
    private static let whenOver = bag([.retried: 3, .labelled: 1, .toolFinished: 1, .deleted: 1])
    private static let anything = ContentKind.allCases

    private static func bag(_ weights: [ContentKind: Int]) -> [ContentKind] {
        // In the order of the cases, as that of a dictionary is another in each process.
        ContentKind.allCases.flatMap { Array(repeating: $0, count: weights[$0, default: 0]) }
    }

    private mutating func kind(for model: FoldModel) -> ContentKind {
        if model.kinds.isEmpty { return chance(10) ? pick(Self.anything, or: .paused) : .created }
        if chance(5) { return pick(Self.anything, or: .paused) }
        return switch model.status {
        case .running:
            pick(model.openAttempt == nil ? Self.whileRunning : Self.whileOpen, or: .paused)
        case .paused: pick(Self.whilePaused, or: .resumed)
        case .completed, .failed, .cancelled: pick(Self.whenOver, or: .retried)
        }
    }

    /// The calls that are made: keys of each scope, with two requests.
    static func starts(_ attempt: AttemptID) -> [ToolStart] {
        let keys: [ToolKey] = [
            .explicit("a"), .explicit("b"), .shared("a"), .occurrence(0), .occurrence(1),
        ]
        return keys.flatMap { key in
            [UInt8(1), 2].map { request in
                ToolStart(
                    attempt: attempt, name: "t\(request)",
                    safety: request == 1 ? .once : .idempotent, key: key, request: [request])
            }
        }
    }

    mutating func chance(_ outOf: Int) -> Bool { Int.random(in: 0..<outOf, using: &random) == 0 }

    /// A number near the right one.
    mutating func near(_ value: UInt64) -> UInt64 {
        guard chance(16) else { return value }
        return chance(2) ? value &+ 1 : value == 0 ? 3 : value - 1
    }

    mutating func pick<Element>(_ elements: [Element], or other: Element) -> Element {
        elements.randomElement(using: &random) ?? other
    }

    mutating func deal(to model: FoldModel) -> (event: RunEvent, place: RunFold.Place) {
        time += 1
        let kind = kind(for: model)
        var epoch = model.epoch
        let isAnew = model.kinds.isEmpty && model.deletedEpoch != nil
        if kind == .resumed || chance(20) || isAnew && !chance(8) {
            epoch += 1
        } else if epoch > 0, chance(20) {
            epoch -= 1
        }
        let place = RunFold.Place(position: near(UInt64(model.kinds.count)), epoch: epoch)
        return (RunEvent(time: EventTime(microseconds: time), content(kind, model)), place)
    }

    private mutating func content(_ kind: ContentKind, _ model: FoldModel) -> RunEvent.Content {
        let due = AttemptID(step: near(model.stepIndex), attempt: near(model.nextAttempt))
        var open = model.openAttempt ?? due
        open.attempt = near(open.attempt)
        let failure = Failure(
            message: "E", category: pick(FailureCategory.allCases, or: .unknown),
            isRetryable: chance(2))
        switch kind {
        case .created:
            return .created(
                RunCreation(
                    loop: "l", policy: policy(), labels: labels(), state: [],
                    payloads: PayloadPolicy(shownBytesMax: chance(2) ? nil : time)))
        case .attemptStarted: return .attemptStarted(due)
        case .attemptFailed:
            return .attemptFailed(open, failure, chance(2) ? .fail : .retry(delay: 1))
        case .toolStarted:
            let starts = Self.starts(open)
            return .toolStarted(pick(starts, or: starts[0]))
        case .toolFinished:
            // Now and then one that has ended: it may be a correction.
            let begun = model.kinds.indices.filter { model.kinds[$0] == .toolStarted }
            let calls = chance(4) ? begun.map { UInt64($0) } : model.openCalls
            let call = pick(calls, or: UInt64(model.kinds.count / 2))
            let outcomes: [ToolFinish.Outcome] = [
                .completed(result: [UInt8(call & 255)]), .failed(failure), .didNotHappen,
            ]
            return Make.finish(
                near(call), pick(outcomes, or: .didNotHappen),
                by: pick([.tool, .tool] + ToolFinish.Author.allCases, or: .tool))
        case .toolThrew:
            let call = pick(model.openCalls, or: UInt64(model.kinds.count / 2))
            return .toolThrew(start: near(call), failure)
        case .toolReused:
            let answers = model.kinds.indices.map { UInt64($0) }.filter { model.isAnswer($0) }
            return .toolReused(open, finish: near(pick(answers, or: 0)))
        case .stepCommitted: return .stepCommitted(open, delta: [])
        case .runCompleted: return .runCompleted(open, result: [UInt8(time & 255)])
        case .snapshot: return .snapshot(step: near(model.stepIndex), state: [])
        case .paused: return .paused(reason(model))
        case .resumed: return .resumed(holder: "h\(time)")
        case .failed: return .failed(failure)
        case .cancelled: return .cancelled(reason: "")
        case .retried: return .retried
        case .labelled: return .labelled(labels())
        case .policyChanged: return .policyChanged(policy())
        case .migrated: return .migrated(stateVersion: time, state: [])
        case .asked: return Make.asked
        case .deleted: return .deleted
        }
    }

    private mutating func policy() -> CheckpointPolicy {
        pick([.full, .interval(2), .interval(5), .compact], or: .full)
    }

    private mutating func labels() -> [Label] {
        (0..<Int.random(in: 0...2, using: &random)).map { _ in
            Label(name: pick(["a", "b"], or: ""), value: pick(["", "1", "2"], or: ""))
        }
    }

    private mutating func reason(_ model: FoldModel) -> PauseReason {
        pick(
            [
                .budget, .requested("r"), .interrupted,
                .unknownOutcome(
                    call: model.openCalls.first ?? 0,
                    cause: chance(2)
                        ? nil
                        : Failure(message: "\(time)", category: .unknown, isRetryable: false)),
                .interruptedTooOften,
            ], or: .budget)
    }
}

/// `RunFold` against the plain array of events of `FoldModel`.
@Suite struct RunFoldModelTests {
    /// Plays one sequence, and tells what is first otherwise than in the model.
    private func disagreement(
        seed: UInt64, accepted: inout [ContentKind: Int], refused: inout [ContentKind: Int]
    ) -> String? {
        var dealer = EventDealer(random: SeededGenerator(seed))
        var (fold, model) = (RunFold(), FoldModel())
        for number in 0..<Int.random(in: 8...40, using: &dealer.random) {
            // For good: little more can come.
            let isOver = [.completed, .cancelled].contains(model.status)
            if isOver && dealer.chance(4) { break }
            let (event, place) = dealer.deal(to: model)
            let verdict = model.verdict(of: event.content, at: place)
            let before = fold
            if case .stepCommitted(let id, let delta) = event.content {
                let advance = StepAdvance.make(id, delta: delta, time: event.time)
                if !fold.isSameApplying(advance, at: place) {
                    return "seed \(seed), event \(number), an advance of \(id) at \(place)"
                }
            }
            let isAccepted = (try? fold.apply(event, at: place)) != nil
            var what: String { "seed \(seed), event \(number), \(event.content) at \(place)" }
            guard isAccepted == (verdict == .accepted) else {
                return "\(what): the fold says \(isAccepted), the model \(verdict)"
            }
            let kind = ContentKind(event.content)
            if isAccepted {
                model.append(event, at: place)
                accepted[kind, default: 0] += 1
                let differences = model.differences(from: fold)
                if !differences.isEmpty { return "\(what): \(differences)" }
            } else {
                refused[kind, default: 0] += 1
                if !fold.isSame(as: before) { return "\(what): refused, and the fold changed" }
            }
        }
        for start in EventDealer.starts(Make.id(0, 0)) {
            let (known, told) = (model.look(up: start), FoldModel.lookup(start, in: fold))
            if known != told { return "seed \(seed), call \(start.key): \(told), not \(known)" }
        }
        return nil
    }

    @Test("random events: the fold and an array of events agree after each one")
    func agrees() {
        var accepted: [ContentKind: Int] = [:]
        var refused: [ContentKind: Int] = [:]
        for seed in 0..<3000 as Range<UInt64> {
            let found = disagreement(seed: seed, accepted: &accepted, refused: &refused)
            if let found {
                Issue.record("\(found)")
                return
            }
        }
        // The sequences reach everything: what is seldom dealt still comes often.
        for kind in ContentKind.allCases {
            #expect(accepted[kind, default: 0] > 150, "\(kind) was accepted too seldom")
            #expect(refused[kind, default: 0] > 50, "\(kind) was refused too seldom")
        }
    }

    /// A reader gives the fold what it can decode: FORMAT.md 12.1 says that kinds above the known
    /// ones are stepped over.
    @Test("a run goes on after an event of a kind that this version does not know")
    func unknownKind() throws {
        let known = [Make.created, Make.resumed, Make.start(0, 0), Make.commit(0, 0)]
        var bodies = known.map { RunEvent(time: EventTime(microseconds: 1), $0).encoded() }
        bodies.insert([200, 1, 2, 3], at: 2)
        var fold = RunFold()
        var violations: [RunFold.Violation] = []
        for (position, body) in bodies.enumerated() {
            let place = RunFold.Place(position: UInt64(position), epoch: 1)
            let event = try RunEvent(decoding: body.rawSpan)
            do throws(RunFold.Violation) {
                if let event { try fold.apply(event, at: place) } else { try fold.skip(at: place) }
            } catch {
                violations.append(error)
            }
        }
        #expect(violations.map(\.description) == [])
        #expect(fold.summary.stepIndex == 1)
        #expect(fold.summary.nextPosition == 5)
    }

    /// Identity is by bytes, as in FORMAT.md and in the key that is handed to a tool; strings of
    /// Swift are equal when they look alike.
    @Test("keys and runs that differ in their bytes are different ones")
    func identityByBytes() throws {
        let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
        func start(_ key: String) -> ToolStart {
            ToolStart(
                attempt: Make.id(0, 0), name: "pay", safety: .once, key: .explicit(key),
                request: [1])
        }
        let contents: [RunEvent.Content] = [
            Make.created, Make.start(0, 0), .toolStarted(start(composed)),
            Make.finish(2, .completed(result: [2])),
            .labelled([Label(name: composed, value: "1"), Label(name: decomposed, value: "2")]),
        ]
        var fold = RunFold()
        for (position, content) in contents.enumerated() {
            try fold.apply(
                RunEvent(time: EventTime(microseconds: 1), content),
                at: .init(position: UInt64(position), epoch: 1))
        }
        #expect(FoldModel.lookup(start(composed), in: fold) == .completed(finish: 3, result: [2]))
        #expect(FoldModel.lookup(start(decomposed), in: fold) == .none)
        #expect(fold.summary.labels[ByteString(composed)] == "1")
        #expect(fold.summary.labels[ByteString(decomposed)] == "2")
        #expect(try RunID(composed) != RunID(decomposed))
    }
}
