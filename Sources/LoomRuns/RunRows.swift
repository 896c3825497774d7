public import LoomFormat
public import LoomModel

/// A state of a run: what the step of its index reads.
public struct HistoryRow: Hashable, Sendable {
    /// The step that reads it.
    public let step: UInt64
    /// The state as stored.
    public let state: [UInt8]
}

/// One call of the step function.
public struct AttemptRow: Hashable, Sendable {
    /// How it stands.
    public enum Status: String, Hashable, Sendable {
        /// It runs, or its end was not recorded yet.
        case started
        /// It led to the next state or to the result.
        case completed
        /// It threw.
        case failed
        /// A crash, a cancellation or a pause cut it.
        case interrupted
    }

    /// The step and the try.
    public let id: AttemptID
    /// How it stands.
    public internal(set) var status = Status.started
    /// The identity of the state that it read; `nil` where the policy does not keep that state.
    public internal(set) var inputHash: ContentHash?
    /// When it began.
    public let started: EventTime
    /// When it ended.
    public internal(set) var finished: EventTime?
    /// What it led to: the next state or the result, as stored.
    public internal(set) var output: [UInt8]?
    /// Whether the output is the result of the run.
    public internal(set) var isResult = false
    /// Why it failed; of one that was interrupted while a `.once` call was open, what cut it.
    public internal(set) var failure: Failure?
}

/// One managed tool call.
public struct ToolCallRow: Hashable, Sendable {
    /// How it stands.
    public enum Status: String, Hashable, Sendable {
        /// It was started, and nobody knows whether it happened.
        case started
        /// It returned.
        case completed
        /// It threw.
        case failed
        /// It is known not to have happened.
        case didNotHappen = "did_not_happen"
    }

    /// Its identity: the position of its start in the run.
    public let position: UInt64
    /// What was asked.
    public let start: ToolStart
    /// When it began.
    public let started: EventTime
    /// How it stands.
    public internal(set) var status = Status.started
    /// When it ended.
    public internal(set) var finished: EventTime?
    /// What it returned, as stored.
    public internal(set) var result: [UInt8]?
    /// Why it failed.
    public internal(set) var failure: Failure?
    /// Who said how it ended; `nil` while nobody knows.
    public internal(set) var author: ToolFinish.Author?
    /// How often a later attempt was answered from it.
    public internal(set) var reuseCount: UInt64 = 0
}
