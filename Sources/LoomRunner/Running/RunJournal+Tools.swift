internal import LoomModel

// Tool calls of the present attempt: found, begun, ended.

extension RunJournal {
    /// What a step finds when it wants to make a call.
    enum Lookup {
        /// The call was started for it, at this position.
        case begun(UInt64)
        /// It completed before.
        case completed(ToolCallTable.Completed)
        /// It may have happened. Whoever is told so settles it: others wait until ``end(_:)``.
        case unknown(ToolCallTable.Call)
        /// The key is in use with another request.
        case mismatch(ToolCallTable.Call)
        /// Another `.once` call of the tool may have happened: perhaps it was this one, with
        /// another request. As `unknown`.
        case unsettled(ToolCallTable.Call)
    }

    /// Looks a call up and starts it when nothing stands against it, as one: of two tasks with one
    /// key only one starts, the other waits for it. An unfinished call that may be made again is
    /// made again, under its key. The start of a `.once` call must not be lost.
    ///
    /// - Parameter isNumbered: Whether the call has no key of its own, and takes a number.
    /// - Returns: What was found, and the call with the number that it took.
    func lookOrBegin(
        _ call: ToolStart, isNumbered: Bool
    ) async throws -> (found: Lookup, start: ToolStart) {
        noteCall()
        while true {
            let (decided, start) = try withState {
                state throws(RunnerError) -> (Decision, ToolStart) in
                var start = call
                if isNumbered {
                    start.key = .occurrence(
                        state.numbers.next(for: call, in: state.outline.fold.calls))
                }
                return (try decide(start, &state), start)
            }
            switch decided {
            case .found(let lookup): return (lookup, start)
            case .wait(let position): try await waitForEnd(of: position)
            case .begun(let position, let appending):
                do {
                    try await settle(appending)
                } catch {
                    end(position)
                    throw error
                }
                return (.begun(position), start)
            }
        }
    }

    private enum Decision: Sendable {
        case found(Lookup)
        case wait(for: UInt64)
        case begun(UInt64, Appending)
    }

    private func decide(
        _ start: ToolStart, _ state: inout State
    ) throws(RunnerError) -> Decision {
        try checkIsOpen(start.attempt, state)
        try prepare(&state) { outline, past in try outline.prepare(forCall: start, from: past) }
        switch state.outline.fold.calls.look(up: start) {
        case .completed(let completed):
            state.numbers.hold(start, completed.position)
            return .found(.completed(completed))
        case .mismatch(let call): return .found(.mismatch(call))
        case .unknown(let call) where state.inFlight[call.position] != nil:
            return .wait(for: call.position)
        case .unknown(let call) where call.mustBeSettled(before: start):
            begin(call.start, call.position, &state)
            if call.start.attempt != start.attempt { state.once.take(call) }
            return .found(.unknown(call))
        case .none, .unknown:
            if start.safety == .once, let decided = try unsettled(start, &state) {
                return decided
            }
            let position = state.outline.fold.summary.nextPosition
            let appending = try append(
                [.toolStarted(start)], isBarrier: start.safety == .once, &state)
            begin(start, position, &state)
            return .begun(position, appending)
        }
    }

    private func begin(_ start: ToolStart, _ position: UInt64, _ state: inout State) {
        state.inFlight[position] = CallInFlight(start: start)
        state.numbers.hold(start, position)
    }

    /// Another call of a `.once` tool that stands against this one. Not those that the attempt
    /// makes at the same time: of them somebody waits for the end.
    private func unsettled(
        _ start: ToolStart, _ state: inout State
    ) throws(RunnerError) -> Decision? {
        guard let other = state.callLeftOpen(of: start.name) else {
            return state.once.older(of: start.name).map { .wait(for: $0) }
        }
        // The step has seen it fail: whatever it makes of that, it gets no second one.
        guard other.start.attempt != start.attempt else {
            throw .unknownOutcome(tool: start.name, call: other.position)
        }
        state.inFlight[other.position] = CallInFlight(start: other.start)
        state.once.take(other)
        return .found(.unsettled(other))
    }

    /// A call is of the attempt that makes it: what outlives its step has no place in the log.
    private func checkIsOpen(_ attempt: AttemptID, _ state: State) throws(RunnerError) {
        if let verdict = state.failure ?? state.verdict { throw verdict }
        try checkIsPresent(attempt, state)
    }

    private func checkIsPresent(_ attempt: AttemptID, _ state: State) throws(RunnerError) {
        guard !state.isClosed, state.outline.fold.summary.openAttempt == attempt else {
            throw .stepIsOver(run, step: attempt.step)
        }
    }

    /// Waits until a call is no longer being made; also a tool that waits for itself can be
    /// cancelled.
    private func waitForEnd(of position: UInt64) async throws {
        let waiter = withState { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = withState { state in
                    guard !Task.isCancelled, state.inFlight[position] != nil else { return false }
                    state.inFlight[position]?.waiters[waiter] = continuation
                    return true
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            withState { $0.inFlight[position]?.waiters.removeValue(forKey: waiter) }?.resume()
        }
        try Task.checkCancellation()
    }

    /// The call at this position is no longer being made, whatever became of it.
    func end(_ position: UInt64) {
        let waiters = withState { state -> [CheckedContinuation<Void, Never>] in
            guard let call = state.inFlight.removeValue(forKey: position) else { return [] }
            state.once.end(position)
            if let open = state.outline.fold.calls.unfinished(at: position) {
                state.once.leave(open, in: state.outline.fold.summary.stepIndex)
            }
            giveNumberBack(call.start, position, &state)
            guard state.inFlight.isEmpty else { return Array(call.waiters.values) }
            defer { state.idleWaiters = [] }
            return Array(call.waiters.values) + state.idleWaiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// A call that completed keeps its number, and a `.once` call of the present attempt that may
    /// have happened: the step gets no second one in its place.
    private func giveNumberBack(_ start: ToolStart, _ position: UInt64, _ state: inout State) {
        switch state.outline.fold.calls.look(up: start) {
        case .completed: return
        case .unknown(let call):
            let isOfPresent = call.start.attempt == state.outline.fold.summary.openAttempt
            if call.start.safety == .once && isOfPresent { return }
            state.numbers.giveBack(start, position, isKnown: true)
        case .none, .mismatch: state.numbers.giveBack(start, position, isKnown: false)
        }
    }

    /// The oldest call that this process still makes, as whoever wants the run is told.
    var oldestInFlight: RunnerError? {
        withState { state in
            state.inFlight.min { $0.key < $1.key }.map {
                RunnerError.callStillRuns(run, tool: $0.value.start.name, call: $0.key)
            }
        }
    }

    /// The call that began at a position, if it has no end.
    func unfinishedCall(_ position: UInt64) -> ToolCallTable.Call? {
        withState { $0.outline.fold.calls.unfinished(at: position) }
    }

    /// Nobody drives the run any more: from now on no call begins.
    func close() { withState { $0.isClosed = true } }

    /// Waits until this process makes no call any more.
    func becomesIdle() async {
        await withCheckedContinuation { continuation in
            let isIdle = withState { state in
                if !state.inFlight.isEmpty { state.idleWaiters.append(continuation) }
                return state.inFlight.isEmpty
            }
            if isIdle { continuation.resume() }
        }
    }

    func finish(
        _ start: UInt64, _ outcome: ToolFinish.Outcome, by author: ToolFinish.Author = .tool,
        isBarrier: Bool
    ) async throws(RunnerError) {
        let appending = try withState { state throws(RunnerError) in
            guard state.failure != nil || state.outline.fold.calls.unfinished(at: start) != nil
            else {
                throw .stepIsOver(run, step: state.outline.fold.summary.stepIndex)
            }
            return try append(
                [.toolFinished(ToolFinish(start: start, outcome: outcome, by: author))],
                isBarrier: isBarrier, &state)
        }
        try await settle(appending)
    }

    /// Sets labels for a step.
    func label(_ labels: [Label], in attempt: AttemptID) async throws(RunnerError) {
        let appending = try withState { state throws(RunnerError) in
            try checkIsPresent(attempt, state)
            return try append([.labelled(labels)], isBarrier: true, &state)
        }
        try await settle(appending)
    }

    /// Notes what the body of a call of unknown outcome threw. Nothing depends on it: a call that
    /// has outlived its attempt, or a store that fails, is told by what follows.
    func note(_ error: any Error, of start: UInt64) async {
        // Without the lock: an error takes its time to describe itself, and may look at the run.
        let failure = Failure(recording: error)
        let appending = withState { state -> Appending? in
            guard state.outline.fold.summary.status == .running,
                state.outline.fold.calls.unfinished(at: start) != nil
            else { return nil }
            return try? append([.toolThrew(start: start, failure)], isBarrier: false, &state)
        }
        if let appending { _ = try? await settle(appending) }
    }

    /// Notes that an attempt was answered with a call that completed before.
    func reuse(
        _ completed: ToolCallTable.Completed, in attempt: AttemptID
    ) async throws(RunnerError) {
        let appending = try withState { state throws(RunnerError) in
            try checkIsOpen(attempt, state)
            return try append(
                [.toolReused(attempt, finish: completed.position)], isBarrier: false, &state)
        }
        try await settle(appending)
    }
}

extension RunJournal.State {
    /// A `.once` call of a tool that was left open in this step, and that nobody makes now.
    fileprivate mutating func callLeftOpen(of tool: String) -> ToolCallTable.Call? {
        let (calls, inFlight) = (outline.fold.calls, inFlight)
        return once.firstLeft(of: tool) {
            inFlight[$0] == nil && calls.unfinished(at: $0) != nil
        }.flatMap { calls.unfinished(at: $0) }
    }
}
