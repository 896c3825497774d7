public import LoomFormat
internal import LoomModel

// What a read costs while a log has no index: one pass over the log finds out what the run's
// policies show, as a later policy hides earlier rows; the rows come from a second pass, which
// begins at the run's first segment and ends with the last row that is fetched. Tool calls are
// shown by every policy, so that they need no first pass.

extension RunReader {
    /// The states of a run that its policy shows, from the first on, fetched one at a time.
    ///
    /// Reads the log once at the call, and then the run's part of it up to the last row fetched.
    /// Memory is that of two states.
    public func historyRows(
        _ run: RunID, limit: Int? = nil, offset: Int = 0
    ) throws -> RunRows<HistoryRow> {
        let window = try RowWindow(offset: offset, limit: limit)
        let outline = try row(run).outline
        return try RunRows(
            try pass(over: outline, of: run),
            HistoryCollector(policies: outline.policies, window: window))
    }

    /// The attempts of a run that its policy shows, by step and try, fetched one at a time.
    ///
    /// Costs what ``historyRows(_:limit:offset:)`` costs.
    public func attemptRows(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> RunRows<AttemptRow> {
        let window = try RowWindow(offset: offset, limit: limit)
        let outline = try row(run).outline
        return try RunRows(
            try pass(over: outline, of: run),
            AttemptCollector(policies: outline.policies, step: step, window: window))
    }

    /// The managed tool calls of a run, in the order in which they began, fetched one at a time.
    ///
    /// Reads the log up to the end of the step of the last row fetched. For a call with a key of
    /// the run or of the store it reads the log once more, as later steps may be answered from it,
    /// and keeps a few numbers for each such call. Memory is otherwise that of the calls of a step.
    public func toolCallRows(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> RunRows<ToolCallRow> {
        let window = try RowWindow(offset: offset, limit: limit)
        return try RunRows(
            try RunPass(source, run, keepsValues: false, followsStates: false),
            ToolCallCollector(source, run, step: step, window: window))
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

    /// The run as far as its row goes, with its states.
    private func pass(over outline: RunOutline, of run: RunID) throws -> RunPass {
        try RunPass(
            source, run, before: outline.summary.nextPosition, keepsValues: false,
            followsStates: true)
    }
}
