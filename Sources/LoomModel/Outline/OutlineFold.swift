public import LoomFormat

/// Folds the events of one run into its ``RunOutline``, with the tool calls that a driver needs.
///
/// One fold for whoever writes a run and whoever reads it: what a journal offers its store beside
/// each unit is what a reader makes of the events.
public struct OutlineFold: Sendable {
    /// The summary and the calls that still matter.
    public internal(set) var fold = RunFold()
    var parts = RunOutline()
    let keepsValues: Bool

    private static let remarksMax = 100

    /// The fold of no event.
    ///
    /// - Parameter keepsValues: Whether the run's result, and the requests and results of its tool
    ///   calls are kept. Without them the memory of the fold does not depend on their size.
    public init(keepsValues: Bool = true) { self.keepsValues = keepsValues }

    /// What is known so far, without the values.
    ///
    /// - Complexity: That of the calls that have not ended.
    public var outline: RunOutline {
        var outline = parts
        outline.summary = fold.summary
        outline.unfinishedCalls = fold.calls.unfinishedPositions
        outline.unfinishedNotes = fold.calls.unfinishedNotes
        return outline
    }

    /// See ``RunOutline/rowCounts``.
    public var rowCounts: RowCountVector {
        RunOutline.rowCounts(fold.summary, ordinaryAttempts: parts.ordinaryAttempts)
    }

    /// The fold of the run's events.
    public var summary: RunSummary { fold.summary }
    /// The position that the next event has. Asked at every event, so that it copies no summary.
    public var nextPosition: UInt64 { fold.summary.nextPosition }
    /// What the run's policies show.
    public var policies: PolicyView { parts.policies }
    /// How long the state is, and where it begins to be stored.
    public var state: StateExtent { parts.state }

    /// Why an event was not applied.
    public enum Refusal: Error, Hashable, Sendable, CustomStringConvertible {
        /// It cannot follow those before it.
        case violation(RunFold.Violation)
        /// Its delta does not fit the state before it.
        case delta(FormatError)

        /// What is wrong.
        public var description: String {
            switch self {
            case .violation(let violation): violation.description
            case .delta(let error): error.description
            }
        }
    }

    /// Why an event cannot come next, or `nil` when it can.
    public func refusal(of event: RunEvent, at place: RunFold.Place) -> RunFold.Violation? {
        fold.refusal(of: kept(event), at: place)
    }

    func kept(_ event: RunEvent) -> RunEvent {
        keepsValues ? event : event.withoutValues
    }

    /// Applies the next event. When it throws, nothing has changed.
    public mutating func apply(
        _ event: RunEvent, at place: RunFold.Place
    ) throws(Refusal) {
        let kept = kept(event)
        if let violation = fold.refusal(of: kept, at: place) { throw .violation(violation) }
        do throws(FormatError) {
            try parts.state.apply(event, at: place.position)
        } catch {
            throw .delta(error)
        }
        note(event, at: place)
        fold.take(kept, at: place)
        switch event.content {
        case .deleted: parts = RunOutline()
        case .created(let creation): change(to: creation.policy, at: 0)
        case .policyChanged(let policy):
            // Of a completed run every state is past: what was hidden may be gone.
            let isOver = fold.summary.status == .completed
            change(to: policy, at: fold.summary.stepIndex + (isOver ? 1 : 0))
        default: break
        }
    }

    /// Applies an advance: as its events one by one. When it throws, nothing has changed.
    public mutating func apply(
        _ advance: StepAdvance, at place: RunFold.Place
    ) throws(Refusal) {
        let before = parts.state
        do throws(FormatError) {
            try parts.state.apply(advance, at: place.position)
        } catch {
            throw .delta(error)
        }
        do throws(RunFold.Violation) {
            try fold.apply(advance, at: place)
        } catch {
            parts.state = before
            throw .violation(error)
        }
        if advance.attempt.attempt == 0 { countOrdinaryAttempt() }
    }

    /// Passes over an event of a kind that this version does not know: its position is taken.
    public mutating func skip(at place: RunFold.Place) throws(RunFold.Violation) {
        try fold.skip(at: place)
        parts.unknownEvent = parts.unknownEvent ?? place.position
    }

    /// Notes an event that was passed over as it cannot follow those before it.
    public mutating func note(_ violation: RunFold.Violation) {
        // Of an event that was gone before.
        if let deleted = fold.summary.deletedEpoch, violation.place.epoch <= deleted { return }
        if parts.violations.count < Self.remarksMax { parts.violations.append(violation) }
    }

    /// What has to be looked at before the event changes the fold.
    private mutating func note(_ event: RunEvent, at place: RunFold.Place) {
        switch event.content {
        case .toolFinished(let finish):
            guard finish.author == .correction, parts.corrections.count < Self.remarksMax,
                fold.calls.ended(at: finish.start) != nil
            else { return }
            parts.corrections.append(place.position)
        case .stepCommitted, .runCompleted:
            if case .runCompleted(_, let result) = event.content {
                parts.resultBytes = UInt64(result.count)
            }
            if fold.summary.openAttempt?.attempt == 0 { countOrdinaryAttempt() }
        default: break
        }
    }

    private mutating func change(to policy: CheckpointPolicy, at step: UInt64) {
        parts.policies.change(to: policy, at: step)
        parts.ordinaryAttempts.append(0)
    }

    mutating func countOrdinaryAttempt() {
        let count = parts.ordinaryAttempts.count
        if count > 0 { parts.ordinaryAttempts[count - 1] += 1 }
    }
}

extension RunEvent {
    /// The event without the values that a fold keeps only to show them: results are left out, and
    /// long requests, which are compared, are replaced by their hash.
    fileprivate var withoutValues: RunEvent {
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
        case .runCompleted(let id, _): event.content = .runCompleted(id, result: [])
        default: return self
        }
        return event
    }
}
