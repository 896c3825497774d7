import LoomFormat
import LoomModel

/// The kinds of `RunEvent.Content`. A new one stops `init` from compiling, and once it is here the
/// tables fail until it has a row.
enum ContentKind: Hashable, CaseIterable {
    case created, attemptStarted, attemptFailed, toolStarted, toolFinished, toolReused
    case stepCommitted, runCompleted, snapshot, paused, resumed, failed, cancelled, retried
    case labelled, policyChanged, migrated, toolThrew, asked, deleted

    init(_ content: RunEvent.Content) {
        switch content {
        case .created: self = .created
        case .attemptStarted: self = .attemptStarted
        case .attemptFailed: self = .attemptFailed
        case .toolStarted: self = .toolStarted
        case .toolFinished: self = .toolFinished
        case .toolReused: self = .toolReused
        case .stepCommitted: self = .stepCommitted
        case .runCompleted: self = .runCompleted
        case .snapshot: self = .snapshot
        case .paused: self = .paused
        case .resumed: self = .resumed
        case .failed: self = .failed
        case .cancelled: self = .cancelled
        case .retried: self = .retried
        case .labelled: self = .labelled
        case .policyChanged: self = .policyChanged
        case .migrated: self = .migrated
        case .toolThrew: self = .toolThrew
        case .asked: self = .asked
        case .deleted: self = .deleted
        }
    }
}

/// Short names for the parts of events that tests put together.
enum Make {
    static let asked = RunEvent.Content.asked(
        Asked(id: RequestID(low: 1, high: 2), verb: "label", by: "somebody", answer: .done))
    static let failure = Failure(message: "E: no", category: .transient, isRetryable: true)
    static let created = RunEvent.Content.created(
        RunCreation(loop: "loop", labels: [Label(name: "a", value: "1")], state: [1]))
    static let resumed = RunEvent.Content.resumed(holder: "holder")

    static func id(_ step: UInt64, _ attempt: UInt64) -> AttemptID {
        AttemptID(step: step, attempt: attempt)
    }

    static func start(_ step: UInt64, _ attempt: UInt64) -> RunEvent.Content {
        .attemptStarted(id(step, attempt))
    }

    static func commit(_ step: UInt64, _ attempt: UInt64) -> RunEvent.Content {
        .stepCommitted(id(step, attempt), delta: [7])
    }

    /// A `.once` call with a key of its own: its outcome matters for the whole run.
    static func pay(_ attempt: AttemptID, request: [UInt8] = [1]) -> RunEvent.Content {
        .toolStarted(
            ToolStart(
                attempt: attempt, name: "pay", safety: .once, key: .explicit("order-7"),
                request: request))
    }

    /// A call with a key that holds for the whole store: in its run it is as any explicit one.
    static func share(_ attempt: AttemptID) -> RunEvent.Content {
        .toolStarted(
            ToolStart(
                attempt: attempt, name: "pay", safety: .once, key: .shared("order-7"),
                request: [1]))
    }

    /// A call that may be made again, with the key of its place in the attempt.
    static func ask(_ attempt: AttemptID, occurrence: UInt64 = 0) -> RunEvent.Content {
        .toolStarted(
            ToolStart(
                attempt: attempt, name: "ask", safety: .idempotent, key: .occurrence(occurrence),
                request: [1]))
    }

    static func finish(
        _ start: UInt64, _ outcome: ToolFinish.Outcome, by author: ToolFinish.Author = .tool
    ) -> RunEvent.Content {
        .toolFinished(ToolFinish(start: start, outcome: outcome, by: author))
    }

    static func reuse(_ attempt: AttemptID, _ finish: UInt64) -> RunEvent.Content {
        .toolReused(attempt, finish: finish)
    }
}

/// The kinds of state that a fold can be in; the letter names its column in the table.
enum FoldState: Character, CaseIterable {
    case nothing = "0"
    // Running, no attempt is open.
    case waiting = "w"
    case afterFailure = "f"
    case nextStep = "s"
    case keptCall = "k"
    case keptSharedCall = "h"
    case droppedCall = "l"
    case cut = "i"
    // Running, with an open attempt.
    case open = "o"
    case unfinishedCall = "u"
    case answeredCall = "d"
    case callNotMade = "n"
    case callToRepeat = "j"
    // Paused.
    case budget = "b"
    case requested = "q"
    case interrupted = "c"
    case unknownOutcome = "m"
    case interruptedTooOften = "y"
    case callEndedByPerson = "t"
    case callEndedByTool = "e"
    // Over, and open again.
    case completed = "C"
    case failed = "F"
    case cancelled = "X"
    case retried = "R"

    /// Events that lead there.
    var script: [RunEvent.Content] {
        let (first, second) = (Make.id(0, 0), Make.id(0, 1))
        let begun = [Make.created, .attemptStarted(first)]
        let paying = begun + [Make.pay(first)]
        let asking = begun + [Make.ask(first)]
        let failing =
            asking + [.attemptFailed(first, Make.failure, .fail), .failed(Make.failure)]
        return switch self {
        case .nothing: []
        case .waiting: [Make.created]
        case .afterFailure: begun + [.attemptFailed(first, Make.failure, .retry(delay: 5))]
        case .nextStep: begun + [Make.commit(0, 0)]
        case .keptCall: paying + [Make.commit(0, 0)]
        case .keptSharedCall: begun + [Make.share(first), Make.commit(0, 0)]
        case .droppedCall: asking + [Make.commit(0, 0)]
        case .cut: asking + [Make.resumed]
        case .open: begun
        case .unfinishedCall: paying
        case .answeredCall: paying + [Make.finish(2, .completed(result: [2]))]
        case .callNotMade: paying + [Make.finish(2, .didNotHappen)]
        case .callToRepeat: asking + [Make.resumed, .attemptStarted(second)]
        case .budget: begun + [Make.commit(0, 0), .paused(.budget)]
        case .requested: begun + [Make.commit(0, 0), .paused(.requested("why"))]
        case .interrupted: begun + [.paused(.interrupted)]
        case .unknownOutcome: paying + [.paused(.unknownOutcome(call: 2))]
        case .interruptedTooOften: begun + [Make.resumed, .paused(.interruptedTooOften)]
        case .callEndedByPerson:
            paying + [
                .paused(.unknownOutcome(call: 2)), Make.finish(2, .didNotHappen, by: .person),
            ]
        case .callEndedByTool:
            paying + [Make.finish(2, .completed(result: [2])), .paused(.interrupted)]
        case .completed: asking + [.runCompleted(first, result: [3])]
        case .failed: failing
        case .cancelled: paying + [.cancelled(reason: "enough")]
        case .retried: failing + [.retried]
        }
    }

    /// What is true there, told by hand.
    struct Facts {
        /// The step that comes next.
        var step: UInt64 = 0
        /// The last attempt of that step, open or not; 0 when there was none.
        var last: UInt64 = 0
        /// The index that the next attempt has.
        var due: UInt64 = 0
        /// Where the last tool call started; 0, where the creation is, when there was none.
        var call: UInt64 = 0
        /// Where the last tool call ended; 0 when none did.
        var finish: UInt64 = 0
        var status = RunStatus.running
    }

    var facts: Facts {
        switch self {
        case .nothing, .waiting: Facts()
        case .afterFailure, .open: Facts(due: 1)
        case .nextStep: Facts(step: 1)
        case .keptCall, .keptSharedCall, .droppedCall: Facts(step: 1, call: 2)
        case .cut, .unfinishedCall: Facts(due: 1, call: 2)
        case .answeredCall, .callNotMade: Facts(due: 1, call: 2, finish: 3)
        case .callToRepeat: Facts(last: 1, due: 2, call: 2)
        case .budget, .requested: Facts(step: 1, status: .paused)
        case .interrupted, .interruptedTooOften: Facts(due: 1, status: .paused)
        case .callEndedByPerson: Facts(due: 1, call: 2, finish: 4, status: .paused)
        case .callEndedByTool: Facts(due: 1, call: 2, finish: 3, status: .paused)
        case .unknownOutcome, .retried: Facts(due: 1, call: 2, status: .paused)
        case .completed: Facts(due: 1, call: 2, status: .completed)
        case .failed: Facts(due: 1, call: 2, status: .failed)
        case .cancelled: Facts(due: 1, call: 2, status: .cancelled)
        }
    }

    /// The events with their places: a resume raises the epoch, which begins at 5.
    var placed: [(event: RunEvent, place: RunFold.Place)] {
        var epoch: UInt64 = 5
        return script.enumerated().map { index, content in
            if case .resumed = content { epoch += 1 }
            let time = EventTime(microseconds: UInt64(100 + index))
            return (
                RunEvent(time: time, content), .init(position: UInt64(index), epoch: epoch)
            )
        }
    }

    /// The fold of the events.
    func fold() throws -> RunFold {
        var fold = RunFold()
        for (event, place) in placed { try fold.apply(event, at: place) }
        return fold
    }
}

extension RunFold {
    /// Everything that can be seen of a fold, to tell whether it changed.
    struct Look: Equatable {
        var summary: RunSummary
        var unfinished: [ToolCallTable.Call]
        var lookups: [ToolCallTable.Lookup]
    }

    /// Looks also under the keys of all calls that the table of transitions makes.
    var look: Look {
        let id = Make.id(0, 0)
        let made = [
            Make.pay(id), Make.pay(id, request: [9]), Make.ask(id), Make.ask(id, occurrence: 1),
            Make.share(id),
        ]
        let starts = made.compactMap { content in
            if case .toolStarted(let start) = content { start } else { nil }
        }
        return Look(
            summary: summary, unfinished: calls.unfinished,
            lookups: starts.map { calls.look(up: $0) })
    }
}
