import LoomFormat
import LoomModel

@testable import LoomRuns

/// The bytes of an event that stay whatever an archive leaves out: of a run whose policies hide
/// something those without states and without the times of ordinary attempts.
struct KeptBytes: Hashable {
    let bytes: [UInt8]

    init(_ body: [UInt8], hides: Bool) {
        guard hides, var event = (try? RunEvent(decoding: body.rawSpan)) ?? nil else {
            bytes = body
            return
        }
        switch event.content {
        case .stepCommitted(let id, _):
            event.content = .stepCommitted(id, delta: [])
            if id.attempt == 0 { event.time = EventTime(microseconds: 0) }
        case .snapshot(let step, _): event.content = .snapshot(step: step, state: [])
        case .attemptStarted(let id) where id.attempt == 0:
            event.time = EventTime(microseconds: 0)
        default: break
        }
        bytes = event.encoded()
    }
}

/// What a summary says that stays. What is held to follow the states is less where some are gone.
struct KeptOutline: Hashable {
    let summary: RunSummary
    let policies: PolicyView
    let numbers: [[UInt64]]
    let violations: [RunFold.Violation]
    let notes: [OpenCallNotes]

    init(_ outline: RunOutline) {
        (summary, policies) = (outline.summary, outline.policies)
        (violations, notes) = (outline.violations, outline.unfinishedNotes)
        numbers = [
            outline.ordinaryAttempts, [outline.state.length, outline.state.wholeState],
            [outline.resultBytes], outline.corrections, outline.unfinishedCalls,
            outline.unknownEvent.map { [$0] } ?? [],
        ]
    }
}

extension ListedEvents {
    /// Whether archives may leave something out of a run.
    func hides(_ run: RunID) -> Bool {
        (try? row(of: run))?.outline.policies.hidesAnything ?? false
    }
}
