public import LoomFormat
internal import LoomLog
public import LoomModel

/// Why a read gave no answer.
public enum RunReadError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no run of this name.
    case unknownRun(RunID)
    /// A limit or offset below zero.
    case negative(String, Int)
    /// The run has not come to this step.
    case notReached(RunID, step: UInt64, last: UInt64)
    /// The run's policy does not keep the state of this step; the next one before it that is kept.
    case notKept(RunID, step: UInt64, kept: UInt64)
    /// The events of the run cannot be read.
    case corrupt(RunID, String)
    /// An event of the run holds what only a newer version of loomlog can read.
    case newerVersion(RunID, String)

    /// Why an event cannot be read, with its place.
    static func unreadable(_ stored: StoredEvent, _ error: FormatError) -> RunReadError {
        let origin = stored.origin.map { " at \($0.segmentID):\($0.offset)" } ?? ""
        let place = "event \(stored.place.position)\(origin)"
        if case .unsupported = error { return .newerVersion(stored.run, "\(place): \(error)") }
        return .corrupt(stored.run, "\(place): \(error)")
    }

    /// One line.
    public var description: String {
        switch self {
        case .unknownRun(let run): "there is no run \(run)"
        case .negative(let name, let value): "\(name) is \(value), below zero"
        case .notReached(let run, let step, let last):
            "run \(run) has not come to step \(step): its last one is \(last)"
        case .notKept(let run, let step, _):
            "the policy of run \(run) does not keep the state of step \(step)"
        case .corrupt(let run, let reason): "run \(run) is damaged: \(reason)"
        case .newerVersion(let run, let reason):
            "run \(run) was written by a newer version: \(reason)"
        }
    }

    /// What to do about it.
    public var hint: String {
        switch self {
        case .unknownRun: "loomlog list shows the runs of the log"
        case .notReached(_, _, let last): "steps 0 to \(last) are there"
        case .notKept(_, _, let kept): "the nearest state before it that is kept is that of \(kept)"
        case .corrupt: "loomlog dump shows what the files hold"
        case .newerVersion: "use the version of loomlog that wrote it, or a newer one"
        case .negative: "give 0 or more"
        }
    }
}

/// What a run is now: its summary, with its state.
public struct RunView: Hashable, Sendable {
    /// The run.
    public let run: RunID
    /// The fold of its events.
    public let summary: RunSummary
    /// The state that its next step reads; `nil` when it is completed.
    public let state: [UInt8]?
    /// The result of a completed run.
    public let result: [UInt8]?
    /// Who holds it now, in the holder's words; `nil` when nobody does.
    public let holder: String?
    /// Whether it says `running` and nobody holds it: whoever drove it died.
    public let isInterrupted: Bool
    /// Why the run cannot be read further than this. Only lists have such runs: other reads throw
    /// this error.
    public let readError: RunReadError?

    init(
        _ row: RunRow, state: [UInt8]?, result: [UInt8]?, readError: RunReadError? = nil
    ) {
        run = row.run
        summary = row.outline.summary
        (self.state, self.result) = (state, result)
        (holder, isInterrupted) = (row.holder, row.isAbandoned)
        self.readError = readError
    }

    /// The status to show.
    public var status: String { summary.status(isInterrupted: isInterrupted, readError) }
}

extension RunSummary {
    /// The status to show, as ``RunFilter/status`` names it.
    func status(isInterrupted: Bool, _ readError: RunReadError?) -> String {
        switch readError {
        case nil: isInterrupted ? "interrupted" : status.rawValue
        case .newerVersion: "newer_version"
        default: "damaged"
        }
    }
}

/// A run explained: where it stands and what is remarkable about it.
public struct RunExplanation: Hashable, Sendable {
    /// What it is now.
    public let view: RunView
    /// How many of what its policy shows.
    public let stats: RunStats
    /// What does not add up; empty for a valid run.
    public let violations: [String]
    /// Tool calls that were started and of which nobody knows whether they happened.
    public let unfinishedCalls: [ToolCallTable.Call]
    /// Tool calls of which a person said otherwise than the tool; the oldest 100.
    public let corrections: [CorrectedCall]
    /// The violations, the corrections, and `compact_attempt_log` where the policy leaves attempts
    /// out.
    public var notes: [String] {
        violations + corrections.map(\.description)
            + (leavesAttemptsOut ? ["compact_attempt_log"] : [])
    }
    let leavesAttemptsOut: Bool
}

/// A tool call of which a person said otherwise than the tool had.
public struct CorrectedCall: Hashable, Sendable, CustomStringConvertible {
    /// The position of the correction in the run.
    public let position: UInt64
    /// The call, and how it had ended before.
    public let before: ToolCallTable.Ended
    /// What the correction says.
    public let outcome: ToolFinish.Outcome

    /// One line.
    public var description: String {
        "event \(position): a person corrected call \(before.call.position) of "
            + "\(before.call.start.name), which had \(Self.words(before.outcome)): "
            + "it \(outcome == .didNotHappen ? "did not happen" : Self.words(outcome))"
    }

    private static func words(_ outcome: ToolFinish.Outcome) -> String {
        switch outcome {
        case .completed(let result): "completed with \(result.count) bytes"
        case .failed: "failed"
        case .didNotHappen: "not happened"
        }
    }
}

/// How many rows the reads of a run show.
public struct RunStats: Hashable, Sendable {
    /// States.
    public let stepCount: Int
    /// Attempts.
    public let attemptCount: Int
    /// Attempts that were not the first of their step.
    public let retryCount: Int
    /// Attempts that failed.
    public let failedAttemptCount: Int
    /// Managed tool calls.
    public let toolCallCount: Int
    /// The category of the last failed attempt.
    public let lastErrorCategory: FailureCategory?
}
