public import LoomFormat
internal import LoomModel

// What a read costs: the row of the run says what its policies show, as a later policy hides
// earlier rows; the source finds where the first row that is asked for begins, and the pass ends
// with the last row that is fetched.

extension RunReader {
    /// The states of a run that its policy shows, from the first on, fetched one at a time.
    ///
    /// Reads the run from the first row on, at most a block of an archive before it, up to the last
    /// row fetched. Memory is that of two states.
    public func historyRows(
        _ run: RunID, limit: Int? = nil, offset: Int = 0
    ) throws -> RunRows<HistoryRow> {
        var window = try RowWindow(offset: offset, limit: limit)
        let outline = try row(run).outline
        let first = outline.policies.step(
            ofShownState: UInt64(offset), to: outline.summary.stepIndex)
        let start = try seek(run, outline).start(atCommit: first)
        if start.stepIndex > 0 {
            window.skip(outline.policies.shownStateCount(to: start.stepIndex - 1))
        }
        return RunRows(
            try RunPass(source, run, outline, from: start, followsStates: true), form(run, outline),
            HistoryCollector(policies: outline.policies, window: window))
    }

    /// The attempts of a run that its policy shows, by step and try, fetched one at a time.
    ///
    /// Costs what ``historyRows(_:limit:offset:)`` costs; where the policies hide some attempts and
    /// not all, a list without a step is read from the run's start.
    public func attemptRows(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> RunRows<AttemptRow> {
        var window = try RowWindow(offset: offset, limit: limit)
        let outline = try row(run).outline
        var start = RunStart.run
        if let step {
            start = try seek(run, outline).start(atStep: step)
        } else if let kind = outline.policies.shownAttempts {
            let row = try seek(run, outline).start(atRow: UInt64(offset), of: kind)
            start = try seek(run, outline).start(atStep: row.stepIndex)
            window.skip(start.count(of: kind))
        }
        return RunRows(
            try RunPass(source, run, outline, from: start, followsStates: true), form(run, outline),
            AttemptCollector(policies: outline.policies, step: step, window: window))
    }

    /// The managed tool calls of a run, in the order in which they began, fetched one at a time.
    ///
    /// Reads the run from the first row on up to the end of the step of the last row fetched. For a
    /// call with a key of the run or of the store it reads on to the run's end, as later steps may
    /// be answered from it, and keeps a few numbers for each such call. Memory is otherwise that of
    /// the calls of a step.
    public func toolCallRows(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> RunRows<ToolCallRow> {
        var window = try RowWindow(offset: offset, limit: limit)
        let outline = try row(run).outline
        var start = RunStart.run
        if let step {
            start = try seek(run, outline).start(atStep: step)
        } else {
            start = try seek(run, outline).start(atRow: UInt64(offset), of: .toolCalls)
            window.skip(start.count(of: .toolCalls))
        }
        return RunRows(
            try RunPass(source, run, outline, from: start, followsStates: false),
            form(run, outline),
            ToolCallCollector(
                late: { [source] in
                    try LateCalls(RunPass(source, run, outline, from: start, followsStates: false))
                }, step: step, window: window))
    }

    private func seek(_ run: RunID, _ outline: RunOutline) -> RunSeek {
        RunSeek(source: source, run: run, outline: outline)
    }

    private func form(_ run: RunID, _ outline: RunOutline) -> ValueForm {
        ValueForm(
            run: run, codec: outline.summary.codec, payloads: outline.summary.payloads)
    }

    /// All rows of ``historyRows(_:limit:offset:)`` at once: for pages and short runs.
    public func history(
        _ run: RunID, limit: Int? = nil, offset: Int = 0
    ) throws -> [HistoryRow] {
        try historyRows(run, limit: limit, offset: offset).all()
    }

    /// All rows of ``attemptRows(_:step:limit:offset:)`` at once: for pages and short runs.
    public func attempts(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> [AttemptRow] {
        try attemptRows(run, step: step, limit: limit, offset: offset).all()
    }

    /// All rows of ``toolCallRows(_:step:limit:offset:)`` at once: for pages and short runs.
    public func toolCalls(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> [ToolCallRow] {
        try toolCallRows(run, step: step, limit: limit, offset: offset).all()
    }
}
