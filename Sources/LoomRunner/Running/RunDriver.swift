internal import Logging
internal import LoomFormat
internal import LoomModel

/// What decides about a run although its step came to an outcome.
private struct OutcomeVerdict: Error {
    let error: RunnerError
}

/// What is recorded where a driver's cancellation left a call of unknown outcome behind.
private struct DriverCancelled: ClassifiedError, CustomStringConvertible {
    let category = FailureCategory.transient
    let description = "whoever drove the run was asked to stop while the call was open"
    let recordedMessage = "CancellationError: whoever drove the run was asked to stop"
}

/// Drives one claimed run from step to step. Used by one task.
struct RunDriver {
    private let body: LoopBody
    private let scope: RunScope
    private let cell: AnyStateCell
    private var track: StateTrack
    private let options: RunnerOptions
    private let journal: RunJournal

    /// Microseconds of a delay that is told beforehand: a minute.
    private static let toldDelay: UInt64 = 60_000_000

    init(
        _ body: LoopBody, _ scope: RunScope, _ cell: AnyStateCell, _ track: StateTrack,
        _ options: RunnerOptions
    ) {
        self.body = body
        self.scope = scope
        journal = scope.journal
        self.cell = cell
        self.track = track
        self.options = options
    }

    /// Runs steps until the run is over, paused, or out of budget.
    ///
    /// A loop, not a recursion: a run of any number of steps needs one frame and constant memory.
    ///
    /// - Parameter waitsFor: What the run was paused for when it was resumed. Without a step it
    ///   still waits for word of a call.
    mutating func drive(stepsMax: Int?, waitsFor: PauseReason?) async throws {
        var remaining = stepsMax
        if options.clock.now().microseconds == 0 {
            scope.logger.warning(
                "the clock is set to a time before 1970; 1970-01-01 is recorded in its place",
                metadata: ["run": "\(journal.run)"])
        }
        if remaining == 0 {
            let isWaiting = waitsFor?.unknownCall != nil
            return try await pause(isWaiting ? waitsFor ?? .budget : .budget)
        }
        // A step that is cut again and again may be what kills the process: not for ever.
        if journal.summary.interruptionsOfStep >= max(1, options.retry.interruptionsMax) {
            return try await pause(.interruptedTooOften)
        }
        var attempt = try await beginAttempt()
        while true {
            let outcome: EncodedOutcome
            do {
                // Called from here, without a function between: each costs a small step dearly.
                let context = StepContext(
                    attempt: attempt, stateBytes: track.bytes, scope: scope)
                if let limit = options.attemptTimeout {
                    outcome = try await timed(limit, context)
                } else {
                    outcome = try await body.step(cell, context)
                }
                try check(outcome)
            } catch {
                guard let again = try await recover(from: error, attempt) else { return }
                attempt = again
                continue
            }
            remaining = remaining.map { $0 - 1 }
            switch outcome {
            case .next(let bytes):
                guard remaining != 0, !Task.isCancelled, !journal.hasRequest else {
                    // A cancelled task stops between two steps, and says so.
                    let reason = Task.isCancelled ? PauseReason.interrupted : .budget
                    return try await commit(
                        bytes, attempt, pausing: journal.requestedPause ?? reason)
                }
                attempt = try await journal.advance(attempt, track.commit(bytes, pauses: false))
            case .pause(let bytes, let reason):
                return try await commit(bytes, attempt, pausing: .requested(reason))
            case .complete(let bytes):
                try await journal.record([.runCompleted(attempt, result: bytes)], isBarrier: true)
                return
            }
        }
    }

    /// Throws what stands against an outcome.
    private func check(_ outcome: EncodedOutcome) throws {
        // A call that decides about the run does so whatever the step makes of it; and a step with
        // a `.once` call that nobody knows the end of is not over.
        do {
            if let verdict = journal.verdictOfOutcome { throw OutcomeVerdict(error: verdict) }
            try RunnerLimits.check(outcome)
        } catch {
            try? body.reload(cell, track.bytes)
            throw error
        }
    }

    private func timed(
        _ limit: Duration, _ context: StepContext
    ) async throws -> EncodedOutcome {
        let (body, cell) = (body, cell)
        let timed = TimedAttempt(limit, grace: options.timeoutGrace, clock: options.clock)
        return try await timed.run(.stillRunning(journal.run, step: context.attempt.step)) {
            try await body.step(cell, context)
        }
    }

    /// The start of the next attempt at the present step.
    private func beginAttempt() async throws -> AttemptID {
        let summary = journal.summary
        let id = AttemptID(step: summary.stepIndex, attempt: summary.nextAttempt)
        try await journal.record([.attemptStarted(id)])
        return id
    }

    /// Commits a step after which nobody drives the run on.
    private mutating func commit(
        _ next: [UInt8], _ attempt: AttemptID, pausing reason: PauseReason
    ) async throws {
        let change = track.commit(next, pauses: true)
        var events: [RunEvent.Content] = [.stepCommitted(attempt, delta: change.delta)]
        if let snapshot = change.snapshot {
            events.append(.snapshot(step: attempt.step + 1, state: snapshot))
        }
        try await journal.recordPause(events + [.paused(reason)])
    }

    private func pause(_ reason: PauseReason) async throws {
        try await journal.recordPause([.paused(reason)])
    }

    /// The state as it is in the log.
    func reload() { try? body.reload(cell, track.bytes) }

    /// Records a failed attempt and what follows: another attempt, the failure of the run, a pause.
    ///
    /// - Returns: The attempt to make next, after its delay; `nil` when the run stands.
    private func recover(
        from error: any Error, _ attempt: AttemptID
    ) async throws -> AttemptID? {
        if let error = error as? StepStillRuns {
            // Also when that cannot be recorded: two steps of one run must not run at once.
            try? await pause(.interrupted)
            // The calls that it still makes may end: what they come to must not be lost.
            journal.close()
            throw error
        }
        if journal.isStopped {
            // The run was cancelled by a request, and is over.
            reload()
            return nil
        }
        switch journal.verdict ?? (error as? OutcomeVerdict)?.error {
        case .unknownOutcome(_, let call)?:
            let cause = cause(of: call, in: attempt, error)
            try await pause(.unknownOutcome(call: call, cause: cause))
            // Also then a program that breaks the protocol is told by its error.
            if let host = error as? any StepHostError, !host.isRestartable { throw host }
            return nil
        case let verdict?:
            // The store failed under the step: that is no failure of the run.
            throw verdict
        case nil: break
        }
        switch error {
        case _ where Task.isCancelled:
            // Whatever it throws: much answers a cancellation with an error of its own.
            try await pause(.interrupted)
            return nil
        case let error as any StepHostError: return try await restart(after: error)
        default: break
        }
        return try await fail(attempt, with: error)
    }

    /// What made the outcome of a call of this attempt unknown; `nil` for a call that an earlier
    /// attempt left behind: what ended this attempt is that call.
    private func cause(
        of call: UInt64, in attempt: AttemptID, _ error: any Error
    ) -> Failure? {
        guard let open = journal.unfinishedCall(call), open.start.attempt == attempt else {
            return nil
        }
        if let thrown = open.thrown { return thrown }
        if error is OutcomeVerdict {
            return Failure(recording: RunnerError.stepIsOver(journal.run, step: attempt.step))
        }
        if Task.isCancelled { return Failure(recording: DriverCancelled()) }
        return error is RunnerError ? nil : Failure(recording: error)
    }

    /// The next attempt, with what runs the step started anew: not for ever.
    private func restart(after error: any StepHostError) async throws -> AttemptID? {
        guard error.isRestartable else {
            try await pause(.requested(GuardedText.words(error)))
            throw error
        }
        if journal.summary.interruptionsOfStep + 1 < options.retry.interruptionsMax {
            return try await beginAttempt()
        }
        try await pause(.interruptedTooOften)
        throw error
    }

    private func fail(
        _ attempt: AttemptID, with error: any Error
    ) async throws -> AttemptID? {
        var failure = Failure(recording: error)
        let retryAfter = (error as? any ClassifiedError)?.retryAfter
        let decision = options.retry.decision(
            after: failure, count: journal.summary.failuresOfStep + 1, retryAfter: retryAfter,
            random: Double.random(in: 0...1))
        if decision != .fail, let cut = options.retry.cut(retryAfter) {
            failure.message += "; \(cut)"
        }
        guard case .retry(let delay) = decision else {
            try await journal.record(
                [.attemptFailed(attempt, failure, decision), .failed(failure)], isBarrier: true)
            return nil
        }
        try await journal.record([.attemptFailed(attempt, failure, decision)])
        if delay >= Self.toldDelay {
            // Whoever waits for the run learns that it is not stuck.
            scope.logger.warning(
                "the next attempt is made in \(Duration.microseconds(Int64(delay)).words)",
                metadata: [
                    "run": "\(journal.run)", "step": "\(attempt.step)",
                    "error": "\(failure.message)",
                ])
        }
        do {
            try await journal.wait(delay, options.clock)
        } catch {
            try await pause(.interrupted)
            return nil
        }
        if journal.isStopped { return nil }
        if let reason = journal.requestedPause {
            try await pause(reason)
            return nil
        }
        return try await beginAttempt()
    }
}
