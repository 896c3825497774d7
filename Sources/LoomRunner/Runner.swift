public import Logging
public import LoomFormat
public import LoomModel
internal import LoomStorage

/// How a runner drives its runs.
public struct RunnerOptions: Sendable {
    /// When a failed attempt is followed by another.
    public var retry = RetryPolicy()
    /// What the read side of a new run keeps.
    public var policy = CheckpointPolicy.full
    /// Labels of a new run.
    public var labels: [Label] = []
    /// Who drives: shown to others that want the run.
    public var holder = "this process"
    /// Where steps log to.
    public var logger = Logger(label: "loomlog")
    /// The time that is recorded and waited by.
    public var clock: any RunClock = SystemRunClock()

    /// Creates the defaults.
    public init() {}
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
public struct Runner<Loop: StepLoop>: Sendable {
    let loop: Loop
    let store: any RunStore
    let options: RunnerOptions

    /// Creates a runner over a store that other runners may share.
    public init(_ loop: Loop, store: any RunStore, options: RunnerOptions = RunnerOptions()) {
        self.loop = loop
        self.store = store
        self.options = options
    }

    /// Creates a run and drives it.
    ///
    /// - Parameter stepsMax: Step calls after which the run is paused, retries not counted; `nil`:
    /// none.
    /// - Returns: Where the run stands, also when it failed.
    /// - Throws: ``RunnerError``: the run is as it was, or as far as it is in the store.
    public func start(
        _ run: RunID, state: Loop.State, stepsMax: Int? = nil
    ) async throws -> RunResult<Loop> {
        try checkBudget(stepsMax)
        return try await claimed(run) { claim in
            guard claim.position == 0 else { throw RunnerError.runExists(run) }
            let bytes = try Loop.stateCodec.encode(state)
            let journal = journal(run, claim, RunFold())
            let creation = RunCreation(
                loop: Loop.name, stateVersion: Loop.stateVersion, codec: Loop.stateCodec.name,
                policy: options.policy, labels: options.labels, state: bytes)
            try await journal.record(
                [.created(creation), .resumed(holder: options.holder)], isBarrier: true)
            var driver = RunDriver(self, journal, StateTrack(initial: bytes))
            return try await driver.drive(from: state, stepsMax: stepsMax)
        }
    }

    /// Goes on with a run where it stood.
    ///
    /// - Throws: ``RunnerError`` with `unknownRun`, `runIsOver`, `loopMismatch`, `stateVersion`,
    ///   `held`, `storage` and others; the run is as it was.
    public func resume(_ run: RunID, stepsMax: Int? = nil) async throws -> RunResult<Loop> {
        try checkBudget(stepsMax)
        return try await claimed(run) { claim in
            guard claim.position > 0 else { throw RunnerError.unknownRun(run) }
            var (fold, track) = try await load(run)
            guard fold.summary.status.isResumable else {
                throw RunnerError.runIsOver(run, fold.summary.status)
            }
            let state = try decode(track.materialise(), of: fold.summary)
            let journal = journal(run, claim, fold)
            try await journal.record([.resumed(holder: options.holder)])
            if fold.summary.stateVersion != Loop.stateVersion {
                // From here on the run is one of this version.
                let bytes = try Loop.stateCodec.encode(state)
                try await journal.record(
                    [.migrated(stateVersion: Loop.stateVersion, state: bytes)], isBarrier: true)
                track = StateTrack(initial: bytes)
            }
            var driver = RunDriver(self, journal, track)
            return try await driver.drive(from: state, stepsMax: stepsMax)
        }
    }

    /// Opens a failed run again, from its last committed state. ``resume(_:stepsMax:)`` drives it
    /// on.
    public func retry(_ run: RunID) async throws {
        try await change(run) { summary in
            guard summary.status == .failed else {
                throw RunnerError.runIsOver(run, summary.status)
            }
            return [.retried]
        }
    }

    /// Gives a run up: it cannot be resumed any more.
    public func cancel(_ run: RunID, reason: String = "") async throws {
        try await change(run) { summary in
            guard summary.status.isResumable else {
                throw RunnerError.runIsOver(run, summary.status)
            }
            return [.cancelled(reason: reason)]
        }
    }

    /// Says what became of a `.once` call whose outcome nobody knew, by the position of its start.
    public func resolve(
        _ run: RunID, call: UInt64, as outcome: ToolFinish.Outcome
    ) async throws {
        try await change(run) { _ in [.toolFinished(ToolFinish(start: call, outcome: outcome))] }
    }

    /// Records something of a run that nobody drives.
    private func change(
        _ run: RunID, _ contents: (RunSummary) throws -> [RunEvent.Content]
    ) async throws {
        try await claimed(run) { claim in
            guard claim.position > 0 else { throw RunnerError.unknownRun(run) }
            let (fold, _) = try await load(run)
            let events = try contents(fold.summary)
            try await journal(run, claim, fold).record(events, isBarrier: true)
        }
    }

    private func checkBudget(_ stepsMax: Int?) throws {
        if let stepsMax, stepsMax < 0 { throw RunnerError.negativeBudget(stepsMax) }
    }

    private func journal(_ run: RunID, _ claim: RunClaim, _ fold: RunFold) -> RunJournal {
        RunJournal(
            run: run, store: store, clock: options.clock, epoch: claim.epoch, fold: fold)
    }

    private func claimed<Result: Sendable>(
        _ run: RunID, _ body: (RunClaim) async throws -> Result
    ) async throws -> Result {
        let claim: RunClaim
        do throws(RunStoreError) {
            claim = try await store.claim(run, holder: options.holder)
        } catch {
            throw RunnerError(error)
        }
        do {
            let result = try await body(claim)
            await store.release(run, epoch: claim.epoch)
            return result
        } catch {
            await store.release(run, epoch: claim.epoch)
            throw error
        }
    }

    private func load(_ run: RunID) async throws -> (RunFold, StateTrack) {
        var fold = RunFold()
        var track = StateTrack()
        do {
            try await store.read(run, from: 0) { event, place in
                try fold.apply(event, at: place)
                try track.apply(event)
            }
        } catch let error as RunFold.Violation {
            throw RunnerError.corrupt(run, error.description)
        } catch let error as FormatError {
            throw RunnerError.corrupt(run, error.description)
        }
        return (fold, track)
    }

    private func decode(_ bytes: [UInt8], of summary: RunSummary) throws -> Loop.State {
        guard summary.loop == Loop.name else {
            throw RunnerError.loopMismatch(stored: summary.loop, expected: Loop.name)
        }
        guard summary.codec == Loop.stateCodec.name else {
            throw RunnerError.codecMismatch(stored: summary.codec, expected: Loop.stateCodec.name)
        }
        guard summary.stateVersion == Loop.stateVersion else {
            return try Loop.migrate(bytes, from: summary.stateVersion)
        }
        return try Loop.stateCodec.decode(bytes)
    }
}

/// The system's clock.
public struct SystemRunClock: RunClock {
    /// Creates the clock.
    public init() {}

    /// Microseconds since 1970, from the system's wall clock.
    public func now() -> EventTime {
        EventTime(microseconds: Self.machine.wallMicroseconds())
    }

    private static let machine = POSIXStorage().machine

    /// Suspends the task.
    public func sleep(microseconds: UInt64) async throws {
        try await Task.sleep(for: .microseconds(Int64(clamping: microseconds)))
    }
}
