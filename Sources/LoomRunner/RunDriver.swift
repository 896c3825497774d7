internal import Logging
internal import LoomFormat
internal import LoomModel

/// Drives one claimed run from step to step. Used by one task.
struct RunDriver<Loop: StepLoop> {
    private let runner: Runner<Loop>
    private let journal: RunJournal
    private var track: StateTrack
    private var options: RunnerOptions { runner.options }

    init(_ runner: Runner<Loop>, _ journal: RunJournal, _ track: StateTrack) {
        self.runner = runner
        self.journal = journal
        self.track = track
    }

    /// What one attempt led to, encoded: what cannot be stored is a failure of the attempt.
    private enum Attempted {
        case next(Loop.State, [UInt8], pausing: PauseReason?)
        case complete(Loop.Output, [UInt8])
        case failed(any Error)
    }

    /// Runs steps until the run is over, paused, or out of budget.
    ///
    /// A loop, not a recursion: a run of any number of steps needs one frame and constant memory.
    mutating func drive(
        from state: Loop.State, stepsMax: Int?
    ) async throws -> RunResult<Loop> {
        var state = state
        var remaining = stepsMax
        if remaining == 0 { return try await pause(state, .budget) }
        if await isInterruptedTooOften() { return try await pause(state, .interruptedTooOften) }
        var attempt = try await beginAttempt()
        while true {
            switch await call(state, attempt) {
            case .next(let next, let bytes, var reason):
                remaining = remaining.map { $0 - 1 }
                if reason == nil && (remaining == 0 || Task.isCancelled) { reason = .budget }
                let started = try await commit(bytes, attempt, pausing: reason)
                state = next
                guard let started else { return try await result(state) }
                attempt = started
            case .complete(let output, let bytes):
                try await journal.record([.runCompleted(attempt, result: bytes)], isBarrier: true)
                return try await result(nil, output)
            case .failed(let error):
                guard let again = try await recover(from: error, attempt) else {
                    return try await result(state)
                }
                attempt = again
            }
        }
    }

    /// The start of the next attempt at the present step.
    private func beginAttempt() async throws -> AttemptID {
        let summary = await journal.summary
        let id = AttemptID(step: summary.stepIndex, attempt: summary.nextAttempt)
        try await journal.record([.attemptStarted(id)])
        return id
    }

    /// A step that is cut again and again may be what kills the process: it is not tried for ever.
    private func isInterruptedTooOften() async -> Bool {
        await journal.summary.interruptionsOfStep >= options.retry.interruptionsMax
    }

    private func call(_ state: Loop.State, _ attempt: AttemptID) async -> Attempted {
        let context = StepContext(
            run: journal.run, attempt: attempt, stateBytes: track.bytes,
            baseLogger: options.logger, journal: journal)
        do {
            switch try await runner.loop.step(state, context) {
            case .continue(let next):
                return .next(next, try Loop.stateCodec.encode(next), pausing: nil)
            case .pause(let next, let reason):
                return .next(next, try Loop.stateCodec.encode(next), pausing: .requested(reason))
            case .complete(let output):
                return .complete(output, try Loop.outputCodec.encode(output))
            }
        } catch {
            return .failed(error)
        }
    }

    /// Commits a step together with what follows it: the start of the next one, or the pause.
    private mutating func commit(
        _ next: [UInt8], _ attempt: AttemptID, pausing reason: PauseReason?
    ) async throws -> AttemptID? {
        let change = track.commit(next, pauses: reason != nil)
        var events: [RunEvent.Content] = [.stepCommitted(attempt, delta: change.delta)]
        let step = attempt.step + 1
        if let snapshot = change.snapshot { events.append(.snapshot(step: step, state: snapshot)) }
        if let reason {
            // A cancelled task stops between two steps, and says so.
            let told = reason == .budget && Task.isCancelled ? PauseReason.interrupted : reason
            events.append(.paused(told))
            try await journal.record(events, isBarrier: true)
            return nil
        }
        let started = AttemptID(step: step, attempt: 0)
        events.append(.attemptStarted(started))
        try await journal.record(events)
        return started
    }

    private func pause(
        _ state: Loop.State, _ reason: PauseReason
    ) async throws -> RunResult<Loop> {
        try await journal.record([.paused(reason)], isBarrier: true)
        return try await result(state)
    }

    /// Records a failed attempt and what follows: another attempt, the failure of the run, a pause.
    ///
    /// - Returns: The attempt to make next, after its delay; `nil` when the run stands.
    private func recover(
        from error: any Error, _ attempt: AttemptID
    ) async throws -> AttemptID? {
        switch error {
        case let error as RunnerError:
            guard case .unknownOutcome(_, let call) = error else {
                // The store failed under the step, or the step misused a key.
                if case .keyMismatch = error { break }
                throw error
            }
            try await journal.record([.paused(.unknownOutcome(call: call))], isBarrier: true)
            return nil
        case is CancellationError where Task.isCancelled:
            try await journal.record([.paused(.interrupted)], isBarrier: true)
            return nil
        default: break
        }
        let failure = Failure(recording: error)
        let count = await journal.summary.failuresOfStep + 1
        let decision = options.retry.decision(
            after: failure, count: count,
            retryAfter: (error as? any ClassifiedError)?.retryAfter,
            random: Double.random(in: 0...1))
        guard case .retry(let delay) = decision else {
            try await journal.record(
                [.attemptFailed(attempt, failure, decision), .failed(failure)], isBarrier: true)
            return nil
        }
        try await journal.record([.attemptFailed(attempt, failure, decision)])
        do {
            try await options.clock.sleep(microseconds: delay)
        } catch {
            try await journal.record([.paused(.interrupted)], isBarrier: true)
            return nil
        }
        return try await beginAttempt()
    }

    private func result(
        _ state: Loop.State?, _ output: Loop.Output? = nil
    ) async throws -> RunResult<Loop> {
        let summary = await journal.summary
        return RunResult(
            run: journal.run, status: summary.status, stepIndex: summary.stepIndex, state: state,
            output: output, failure: summary.failure, pauseReason: summary.pauseReason)
    }
}
