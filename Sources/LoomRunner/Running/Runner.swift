public import LoomFormat
internal import LoomModel

/// Drives runs of one loop: starts them, resumes them where they stood.
///
/// Every transition is in the store before the next step begins. Killed at any instant, a run is
/// resumed at the step where it stood; a completed tool call is answered from the log. What a
/// failure of the step leads to is decided by the retry policy; a failure of the *store* is thrown
/// and never fails the run.
///
/// ```swift
/// let runner = Runner(Counter(), store: store)
/// let run = try RunID("demo")
/// var result = try await runner.start(run, state: .init(current: 0, target: 10), stepsMax: 5)
/// result = try await runner.resume(run)           // to the end
/// ```
///
/// A runner is a value without state of its own: any number of tasks may drive runs through it.
public struct Runner<Loop: StepLoop>: Sendable {
    /// The loop.
    public let loop: Loop
    @usableFromInline let body: LoopBody
    @usableFromInline let store: any RunStore
    @usableFromInline let options: RunnerOptions

    /// Creates a runner over a store that other runners may share.
    @inlinable
    public init(_ loop: Loop, store: any RunStore, options: RunnerOptions = RunnerOptions()) {
        self.loop = loop
        self.store = store
        self.options = options
        body = LoopBody(loop)
    }

    /// Creates a runner of a closure.
    ///
    /// ```swift
    /// let runner = Runner("count-to-ten", store: store) { (count: Int, context) in
    ///     count < 10 ? .continue(count + 1) : .complete("done")
    /// }
    /// ```
    ///
    /// - Parameter name: The durable name of the loop.
    @inlinable
    public init<State, Output>(
        _ name: String, store: any RunStore, options: RunnerOptions = RunnerOptions(),
        step: @escaping @Sendable (State, StepContext) async throws -> Outcome<State, Output>
    ) where Loop == ClosureLoop<State, Output> {
        self.init(ClosureLoop(name, step), store: store, options: options)
    }

    var access: RunAccess { RunAccess(store: store, options: options) }

    /// Creates a run and drives it.
    ///
    /// - Parameters:
    ///   - stepsMax: Step calls after which the run is paused, retries not counted; `nil`: none.
    ///   - ifExists: What to do when there is a run of this name.
    /// - Returns: Where the run stands, also when it failed.
    /// - Throws: ``RunnerError``: the run is as it was, or as far as it is in the store.
    public func start(
        _ run: RunID, state: Loop.State, stepsMax: Int? = nil, ifExists: ExistingRun = .fail
    ) async throws -> RunResult<Loop> {
        try checkBudget(stepsMax)
        try SharedCall.checkIsFree(run)
        guard options.policy.isValid else { throw RunnerError.invalidPolicy }
        let bytes = try loop.stateCodec.encode(state)
        let creation = RunCreation(
            loop: body.name, stateVersion: body.stateVersion, codec: body.codec,
            policy: options.policy, labels: options.labels, state: bytes,
            payloads: options.payloads)
        let events: [RunEvent.Content] = [.created(creation), .resumed(holder: access.holder)]
        // Before the claim, which raises the epoch.
        for event in events { try RunnerLimits.check(event, labels: [:]) }
        return try await access.claimed(run) { claim in
            guard claim.position == 0 else {
                return try await attach(run, claim, bytes, stepsMax, ifExists)
            }
            let journal = access.journal(claim)
            try await journal.record(events, isBarrier: true)
            let cell = StateCell<Loop.State, Loop.Output>(state)
            return try await drive(journal, cell, StateTrack(initial: bytes), stepsMax)
        }
    }

    /// Goes on with a run where it stood.
    ///
    /// - Throws: ``RunnerError`` with `unknownRun`, `runIsOver`, `loopMismatch`, `stateVersion`,
    ///   `held`, `storage` and others; the run is as it was.
    public func resume(_ run: RunID, stepsMax: Int? = nil) async throws -> RunResult<Loop> {
        try checkBudget(stepsMax)
        try SharedCall.checkIsFree(run)
        return try await access.claimed(run) { claim in
            guard claim.position > 0 else { throw RunnerError.unknownRun(run) }
            let loaded = try await access.load(run)
            guard loaded.fold.summary.status.isResumable else {
                throw RunnerError.runIsOver(run, loaded.fold.summary.status)
            }
            return try await resume(run, claim, loaded, stepsMax)
        }
    }

    private func resume(
        _ run: RunID, _ claim: ClaimedRun, _ loaded: RunAccess.Loaded, _ stepsMax: Int?
    ) async throws -> RunResult<Loop> {
        var track = loaded.track
        let summary = loaded.fold.summary
        let cell = try await load(track.present(), of: summary)
        var migrated: [UInt8]?
        if summary.stateVersion != body.stateVersion {
            // Before anything is recorded: what cannot be stored leaves the run as it was.
            let bytes = try body.encode(cell)
            try RunnerLimits.checkValue(bytes.count, "migrated state")
            migrated = bytes
        }
        let journal = access.journal(claim, loaded)
        try await journal.record([.resumed(holder: access.holder)])
        if let migrated {
            // From here on the run is one of this version.
            try await journal.record(
                [.migrated(stateVersion: body.stateVersion, state: migrated)], isBarrier: true)
            track = StateTrack(initial: migrated)
        }
        return try await drive(journal, cell, track, stepsMax, waitsFor: summary.pauseReason)
    }

    /// Starting a run that exists: what the caller asked for in that case.
    private func attach(
        _ run: RunID, _ claim: ClaimedRun, _ input: [UInt8], _ stepsMax: Int?, _ how: ExistingRun
    ) async throws -> RunResult<Loop> {
        guard how != .fail else { throw RunnerError.runExists(run) }
        var loaded = try await access.load(run)
        let summary = loaded.fold.summary
        try checkLoop(summary)
        if how == .attachIfSameInput {
            guard let creation = try access.creation(of: run), creation.state == input,
                creation.stateVersion == body.stateVersion
            else { throw RunnerError.otherInput(run) }
        }
        if summary.status.isResumable { return try await resume(run, claim, loaded, stepsMax) }
        var cell: StateCell<Loop.State, Loop.Output>?
        if summary.status != .completed {
            cell = try await load(loaded.track.present(), of: summary)
        }
        return result(
            run, summary, cell?.state,
            try access.result(of: run, summary).map { try loop.outputCodec.decode($0) })
    }

    private func drive(
        _ journal: RunJournal, _ cell: StateCell<Loop.State, Loop.Output>, _ track: StateTrack,
        _ stepsMax: Int?, waitsFor: PauseReason? = nil
    ) async throws -> RunResult<Loop> {
        let scope = RunScope(journal, access, options)
        var driver = RunDriver(body, scope, cell, track, options)
        store.desk?.enter(journal)
        defer { store.desk?.leave(journal) }
        do {
            try await driver.drive(stepsMax: stepsMax, waitsFor: waitsFor)
        } catch RunnerError.runIsOver(_, .cancelled) where journal.isStopped {
            driver.reload()
        }
        let summary = journal.summary
        let isDone = summary.status == .completed
        return result(
            journal.run, summary, isDone ? nil : cell.state, isDone ? cell.output : nil)
    }

    private func result(
        _ run: RunID, _ summary: RunSummary, _ state: Loop.State?, _ output: Loop.Output?
    ) -> RunResult<Loop> {
        RunResult(
            run: run, status: summary.status, stepIndex: summary.stepIndex, state: state,
            output: output, failure: summary.failure, pauseReason: summary.pauseReason)
    }

    private func checkBudget(_ stepsMax: Int?) throws {
        if let stepsMax, stepsMax < 0 { throw RunnerError.negativeBudget(stepsMax) }
    }

    private func checkLoop(_ summary: RunSummary) throws {
        guard summary.loop.hasSameBytes(as: body.name) else {
            throw RunnerError.loopMismatch(stored: summary.loop, expected: body.name)
        }
        guard summary.codec.hasSameBytes(as: body.codec) else {
            throw RunnerError.codecMismatch(stored: summary.codec, expected: body.codec)
        }
    }

    private func load(
        _ bytes: [UInt8], of summary: RunSummary
    ) async throws -> StateCell<Loop.State, Loop.Output> {
        try checkLoop(summary)
        let cell: AnyStateCell
        do {
            cell = try await body.load(bytes, summary.stateVersion)
        } catch let error as DecodingError {
            throw RunnerError.stateShape(
                version: summary.stateVersion, DecodingWords.words(error))
        }
        return unsafe unsafeDowncast(cell, to: StateCell<Loop.State, Loop.Output>.self)
    }
}
