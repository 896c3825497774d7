internal import LoomFormat
internal import LoomModel
internal import LoomRuns
internal import Synchronization

/// The events of one claimed run: gives them their positions, folds them, appends them in order.
///
/// The only one that knows the position. A lock, not an actor, as every step comes here: an append
/// decides its place at once, and only whoever needs its answer waits, outside of the lock. Once an
/// append was fenced or lost, nothing is appended any more.
final class RunJournal: Sendable {
    let run: RunID
    private let store: any RunStore
    private let clock: any RunClock
    private let past: SourcePast?
    private let state: Mutex<State>
    /// Whether a tool was ever called: else there is no verdict to be looked for, at every step.
    private let hasCalls: Atomic<Bool>
    /// Whether another process ever asked the run to pause: looked at behind every step.
    private let isAsked = Atomic(false)

    struct State: Sendable {
        /// Read and changed in place: a copy that is alive while a call is added copies all calls.
        var outline: OutlineFold
        var unit: RecordUnit
        /// The bytes of one event; kept for its memory.
        var event = ByteWriter(capacity: 256)
        var failure: RunnerError?
        /// What a call of the present attempt came to that decides about the run: an unknown
        /// outcome, or a store that failed under a shared key.
        var verdict: RunnerError?
        /// The numbers that calls without a key hold in the present attempt.
        var numbers = CallNumbers()
        /// Calls that this process makes or settles now, by the position of their start.
        var inFlight: [UInt64: CallInFlight] = [:]
        /// Who waits until there are none.
        var idleWaiters: [CheckedContinuation<Void, Never>] = []
        /// The `.once` calls that may stand against another one.
        var once: OnceCalls
        /// Whether nobody drives the run any more: calls may end, and none may begin.
        var isClosed = false
        /// Whether a request has cancelled the run: nothing is recorded but the ends of calls.
        var isStopped = false
        /// Whether the driver has left, and takes no requests any more.
        var isLeft = false
        /// Requests to pause behind the present step.
        var parked: [ParkedPause] = []
        /// Ends the driver's wait before another attempt.
        var wake: (@Sendable () -> Void)?
        /// The number that the next waiter gets.
        var nextWaiter: UInt64 = 0

        /// That the present step has a `.once` call open.
        var unsettled: RunnerError? {
            outline.fold.calls.unsettled(ofStep: outline.fold.summary.stepIndex).map {
                .unknownOutcome(tool: $0.start.name, call: $0.position)
            }
        }
    }

    /// - Parameter past: Where the fold looks up calls, when it goes on from an outline.
    init(
        run: RunID, store: any RunStore, clock: any RunClock, epoch: UInt64, outline: OutlineFold,
        past: SourcePast? = nil
    ) {
        self.past = past
        self.run = run
        self.store = store
        self.clock = clock
        let unit = RecordUnit(run: run, epoch: epoch, position: outline.summary.nextPosition)
        hasCalls = Atomic(outline.fold.calls.hasUnfinished)
        state = Mutex(State(outline: outline, unit: unit, once: OnceCalls(outline.fold)))
    }

    var summary: RunSummary { state.withLock { $0.outline.fold.summary } }

    /// What decides about the run, whatever the step of the present attempt makes of it.
    var verdict: RunnerError? { state.withLock { $0.failure ?? $0.verdict } }

    /// The same for a step that came to an outcome: it is not over while it has a `.once` call open
    /// of which nobody knows the end. Costs nothing in a run without calls.
    var verdictOfOutcome: RunnerError? {
        guard hasCalls.load(ordering: .acquiring) else { return nil }
        return state.withLock { state in
            state.failure ?? state.verdict ?? state.unsettled
        }
    }

    /// Keeps what decides about the run; the first word holds.
    func decide(_ error: RunnerError) -> RunnerError {
        state.withLock { $0.verdict = $0.verdict ?? error }
        return error
    }

    /// A tool is called: from now on there may be a verdict.
    func noteCall() { hasCalls.store(true, ordering: .releasing) }

    /// Another process has asked the run to pause.
    func noteRequest() { isAsked.store(true, ordering: .releasing) }

    /// Whether another process may have asked the run to pause.
    var hasRequest: Bool { isAsked.load(ordering: .acquiring) }

    /// Looks at the journal's state, or changes what is not in the log.
    func withState<Result: Sendable, Failure>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try state.withLock { state throws(Failure) in try body(&state) }
    }

    /// Appends events as one unit.
    ///
    /// - Returns: The position of the first.
    @discardableResult
    func record(
        _ contents: [RunEvent.Content], isBarrier: Bool = false
    ) async throws(RunnerError) -> UInt64 {
        let (first, appending) = try state.withLock {
            state throws(RunnerError) -> (UInt64, Appending) in
            let first = state.outline.fold.summary.nextPosition
            return (first, try append(contents, isBarrier: isBarrier, &state))
        }
        try await settle(appending)
        return first
    }

    /// The end of a step that goes on, with the start of the next one: the path of every step.
    func advance(
        _ attempt: AttemptID, _ change: StateTrack.Change
    ) async throws(RunnerError) -> AttemptID {
        let appending = try state.withLock { state throws(RunnerError) -> Appending in
            let advance = StepAdvance(attempt, change, time: try begin(&state))
            if state.isStopped { throw .runIsOver(run, .cancelled) }
            try checkIsSettled(state)
            do throws(OutlineFold.Refusal) {
                try state.outline.apply(advance, at: place(&state))
            } catch {
                throw fail(.corrupt(run, error.description), &state)
            }
            state.verdict = nil
            if !state.numbers.isEmpty { state.numbers.removeAll() }
            state.once.removeAll()
            advance.encode(to: &state.unit)
            return try append(isBarrier: false, &state)
        }
        // Without a word in the usual case: not even an asynchronous call.
        if case .answered(.ok) = appending {} else { try await settle(appending) }
        return AttemptID(step: attempt.step + 1, attempt: 0)
    }

    /// Appends events as one unit, with the lock held: for whoever has to decide and append as one.
    func append(
        _ contents: [RunEvent.Content], isBarrier: Bool, _ state: inout State
    ) throws(RunnerError) -> Appending {
        if state.isStopped, !contents.allSatisfy(\.isEndOfCall) {
            throw .runIsOver(run, .cancelled)
        }
        for content in contents {
            try RunnerLimits.check(content, labels: state.outline.fold.summary.labels)
        }
        let time = try begin(&state)
        for content in contents { try add(content, time, &state) }
        return try append(isBarrier: isBarrier, &state)
    }

    /// Waits for the answer of an append; what is not an acknowledgement ends this journal.
    func settle(_ appending: Appending) async throws(RunnerError) {
        switch await appending.answer {
        case .ok: return
        case .fenced: throw stop(.fenced(run))
        case .unknown(let reason): throw stop(.storage(reason))
        }
    }

    /// Ends the journal: whoever still runs records nothing more.
    @discardableResult
    func stop(_ error: RunnerError) -> RunnerError {
        state.withLock { $0.failure = $0.failure ?? error }
        return error
    }

    private func begin(_ state: inout State) throws(RunnerError) -> EventTime {
        if let failure = state.failure { throw failure }
        state.unit.removeAll(nextPosition: state.outline.fold.summary.nextPosition)
        return clock.now()
    }

    /// Folded first: what the fold refuses is a fault of the runner and must not reach the log.
    private func add(
        _ content: RunEvent.Content, _ time: EventTime, _ state: inout State
    ) throws(RunnerError) {
        switch content {
        case .stepCommitted, .runCompleted: try checkIsSettled(state)
        default: break
        }
        let event = RunEvent(time: time, content)
        try prepare(&state) { outline, past in try outline.prepare(for: event, from: past) }
        do throws(OutlineFold.Refusal) {
            try state.outline.apply(event, at: place(&state))
        } catch {
            throw fail(.corrupt(run, error.description), &state)
        }
        // A new attempt counts its calls from the start.
        if case .attemptStarted = content {
            state.verdict = nil
            if !state.numbers.isEmpty { state.numbers.removeAll() }
            // What an earlier attempt began and this process still makes.
            for position in state.inFlight.keys {
                if let call = state.outline.fold.calls.unfinished(at: position) {
                    state.once.take(call)
                }
            }
        }
        state.event.removeAll()
        event.encode(to: &state.event)
        state.unit.append(state.event.bytes)
    }

    /// Looks up what the fold does not know of the past, where it goes on from an outline.
    func prepare(
        _ state: inout State, _ body: (inout OutlineFold, SourcePast) throws -> Void
    ) throws(RunnerError) {
        guard let past else { return }
        do {
            try body(&state.outline, past)
        } catch {
            throw fail(.storage("looking up a call of the past: \(error)"), &state)
        }
    }

    /// The end of a step would forget a `.once` call that a task of it has begun since it returned:
    /// then the step does not end, and the run is left as interrupted.
    private func checkIsSettled(_ state: State) throws(RunnerError) {
        if let unsettled = state.unsettled { throw unsettled }
    }

    private func place(_ state: inout State) -> RunFold.Place {
        RunFold.Place(position: state.outline.fold.summary.nextPosition, epoch: state.unit.epoch)
    }

    private func append(
        isBarrier: Bool, _ state: inout State
    ) throws(RunnerError) -> Appending {
        state.unit.isBarrier = isBarrier
        do throws(RunStoreError) {
            return try store.append(state.unit) { state.outline.outline }
        } catch {
            throw fail(RunnerError(error), &state)
        }
    }

    private func fail(_ error: RunnerError, _ state: inout State) -> RunnerError {
        state.failure = state.failure ?? error
        return error
    }
}

extension RunEvent.Content {
    fileprivate var isEndOfCall: Bool {
        if case .toolFinished = self { true } else { false }
    }
}
