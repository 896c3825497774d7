public import LoomFormat

/// Where it was noted what is known of a tool call that has not ended.
public struct OpenCallNotes: Hashable, Sendable {
    /// The position of the call's start.
    public var call: UInt64 = 0
    /// The position of the event with what its body threw; `nil` for none.
    public var thrown: UInt64?
    /// The position of the pause with what ended the attempt that made it; `nil` for none.
    public var cause: UInt64?

    var isEmpty: Bool { thrown == nil && cause == nil }
}

/// What is known of a run without its states and its values: what lists, filters and indexes keep.
///
/// A value with bytes of its own (FORMAT.md, Summaries). It does not grow with the number of steps.
/// What it leaves out is named by position, so that it can be read when it is shown.
public struct RunOutline: Hashable, Sendable {
    /// The fold of the run's events.
    public internal(set) var summary = RunSummary()
    /// What the run's policies show.
    public internal(set) var policies = PolicyView()
    /// Attempts that were the first of their step and went well, by stretch of the policies.
    public internal(set) var ordinaryAttempts: [UInt64] = []
    /// How long the state is, and where it begins to be stored.
    public internal(set) var state = StateExtent()
    /// Bytes of the result of a completed run.
    public internal(set) var resultBytes: UInt64 = 0
    /// Events that cannot follow those before them, and were passed over: the oldest 100.
    public internal(set) var violations: [RunFold.Violation] = []
    /// Positions of the events by which a person said otherwise than a tool: the oldest 100.
    public internal(set) var corrections: [UInt64] = []
    /// Positions of the starts of tool calls that have not ended, in order.
    public internal(set) var unfinishedCalls: [UInt64] = []
    /// What was noted of those, in order of their starts; of those of which something was.
    public internal(set) var unfinishedNotes: [OpenCallNotes] = []

    /// The position of the first event of a kind that whoever folded the run did not know; `nil`
    /// for none. The run cannot be driven past it.
    public internal(set) var unknownEvent: UInt64?

    /// The outline of a run without events.
    public init() {}

    /// Whether the run exists: its creation was accepted.
    public var isBegun: Bool { summary.nextPosition > 0 }
    /// Whether the run was deleted, and its name did not begin anew.
    public var isDeleted: Bool { !isBegun && summary.deletedEpoch != nil }
}

extension RunOutline {
    /// How many rows of each kind the run has, whatever its policies show. Attempts that are not
    /// ordinary are counted when their step is over.
    public var rowCounts: RowCountVector {
        Self.rowCounts(summary, ordinaryAttempts: ordinaryAttempts)
    }

    /// The same from its parts: asked at every event of an archive, so that nothing is copied.
    static func rowCounts(
        _ summary: RunSummary, ordinaryAttempts: [UInt64]
    ) -> RowCountVector {
        let ofOpenStep = summary.status == .completed ? 0 : summary.nextAttempt
        let ordinary = ordinaryAttempts.reduce(0, &+)
        return RowCountVector(
            steps: summary.stepIndex, attempts: summary.attemptCount,
            remarkableAttempts: summary.attemptCount &- ofOpenStep &- ordinary,
            toolCalls: summary.toolCallCount)
    }

    /// How many of the run's attempts its policies hide.
    public var hiddenAttemptCount: UInt64 {
        var hidden: UInt64 = 0
        for (stretch, count) in ordinaryAttempts.enumerated()
        where !policies.showsOrdinaryAttempts(ofStretch: stretch) { hidden += count }
        if let open = summary.openAttempt, open.attempt == 0,
            !policies.showsOrdinaryAttempt(open.step)
        {
            hidden += 1
        }
        return hidden
    }
}
