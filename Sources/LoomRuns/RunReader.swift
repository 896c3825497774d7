public import LoomFormat
public import LoomLog
internal import LoomModel
public import LoomStorage
public import SystemPackage

/// Reads the runs of a log, or of another source, also while they are written: needs no program.
///
/// An answer shows its run as it was at one moment, however many passes it takes. What a read costs
/// is said by its source: see ``LogRunSource``. Lists come as cursors, which fetch a row at a time
/// (``RowCursor``), and as arrays.
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
    /// Where the runs are.
    public let source: any RunSource

    /// Looks at a log; changes nothing in it.
    public init(
        path: FilePath, storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        source = try LogRunSource(path: path, storage: storage)
    }

    /// Reads the runs of a log that is being read already.
    public init(log: LogReader) { source = LogRunSource(log) }

    /// Reads the runs of any source.
    public init(source: any RunSource) { self.source = source }

    /// What a run is now.
    public func get(_ run: RunID) throws -> RunView {
        let row = try row(run)
        var values = RunValues(row)
        try values.read(from: source)
        return try values.view()
    }

    /// The state that a step of a run read, or will read.
    ///
    /// - Throws: ``RunReadError/notKept(_:step:kept:)`` where the policy does not show it;
    ///   ``RunReadError/notReached(_:step:last:)``.
    public func state(_ run: RunID, at step: UInt64) throws -> HistoryRow {
        let row = try row(run)
        let outline = row.outline
        let last = outline.summary.stepIndex
        guard step <= last else { throw RunReadError.notReached(run, step: step, last: last) }
        // Where it stands is shown whatever the policy keeps; of what is over only that.
        let isPresent = step == last && outline.summary.status != .completed
        guard isPresent || outline.policies.showsState(step) else {
            var kept = step
            while !outline.policies.showsState(kept) { kept -= 1 }
            throw RunReadError.notKept(run, step: step, kept: kept)
        }
        let start = try RunSeek(source: source, run: run, outline: outline).start(atCommit: step)
        var pass = try RunPass(source, run, outline, from: start, followsStates: true)
        var collector = StateCollector(step: step)
        while collector.state == nil, try pass.next(&collector) {}
        return HistoryRow(step: step, state: try collector.state ?? pass.position.state())
    }

    /// How many rows of each kind the run's policy shows.
    public func stats(_ run: RunID) throws -> RunStats { try row(run).outline.stats }

    /// Whether the events of a run are such as a runner writes; with what is wrong when not, and
    /// with what a person corrected, which is no fault of the log.
    ///
    /// Reads every event of the run and follows its states: what the index tells of it is checked,
    /// not believed.
    ///
    /// - Throws: ``RunReadError`` and `LogError` of events that are damaged.
    public func verify(_ run: RunID) throws -> (isValid: Bool, notes: [String]) {
        let row = try row(run)
        var pass = try RunPass(source, run, row.outline, followsStates: true)
        try pass.readOn()
        let explanation = try explain(row)
        var violations = explanation.violations
        if let found = pass.position.fold?.outline, !found.tellsAsMuch(as: row.outline) {
            violations.append("the index of the log tells otherwise than the run's events")
        }
        return (violations.isEmpty, violations + explanation.corrections.map(\.description))
    }

    /// Where a run stands and what is remarkable about it.
    ///
    /// Costs its state, its present step, and the calls that have not ended or that a person
    /// corrected.
    public func explain(_ run: RunID) throws -> RunExplanation {
        try explain(try row(run))
    }

    private func explain(_ row: RunRow) throws -> RunExplanation {
        var values = RunValues(row)
        try values.read(from: source)
        let (view, outline) = (try values.view(), row.outline)
        let (unfinished, corrections) = try remarkableCalls(of: row.run, outline)
        return RunExplanation(
            view: view, stats: outline.stats, violations: violations(of: outline, view),
            unfinishedCalls: unfinished, corrections: corrections,
            leavesAttemptsOut: outline.policies.leavesAttemptsOut)
    }

    /// Calls that have not ended, and those of which a person said otherwise than the tool.
    private func remarkableCalls(
        of run: RunID, _ outline: RunOutline
    ) throws -> ([ToolCallTable.Call], [CorrectedCall]) {
        guard outline.canBeResumed else {
            // Where events were passed over, only a fold of all of them knows which.
            var pass = try RunPass(source, run, outline, keepsValues: true, followsStates: false)
            try pass.readOn()
            let fold = pass.position.fold
            return (fold?.calls.unfinished ?? [], fold?.corrections ?? [])
        }
        let past = SourcePast(source, run, before: outline.summary.nextPosition)
        var unfinished: [ToolCallTable.Call] = []
        if !outline.unfinishedCalls.isEmpty {
            var fold = OutlineFold(resuming: outline)
            try fold.prepareToDrive(from: past)
            unfinished = fold.fold.calls.unfinished
        }
        return (unfinished, try outline.corrections.compactMap { try correction(at: $0, past) })
    }

    /// What a person said at a position, and what the tool had said before.
    private func correction(at position: UInt64, _ past: SourcePast) throws -> CorrectedCall? {
        var correction: ToolFinish?
        try past.events(position..<position + 1) { event, _ in
            if case .toolFinished(let finish) = event.content { correction = finish }
            return false
        }
        guard let correction,
            let before = try ToolCallTable.ended(
                at: correction.start, before: position, from: past)
        else { return nil }
        return CorrectedCall(position: position, before: before, outcome: correction.outcome)
    }

    private func violations(of outline: RunOutline, _ view: RunView) -> [String] {
        var notes = outline.violations.map { "event \($0.place.position): \($0.description)" }
        let summary = outline.summary
        if summary.status == .completed && view.result == nil {
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

    /// The newest row of a run that there is.
    func row(_ run: RunID) throws -> RunRow {
        guard let row = try source.row(of: run) else { throw RunReadError.unknownRun(run) }
        if let error = row.readError { throw error }
        return row
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
            position.stepIndex == step
        else { return }
        state = try position.state()
    }
}

extension RunOutline {
    /// Whether two outlines of the same events were made of them, as far as both can know: what
    /// archives leave out changes no count.
    fileprivate func tellsAsMuch(as other: RunOutline) -> Bool {
        rowCounts == other.rowCounts && violations.count == other.violations.count
            && summary.status == other.summary.status
            && summary.stepIndex == other.summary.stepIndex
            && summary.nextPosition == other.summary.nextPosition
    }
}
