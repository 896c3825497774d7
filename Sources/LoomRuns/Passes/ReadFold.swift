internal import LoomFormat
internal import LoomModel

/// Folds the events of a run as they are stored: what no runner writes is noted as a violation and
/// passed over, and so is what only a newer version understands.
struct ReadFold {
    private var folded: OutlineFold
    /// Tool calls of which a person said otherwise than the tool, oldest first; only where all
    /// values are kept.
    private(set) var corrections: [CorrectedCall] = []
    private let keepsValues: Bool

    private static let correctionsMax = 100

    /// - Parameter keepsValues: Whether requests and results are kept to be shown.
    init(keepsValues: Bool) {
        self.keepsValues = keepsValues
        folded = OutlineFold(keepsValues: keepsValues)
    }

    /// The fold of events that are known by their outline; see ``prepare(for:from:)``.
    init(resuming outline: RunOutline, keepsValues: Bool = false) {
        self.keepsValues = keepsValues
        folded = OutlineFold(resuming: outline, keepsValues: keepsValues)
    }

    var outline: RunOutline { folded.outline }
    var summary: RunSummary { folded.summary }
    var nextPosition: UInt64 { folded.nextPosition }
    var policies: PolicyView { folded.policies }
    var state: StateExtent { folded.state }
    var rowCounts: RowCountVector { folded.rowCounts }
    var calls: ToolCallTable { folded.fold.calls }
    /// The result of a completed run, where values are kept.
    var result: [UInt8]? { folded.fold.result }
    /// Whether the run exists: its creation was accepted.
    var isBegun: Bool { folded.nextPosition > 0 }

    /// Looks up what an event depends on, in a fold that goes on from an outline.
    mutating func prepare<Past: RunPast>(
        for event: RunEvent, from past: Past
    ) throws(Past.Failure) {
        try folded.prepare(for: event, from: past)
    }

    /// Applies a commit or the start of an attempt from its bytes, if it is one that follows.
    mutating func seeOrdinary(
        _ head: EventHead, _ body: RawSpan, at place: RunFold.Place
    ) -> OutlineFold.Ordinary? {
        folded.applyOrdinary(head, body, at: place)
    }

    /// Reads a stored event.
    ///
    /// - Returns: The event, or `nil` when it cannot follow those before it, or is of a kind of a
    ///   newer version.
    mutating func accept(_ stored: StoredEvent) throws(RunReadError) -> RunEvent? {
        guard let event = try stored.event() else {
            skip(at: stored.place)
            return nil
        }
        guard let refusal = folded.refusal(of: event, at: stored.place) else { return event }
        folded.note(refusal)
        return nil
    }

    /// Applies an event if it can come next; one that cannot is noted.
    ///
    /// - Returns: Whether it was applied.
    mutating func take(_ event: RunEvent, _ stored: StoredEvent) throws(RunReadError) -> Bool {
        let correction = correction(event, at: stored.place)
        do throws(OutlineFold.Refusal) {
            try folded.apply(event, at: stored.place)
        } catch {
            switch error {
            case .delta(let error): throw .unreadable(stored, error)
            case .violation(let violation):
                folded.note(violation)
                return false
            }
        }
        if let correction { corrections.append(correction) }
        return true
    }

    /// Passes over an event of a kind of a newer version.
    mutating func skip(at place: RunFold.Place) {
        do throws(RunFold.Violation) {
            try folded.skip(at: place)
        } catch {
            folded.note(error)
        }
    }

    /// Reads a stored event and applies it, where the fold is of all events.
    mutating func see(_ stored: StoredEvent) throws(RunReadError) {
        guard let event = try stored.event() else { return skip(at: stored.place) }
        _ = try take(event, stored)
    }

    /// The same, where the fold goes on from an outline.
    mutating func see(_ stored: StoredEvent, after past: SourcePast) throws {
        guard let event = try stored.event() else { return skip(at: stored.place) }
        try prepare(for: event, from: past)
        _ = try take(event, stored)
    }

    /// What a person says otherwise than the tool, where that is kept.
    private func correction(_ event: RunEvent, at place: RunFold.Place) -> CorrectedCall? {
        guard keepsValues, case .toolFinished(let finish) = event.content,
            finish.author == .correction, corrections.count < Self.correctionsMax,
            let ended = calls.ended(at: finish.start)
        else { return nil }
        return CorrectedCall(position: place.position, before: ended, outcome: finish.outcome)
    }
}

extension RunOutline {
    /// How many rows of each kind the run's policies show.
    var stats: RunStats {
        RunStats(
            stepCount: Int(policies.shownStateCount(to: summary.stepIndex)),
            attemptCount: Int(summary.attemptCount - hiddenAttemptCount),
            retryCount: Int(summary.retryCount),
            failedAttemptCount: Int(summary.failedAttemptCount),
            toolCallCount: Int(summary.toolCallCount),
            lastErrorCategory: summary.lastFailureCategory)
    }
}
