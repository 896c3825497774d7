internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// A run as far as its events were seen, without its states: what is known of it, what its
/// policies show, what does not add up.
///
/// What no runner writes is counted as a violation and passed over.
struct RunOutline {
    private(set) var fold = RunFold()
    private(set) var policies = PolicyView()
    private(set) var violations: [RunFold.Violation] = []
    /// Tool calls of which a person said otherwise than the tool, oldest first; only where all
    /// values are kept.
    private(set) var corrections: [CorrectedCall] = []
    /// Completed first attempts, by stretch of the policy view.
    private var ordinaryAttempts: [UInt64] = []
    private var length = StateLength()
    private let values: Values

    private static let violationsMax = 100
    private static let correctionsMax = 100

    /// Which values are kept to be shown. Without them the memory of an outline does not depend on
    /// their size.
    enum Values {
        /// The run's result, and the requests and results of its tool calls.
        case all
        /// The run's result.
        case result
        /// None.
        case none
    }

    init(keeping values: Values) { self.values = values }

    var summary: RunSummary { fold.summary }
    /// Whether the run exists: its creation was accepted.
    var isBegun: Bool { fold.summary.nextPosition > 0 }
    /// The position of the last event that carries a whole state.
    var wholeState: UInt64 { length.wholeState }
    /// The most bytes that whoever follows the states from there on has to keep.
    var stateBytes: Int { length.heldBytes }

    /// Reads a stored event.
    ///
    /// - Returns: The event, or `nil` when it cannot follow those before it, or is of a kind of a
    ///   newer version.
    mutating func accept(_ stored: LogEvent) throws(FormatError) -> RunEvent? {
        let place = stored.place
        guard let event = try RunEvent(decoding: stored.body.rawSpan) else {
            do throws(RunFold.Violation) { try fold.skip(at: place) } catch { note(error) }
            return nil
        }
        guard let refusal = fold.refusal(of: kept(event), at: place) else { return event }
        note(refusal)
        return nil
    }

    /// Applies an event that was accepted.
    mutating func apply(_ event: RunEvent, at place: RunFold.Place) throws {
        let attempt = fold.summary.openAttempt
        try length.apply(event, at: place.position)
        noteCorrection(event, at: place)
        try fold.apply(kept(event), at: place)
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

    private mutating func noteCorrection(_ event: RunEvent, at place: RunFold.Place) {
        guard values == .all, case .toolFinished(let finish) = event.content,
            finish.author == .correction, corrections.count < Self.correctionsMax,
            let ended = fold.calls.ended(at: finish.start)
        else { return }
        corrections.append(
            CorrectedCall(position: place.position, before: ended, outcome: finish.outcome))
    }

    private func kept(_ event: RunEvent) -> RunEvent {
        values == .all ? event : event.withoutValues(but: values)
    }

    private mutating func note(_ violation: RunFold.Violation) {
        if violations.count < Self.violationsMax { violations.append(violation) }
    }

    /// Whether the run says `running` and whoever holds it does not have the log.
    func isAbandoned(_ writer: String?) -> Bool {
        guard summary.status == .running else { return false }
        return !(writer.map { summary.holder.contains($0) } ?? false)
    }

    /// How many rows of each kind the run's policies show.
    var stats: RunStats {
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

/// The length of a run's state, followed without its bytes, so that a delta that does not fit is
/// found by every read alike.
private struct StateLength {
    private var length = 0
    private(set) var wholeState: UInt64 = 0
    private(set) var heldBytes = 0

    mutating func apply(_ event: RunEvent, at position: UInt64) throws(FormatError) {
        switch event.content {
        case .created(let creation): reset(to: creation.state.count, position)
        case .snapshot(_, let state), .migrated(_, let state): reset(to: state.count, position)
        case .stepCommitted(_, let delta):
            let (base, result) = try StateDelta.lengths(of: delta.rawSpan)
            guard base == length else {
                throw .invalid("a delta against \(base) bytes, not \(length)")
            }
            length = result
            heldBytes = max(heldBytes + delta.count, result)
        default: break
        }
    }

    private mutating func reset(to length: Int, _ position: UInt64) {
        (self.length, wholeState, heldBytes) = (length, position, length)
    }
}

extension LogEvent {
    var place: RunFold.Place { RunFold.Place(position: position, epoch: epoch) }
}

extension RunEvent {
    /// The event without the values that a fold keeps only to show them: results are left out, and
    /// long requests, which are compared, are replaced by their hash.
    fileprivate func withoutValues(but kept: RunOutline.Values) -> RunEvent {
        var event = self
        switch content {
        case .toolStarted(var start):
            guard start.request.count > 64 else { return self }
            start.request = Array(ContentHash(of: start.request.rawSpan).description.utf8)
            event.content = .toolStarted(start)
        case .toolFinished(var finish):
            guard case .completed = finish.outcome else { return self }
            finish.outcome = .completed(result: [])
            event.content = .toolFinished(finish)
        case .runCompleted(let id, _):
            if kept == .none { event.content = .runCompleted(id, result: []) }
        default: return self
        }
        return event
    }
}
