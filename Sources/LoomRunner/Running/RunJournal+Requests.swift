internal import LoomFormat
internal import LoomModel

/// A request to pause a run that waits until the run's present step is over.
struct ParkedPause: Sendable {
    /// What the run keeps of the request once it is done.
    var asked: Asked
    var reason: PauseReason
    /// Told once: true when the pause and the answer are in the log, false when the driver ended
    /// without them.
    var settle: @Sendable (Bool) -> Void
}

// Requests of other processes about a run that is driven here.

extension RunJournal {
    /// Carries a change out that was asked for: its events and the answer are one unit, a barrier.
    ///
    /// - Parameters:
    ///   - contents: The events of the change, or why it cannot be made: then that is the answer.
    ///   - stops: Whether nothing is recorded any more after a change that was made, but the ends
    ///     of calls: its driver is told that the run is over.
    func carryOut(
        _ request: RunRequest, stops: Bool = false,
        _ contents: (RunFold) throws(RequestRefusal) -> [RunEvent.Content]
    ) async throws(RunnerError) -> Asked.Answer {
        let (answer, appending) = try withState {
            state throws(RunnerError) -> (Asked.Answer, Appending) in
            var answer = Asked.Answer.done
            var events: [RunEvent.Content] = []
            do throws(RequestRefusal) {
                events = try contents(state.outline.fold)
                let labels = state.outline.fold.summary.labels
                for event in events { try RequestRefusal.check(event, labels) }
            } catch {
                (answer, events) = (.refused(error), [])
            }
            events.append(.asked(request.asked(answer)))
            let appending = try append(events, isBarrier: true, &state)
            if stops, answer == .done { (state.isClosed, state.isStopped) = (true, true) }
            return (answer, appending)
        }
        try await settle(appending)
        if stops, answer == .done { wakeDriver() }
        return answer
    }

    /// The fold of the run, with what is known of a call of the past.
    func fold(preparedForCallAt position: UInt64) throws(RunnerError) -> RunFold {
        try withState { state throws(RunnerError) in
            try prepare(&state) { outline, past in
                try outline.prepare(forCallAt: position, from: past)
            }
            return state.outline.fold
        }
    }

    /// Has the run pause behind its present step.
    ///
    /// - Returns: Whether somebody drives the run, and will do it or tell that it was not done.
    func park(_ pause: ParkedPause) -> Bool {
        let isDriven = withState { state in
            guard !state.isClosed, !state.isLeft,
                state.outline.fold.summary.status == .running
            else { return false }
            state.parked.append(pause)
            return true
        }
        if isDriven {
            noteRequest()
            wakeDriver()
        }
        return isDriven
    }

    /// Why the run is to pause behind its present step; `nil` while nobody has asked for that.
    var requestedPause: PauseReason? {
        guard hasRequest else { return nil }
        return withState { $0.parked.first?.reason }
    }

    /// Whether the run was cancelled by a request.
    var isStopped: Bool { withState { $0.isStopped } }

    /// Records events that end with a pause, with the answers to those who asked for one.
    func recordPause(_ contents: [RunEvent.Content]) async throws(RunnerError) {
        guard hasRequest else {
            try await record(contents, isBarrier: true)
            return
        }
        let parked = withState { state in
            defer { state.parked = [] }
            return state.parked
        }
        do throws(RunnerError) {
            try await record(contents + parked.map { .asked($0.asked) }, isBarrier: true)
        } catch {
            for pause in parked { pause.settle(false) }
            throw error
        }
        for pause in parked { pause.settle(true) }
    }

    /// Nobody drives the run any more: requests that wait for its driver are told.
    ///
    /// - Returns: Whether there were any.
    func leave() -> Bool {
        let parked = withState { state in
            state.isLeft = true
            defer { state.parked = [] }
            return state.parked
        }
        for pause in parked { pause.settle(false) }
        return !parked.isEmpty
    }

    /// Waits before another attempt; ends early when the run is asked to pause or to stop.
    func wait(_ microseconds: UInt64, _ clock: any RunClock) async throws {
        let sleep = Task { try await clock.sleep(microseconds: microseconds) }
        let isAsked = withState { state in
            state.wake = { sleep.cancel() }
            return !state.parked.isEmpty || state.isStopped
        }
        if isAsked { sleep.cancel() }
        defer { withState { $0.wake = nil } }
        do {
            try await withTaskCancellationHandler {
                try await sleep.value
            } onCancel: {
                sleep.cancel()
            }
        } catch {
            if requestedPause != nil || isStopped { return }
            throw error
        }
    }

    private func wakeDriver() { withState { $0.wake }?() }
}

extension RequestRefusal {
    /// Refuses what is too large to be recorded.
    fileprivate static func check(
        _ event: RunEvent.Content, _ labels: [ByteString: String]
    ) throws(RequestRefusal) {
        do throws(RunnerError) {
            try RunnerLimits.check(event, labels: labels)
        } catch {
            throw RequestRefusal(error)
        }
    }
}
