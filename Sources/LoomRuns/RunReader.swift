public import LoomFormat
public import LoomLog
public import LoomModel
public import LoomStorage
public import SystemPackage

/// Why a read gave no answer.
public enum RunReadError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no run of this name.
    case unknownRun(RunID)
    /// A limit or offset below zero.
    case negative(String, Int)
    /// The events of the run cannot be read.
    case corrupt(RunID, String)

    /// One line.
    public var description: String {
        switch self {
        case .unknownRun(let run): "there is no run \(run)"
        case .negative(let name, let value): "\(name) is \(value), below zero"
        case .corrupt(let run, let reason): "run \(run) is damaged: \(reason)"
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
    /// Whether it says `running` and nobody holds the log: its process died.
    public let isInterrupted: Bool

    /// The status to show.
    public var status: String { isInterrupted ? "interrupted" : summary.status.rawValue }
}

/// A run explained: where it stands and what is remarkable about it.
public struct RunExplanation: Hashable, Sendable {
    /// What it is now.
    public let view: RunView
    /// How many of what its policy shows.
    public let stats: RunStats
    /// What does not add up; empty for a valid run.
    public let violations: [String]
    /// The violations, and `compact_attempt_log` where the policy leaves attempts out.
    public var notes: [String] {
        leavesAttemptsOut ? violations + ["compact_attempt_log"] : violations
    }
    let leavesAttemptsOut: Bool
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

/// Reads the runs of a log, also while it is written: needs the log alone, not the program that
/// made it.
///
/// In this version every answer is made from a scan of the log, so that its cost grows with it.
///
/// ```swift
/// let runs = try RunReader(path: "runs.loom")
/// let view = try runs.get(RunID("demo"))
/// print(view.status, view.summary.stepIndex)
/// ```
public struct RunReader: Sendable {
    private let log: LogReader

    /// Looks at a log; changes nothing in it.
    public init(
        path: FilePath, storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        log = try LogReader(path: path, storage: storage)
    }

    /// What a run is now.
    public func get(_ run: RunID) throws -> RunView {
        var rows = try rows(of: run)
        return try view(run, &rows, isHeld: try log.writer() != nil)
    }

    /// Every run of the log, by time of creation and then by name.
    public func list() throws -> [RunView] {
        var all: [RunID: RunRows] = [:]
        try log.scan { event in try Self.apply(event, to: &all[event.run, default: RunRows()]) }
        let isHeld = try log.writer() != nil
        var views: [RunView] = []
        for (run, rows) in all {
            var rows = rows
            views.append(try view(run, &rows, isHeld: isHeld))
        }
        return views.sorted {
            ($0.summary.created, $0.run) < ($1.summary.created, $1.run)
        }
    }

    /// The states of a run, from the first on.
    public func history(
        _ run: RunID, limit: Int? = nil, offset: Int = 0
    ) throws -> [HistoryRow] {
        try page(try rows(of: run).shownHistory, limit, offset)
    }

    /// The attempts of a run, by step and try.
    public func attempts(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> [AttemptRow] {
        let attempts = try rows(of: run).shownAttempts
        return try page(attempts.filter { step == nil || $0.id.step == step }, limit, offset)
    }

    /// The managed tool calls of a run, in the order in which they began.
    public func toolCalls(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> [ToolCallRow] {
        let calls = try rows(of: run).calls
        return try page(
            calls.filter { step == nil || $0.start.attempt.step == step }, limit, offset)
    }

    /// How many rows of each kind the run's policy shows.
    public func stats(_ run: RunID) throws -> RunStats { try explain(run).stats }

    /// Whether the events of a run are such as a runner writes; with what is wrong when not.
    public func verify(_ run: RunID) throws -> (isValid: Bool, notes: [String]) {
        let violations = try explain(run).violations
        return (violations.isEmpty, violations)
    }

    /// Where a run stands and what is remarkable about it.
    public func explain(_ run: RunID) throws -> RunExplanation {
        var rows = try rows(of: run)
        let view = try view(run, &rows, isHeld: try log.writer() != nil)
        let attempts = rows.shownAttempts
        let stats = RunStats(
            stepCount: rows.shownHistory.count, attemptCount: attempts.count,
            retryCount: attempts.count { $0.id.attempt > 0 },
            failedAttemptCount: attempts.count { $0.status == .failed },
            toolCallCount: rows.calls.count,
            lastErrorCategory: rows.fold.summary.lastFailureCategory)
        return RunExplanation(
            view: view, stats: stats, violations: violations(of: rows, view),
            leavesAttemptsOut: rows.policies.leavesAttemptsOut)
    }

    private func violations(of rows: RunRows, _ view: RunView) -> [String] {
        var notes = rows.violations.map { "event \($0.place.position): \($0.description)" }
        let summary = rows.fold.summary
        if summary.status == .completed && summary.result == nil {
            notes.append("completed_run_missing_result")
        }
        if summary.status == .failed && summary.failure == nil {
            notes.append("failed_run_missing_error")
        }
        if summary.status.isResumable && view.state == nil {
            notes.append("resumable_run_missing_state")
        }
        return notes
    }

    private func rows(of run: RunID) throws -> RunRows {
        var rows = RunRows()
        try log.scan(run: run) { event in try Self.apply(event, to: &rows) }
        guard rows.fold.summary.nextPosition > 0 else { throw RunReadError.unknownRun(run) }
        return rows
    }

    private static func apply(_ stored: LogEvent, to rows: inout RunRows) throws {
        do throws(FormatError) {
            // A kind of a newer version is stepped over.
            guard let event = try RunEvent(decoding: stored.body.rawSpan) else { return }
            try rows.apply(event, at: .init(position: stored.position, epoch: stored.epoch))
        } catch {
            throw RunReadError.corrupt(
                stored.run,
                "event \(stored.position) at \(stored.segmentID):\(stored.offset): \(error)")
        }
    }

    private func view(
        _ run: RunID, _ rows: inout RunRows, isHeld: Bool
    ) throws -> RunView {
        let summary = rows.fold.summary
        return RunView(
            run: run, summary: summary,
            state: summary.status == .completed ? nil : try rows.state(),
            isInterrupted: summary.status == .running && !isHeld)
    }

    private func page<Row>(_ rows: [Row], _ limit: Int?, _ offset: Int) throws -> [Row] {
        if let limit, limit < 0 { throw RunReadError.negative("limit", limit) }
        if offset < 0 { throw RunReadError.negative("offset", offset) }
        return Array(rows.dropFirst(offset).prefix(limit ?? Int.max))
    }
}
