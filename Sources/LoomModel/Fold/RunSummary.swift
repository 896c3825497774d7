public import LoomFormat

/// Where a run stands.
public enum RunStatus: String, Hashable, Sendable, CaseIterable {
    /// Somebody drives it, or did and died: reads that can probe the holder say `interrupted` then.
    case running
    /// Nobody drives it and it can be resumed.
    case paused
    /// Done, with a result.
    case completed
    /// Ended by a failure; `retry` opens it again.
    case failed
    /// Given up.
    case cancelled

    /// Whether the run can be driven on.
    public var isResumable: Bool { self == .running || self == .paused }
}

/// What is known of a run without its states: the fold of its events.
public struct RunSummary: Hashable, Sendable {
    /// The durable name of the loop.
    public internal(set) var loop = ""
    /// The version of the state's shape.
    public internal(set) var stateVersion: UInt64 = 0
    /// How states and results are encoded.
    public internal(set) var codec = ""
    /// What the read side keeps.
    public internal(set) var policy = CheckpointPolicy.full
    /// What lists show of large values.
    public internal(set) var payloads = PayloadPolicy.whole
    /// Labels by name.
    public internal(set) var labels: [ByteString: String] = [:]
    /// Where the run stands.
    public internal(set) var status = RunStatus.running
    /// The step that comes next, or the last one of a run that is over.
    public internal(set) var stepIndex: UInt64 = 0
    /// The epoch of the last holder.
    public internal(set) var epoch: UInt64 = 0
    /// The epoch of the last run of this name that was deleted: events of it and of lower ones are
    /// no events of this run.
    public internal(set) var deletedEpoch: UInt64?
    /// The position that the run's next event has.
    public internal(set) var nextPosition: UInt64 = 0
    /// When it was created.
    public internal(set) var created = EventTime(microseconds: 0)
    /// When the last event was recorded.
    public internal(set) var updated = EventTime(microseconds: 0)
    /// The position of the event that ended the run: with its result, its failure, or neither.
    public internal(set) var end: UInt64?
    /// The failure of a failed run.
    public internal(set) var failure: Failure?
    /// Why it is paused.
    public internal(set) var pauseReason: PauseReason?
    /// Who holds or held it, in the holder's words.
    public internal(set) var holder = ""

    /// The position of the first event of the present step: behind the commit of the one before.
    public internal(set) var stepStart: UInt64 = 0
    /// The attempt that was started and has not ended.
    public internal(set) var openAttempt: AttemptID?
    /// The index that the next attempt of the present step gets.
    public internal(set) var nextAttempt: UInt64 = 0
    /// Failures of the present step since it began or since the last `retry`.
    public internal(set) var failuresOfStep: UInt64 = 0
    /// Interruptions of the present step since it began, since the last `retry`, or since it was
    /// paused for too many of them.
    public internal(set) var interruptionsOfStep: UInt64 = 0

    /// Attempts started.
    public internal(set) var attemptCount: UInt64 = 0
    /// Attempts that were not the first of their step.
    public internal(set) var retryCount: UInt64 = 0
    /// Attempts that failed.
    public internal(set) var failedAttemptCount: UInt64 = 0
    /// Attempts cut by a crash or a cancellation.
    public internal(set) var interruptedAttemptCount: UInt64 = 0
    /// Tool calls started.
    public internal(set) var toolCallCount: UInt64 = 0
    /// The category of the last failed attempt.
    public internal(set) var lastFailureCategory: FailureCategory?

    /// States that exist: the first, and one for every step that continued.
    public var checkpointCount: UInt64 {
        stepIndex + 1
    }
}
