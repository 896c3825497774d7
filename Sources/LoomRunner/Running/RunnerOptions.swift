public import Logging
public import LoomFormat
public import LoomModel

/// How a runner drives its runs.
public struct RunnerOptions: Sendable {
    /// When a failed attempt is followed by another.
    public var retry = RetryPolicy()
    /// What the read side of a new run keeps. Stored with the run.
    public var policy = CheckpointPolicy.full
    /// What lists show of a new run's large values. Stored with the run.
    public var payloads = PayloadPolicy.whole
    /// Labels of a new run.
    public var labels: [Label] = []
    /// Tools that steps may call by name.
    public var tools = ToolRegistry()
    /// How long one attempt may take; `nil` for as long as it likes.
    ///
    /// When it is over the step's task is cancelled, and the attempt counts as a transient failure.
    /// A step that still runs after ``timeoutGrace`` gets no further attempt in this process: the
    /// run is left as interrupted, ``RunnerError/stillRunning(_:step:)`` is thrown, and nobody here
    /// gets the run until the step ends.
    public var attemptTimeout: Duration?
    /// How long a cancelled step may take to end. 5 s.
    public var timeoutGrace = Duration.seconds(5)
    /// Who drives, in words for others that want the run. The store adds its process.
    public var holder: String?
    /// Where steps log to.
    public var logger = Logger(label: "loomlog")
    /// The time that is recorded and waited by.
    public var clock: any RunClock = SystemRunClock()

    /// Creates the defaults.
    public init() {}
}

/// What to do when a run that is to be started exists already.
public enum ExistingRun: Hashable, Sendable {
    /// Throws ``RunnerError/runExists(_:)``.
    case fail
    /// Goes on with it: resumes it, or returns how it ended. A start may then be repeated safely.
    case attach
    /// As `attach` when it began with the same state, else ``RunnerError/otherInput(_:)``.
    case attachIfSameInput
}

/// Where a run stood when its driver let go of it.
public struct RunResult<Loop: StepLoop>: Sendable {
    /// The run.
    public let run: RunID
    /// Where it stands: paused, completed or failed.
    public let status: RunStatus
    /// The step that comes next, or the last one.
    public let stepIndex: UInt64
    /// The state that the next step reads; of a completed run, `nil`.
    public let state: Loop.State?
    /// The result of a completed run.
    public let output: Loop.Output?
    /// The failure of a failed run.
    public let failure: Failure?
    /// Why it is paused.
    public let pauseReason: PauseReason?
}
