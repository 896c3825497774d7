public import LoomFormat
public import LoomLog
internal import LoomModel
public import LoomStorage
public import SystemPackage

/// Reads the runs of a log, also while it is written: needs the log alone, not the program that
/// made it.
///
/// An answer shows the log as it was at one moment, however many passes it takes. In this version
/// every answer is made from one or two passes over the log, so that its time grows with the log.
/// Lists come as cursors, which fetch a row at a time (``RowCursor``), and as arrays.
///
/// ```swift
/// let runs = try RunReader(path: "runs.loom")
/// let view = try runs.get(RunID("demo"))
/// print(view.status, view.summary.stepIndex)
///
/// var rows = try runs.historyRows(RunID("demo"))
/// while let row = try rows.next() { print(row.step, row.state.count) }
/// ```
public struct RunReader: Sendable {
    let log: LogReader

    /// Looks at a log; changes nothing in it.
    public init(
        path: FilePath, storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        log = try LogReader(path: path, storage: storage)
    }

    /// Reads the runs of a log that is being read already.
    public init(log: LogReader) { self.log = log }

    /// What a run is now.
    public func get(_ run: RunID) throws -> RunView {
        let (found, isAbandoned) = try present(run, keeping: .result)
        var pass = found
        return try pass.position.view(isAbandoned: isAbandoned)
    }

    /// The state that a step of a run read, or will read.
    ///
    /// - Throws: ``RunReadError/notKept(_:step:kept:)`` where the policy does not show it;
    ///   ``RunReadError/notReached(_:step:last:)``.
    public func state(_ run: RunID, at step: UInt64) throws -> HistoryRow {
        var pass = try RunPass(log, run, keeping: .none, followsStates: true)
        try pass.readOn()
        let outline = pass.position.outline
        guard let span = pass.span, outline.isBegun else { throw RunReadError.unknownRun(run) }
        let last = outline.summary.stepIndex
        guard step <= last else { throw RunReadError.notReached(run, step: step, last: last) }
        // Where it stands is shown whatever the policy keeps; of what is over only that.
        if step == last, outline.summary.status != .completed {
            return HistoryRow(step: step, state: try pass.position.state())
        }
        guard outline.policies.showsState(step) else {
            var kept = step
            while !outline.policies.showsState(kept) { kept -= 1 }
            throw RunReadError.notKept(run, step: step, kept: kept)
        }
        var second = try RunPass(log, run, over: span, keeping: .none, followsStates: true)
        var collector = StateCollector(step: step)
        while collector.state == nil, try second.next(&collector) {}
        return HistoryRow(step: step, state: try collector.state ?? second.position.state())
    }

    /// How many rows of each kind the run's policy shows.
    public func stats(_ run: RunID) throws -> RunStats {
        var pass = try RunPass(log, run, keeping: .none, followsStates: false)
        try pass.readOn()
        guard pass.position.outline.isBegun else { throw RunReadError.unknownRun(run) }
        return pass.position.outline.stats
    }

    /// Whether the events of a run are such as a runner writes; with what is wrong when not, and
    /// with what a person corrected, which is no fault of the log.
    public func verify(_ run: RunID) throws -> (isValid: Bool, notes: [String]) {
        let explanation = try explain(run)
        let violations = explanation.violations
        return (violations.isEmpty, violations + explanation.corrections.map(\.description))
    }

    /// Where a run stands and what is remarkable about it.
    public func explain(_ run: RunID) throws -> RunExplanation {
        let (found, isAbandoned) = try present(run, keeping: .all)
        var pass = found
        let view = try pass.position.view(isAbandoned: isAbandoned)
        let outline = pass.position.outline
        return RunExplanation(
            view: view, stats: outline.stats, violations: violations(of: outline, view),
            unfinishedCalls: outline.fold.calls.unfinished, corrections: outline.corrections,
            leavesAttemptsOut: outline.policies.leavesAttemptsOut)
    }

    private func violations(of outline: RunOutline, _ view: RunView) -> [String] {
        var notes = outline.violations.map { "event \($0.place.position): \($0.description)" }
        let summary = outline.summary
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

    /// The run up to now, and whether whoever drove it is gone.
    private func present(
        _ run: RunID, keeping values: RunOutline.Values
    ) throws -> (RunPass, isAbandoned: Bool) {
        var pass = try RunPass(log, run, keeping: values, followsStates: true)
        try pass.readOn()
        guard pass.position.outline.isBegun else { throw RunReadError.unknownRun(run) }
        let isAbandoned = try pass.readOnAskingTheLock()
        return (pass, isAbandoned)
    }
}

/// Takes the state of one step at the end of the step, when it is final.
private struct StateCollector: RunVisitor {
    let step: UInt64
    private(set) var state: [UInt8]?

    init(step: UInt64) { self.step = step }

    mutating func before(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) throws {
        guard case .stepCommitted = event.content, state == nil,
            position.outline.summary.stepIndex == step
        else { return }
        state = try position.state()
    }
}
