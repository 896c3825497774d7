internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// A pass over the events of one run, in order, in constant memory.
///
/// A visitor sees each event twice: before its state change, with the state that the present step
/// reads, and after it. What no runner writes is counted as a violation and passed over.
struct RunPass {
    let log: LogReader
    let run: RunID

    /// Where a pass stands.
    struct Position {
        var fold = RunFold()
        var track = StateTrack()
        var policies = PolicyView()
        var violations: [RunFold.Violation] = []
        /// Tool calls of which a person said otherwise than the tool, oldest first.
        var corrections: [CorrectedCall] = []
        /// Completed first attempts, by stretch of the policy view.
        var ordinaryAttempts: [UInt64] = []
    }

    /// Thrown by a visitor that has seen enough.
    struct Enough: Error {}

    /// Goes through the events below a position of the run; all of them when none is named.
    ///
    /// - Parameters:
    ///   - before: Called with an accepted event before it changes anything.
    ///   - after: Called when it has.
    func scan(
        below end: UInt64 = .max,
        before: (RunEvent, RunFold.Place, inout Position) throws -> Void = { _, _, _ in },
        after: (RunEvent, RunFold.Place, inout Position) throws -> Void = { _, _, _ in }
    ) throws -> Position {
        var position = Position()
        do {
            try log.scan(run: run) { stored in
                guard stored.position < end else { throw Enough() }
                try Self.visit(stored, &position, before, after)
            }
        } catch is Enough {}
        return position
    }

    /// Applies one stored event to a position; used for many runs at once, too.
    static func visit(
        _ stored: LogEvent, _ position: inout Position,
        _ before: (RunEvent, RunFold.Place, inout Position) throws -> Void = { _, _, _ in },
        _ after: (RunEvent, RunFold.Place, inout Position) throws -> Void = { _, _, _ in }
    ) throws {
        do {
            let place = RunFold.Place(position: stored.position, epoch: stored.epoch)
            guard let event = try RunEvent(decoding: stored.body.rawSpan) else {
                // A kind of a newer version.
                do { try position.fold.skip(at: place) } catch { position.note(error) }
                return
            }
            if let refusal = position.fold.refusal(of: event, at: place) {
                return position.note(refusal)
            }
            try before(event, place, &position)
            try position.apply(event, at: place)
            try after(event, place, &position)
        } catch let error as FormatError {
            throw RunReadError.corrupt(
                stored.run,
                "event \(stored.position) at \(stored.segmentID):\(stored.offset): \(error)")
        }
    }
}

extension RunPass.Position {
    private static var violationsMax: Int { 100 }
    private static var correctionsMax: Int { 100 }

    fileprivate mutating func note(_ violation: RunFold.Violation) {
        if violations.count < Self.violationsMax { violations.append(violation) }
    }

    fileprivate mutating func apply(_ event: RunEvent, at place: RunFold.Place) throws {
        let attempt = fold.summary.openAttempt
        if case .toolFinished(let finish) = event.content, finish.author == .correction,
            let ended = fold.calls.ended(at: finish.start),
            corrections.count < Self.correctionsMax
        {
            corrections.append(
                CorrectedCall(position: place.position, before: ended, outcome: finish.outcome))
        }
        try fold.apply(event, at: place)
        try track.apply(event)
        switch event.content {
        case .created(let creation):
            policies.change(to: creation.policy, at: 0)
            ordinaryAttempts.append(0)
        case .policyChanged(let policy):
            // Of a completed run every state is past: what was hidden may be gone.
            let isOver = fold.summary.status == .completed
            policies.change(to: policy, at: fold.summary.stepIndex + (isOver ? 1 : 0))
            ordinaryAttempts.append(0)
        case .stepCommitted, .runCompleted:
            if attempt?.attempt == 0, !ordinaryAttempts.isEmpty {
                ordinaryAttempts[ordinaryAttempts.count - 1] += 1
            }
        default: break
        }
    }

    /// How many rows of each kind the run's policies show.
    var stats: RunStats {
        let summary = fold.summary
        var hidden: UInt64 = 0
        for (stretch, count) in ordinaryAttempts.enumerated()
        where !policies.showsOrdinaryAttempts(ofStretch: stretch) { hidden += count }
        if let open = summary.openAttempt, open.attempt == 0,
            !policies.showsOrdinaryAttempt(open.step)
        {
            hidden += 1
        }
        return RunStats(
            stepCount: Int(policies.shownStateCount(to: summary.stepIndex)),
            attemptCount: Int(summary.attemptCount - hidden),
            retryCount: Int(summary.retryCount),
            failedAttemptCount: Int(summary.failedAttemptCount),
            toolCallCount: Int(summary.toolCallCount),
            lastErrorCategory: summary.lastFailureCategory)
    }
}
