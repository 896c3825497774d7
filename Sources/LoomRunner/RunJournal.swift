internal import LoomFormat
public import LoomModel

/// The events of one claimed run: gives them their positions, folds them, appends them in order.
///
/// An actor, so that concurrent tool calls of one step are recorded one after another. It is the
/// only one that knows the position; once an append was fenced or lost, nothing is appended any
/// more.
actor RunJournal {
    let run: RunID
    private let store: any RunStore
    private let clock: any RunClock
    private let epoch: UInt64
    private var fold: RunFold
    private var failure: RunnerError?
    /// Calls of each name and request in the present attempt.
    private var occurrences: [Occurrence: UInt64] = [:]

    /// Calls that this process makes now, by the position of their start, and who waits for them.
    private var inFlight: [UInt64: [CheckedContinuation<Void, Never>]] = [:]

    private struct Occurrence: Hashable {
        var name: String
        var request: [UInt8]
    }

    init(
        run: RunID, store: any RunStore, clock: any RunClock, epoch: UInt64, fold: RunFold
    ) {
        self.run = run
        self.store = store
        self.clock = clock
        self.epoch = epoch
        self.fold = fold
    }

    var summary: RunSummary { fold.summary }

    /// Appends events as one unit.
    ///
    /// - Returns: The position of the first.
    @discardableResult
    func record(
        _ contents: [RunEvent.Content], isBarrier: Bool = false
    ) async throws(RunnerError) -> UInt64 {
        if let failure { throw failure }
        let time = clock.now()
        let events = contents.map { RunEvent(time: time, $0) }
        let first = fold.summary.nextPosition
        // Folded first: what the fold refuses is a fault of the runner and must not reach the log.
        for (index, event) in events.enumerated() {
            do throws(RunFold.Violation) {
                try fold.apply(event, at: .init(position: first + UInt64(index), epoch: epoch))
            } catch {
                throw stop(.corrupt(run, error.description))
            }
            // A new attempt counts its calls from the start.
            if case .attemptStarted = event.content { occurrences.removeAll(keepingCapacity: true) }
        }
        let answer: AppendAnswer
        do throws(RunStoreError) {
            answer = try await store.append(
                events, to: run, epoch: epoch, position: first, isBarrier: isBarrier)
        } catch {
            throw stop(RunnerError(error))
        }
        switch answer {
        case .ok: return first
        case .fenced: throw stop(.fenced(run))
        case .unknown(let reason): throw stop(.storage(reason))
        }
    }

    private func stop(_ error: RunnerError) -> RunnerError {
        failure = failure ?? error
        return error
    }

    /// The start of a call, with the key that tells it from others.
    func startFor(
        _ name: String, safety: ToolSafety, key: String?, request: [UInt8], attempt: AttemptID
    ) -> ToolStart {
        var toolKey = key.map { ToolKey.explicit($0) }
        if toolKey == nil {
            let occurrence = Occurrence(name: name, request: request)
            let number = occurrences[occurrence, default: 0]
            occurrences[occurrence] = number + 1
            toolKey = .occurrence(number)
        }
        return ToolStart(
            attempt: attempt, name: name, safety: safety, key: toolKey ?? .occurrence(0),
            request: request)
    }

    /// What is known of a call. One that another task of this attempt is making is waited for.
    func look(up start: ToolStart) async -> ToolCallTable.Lookup {
        while true {
            let found = fold.calls.look(up: start)
            guard case .unknown(let call) = found, inFlight[call.position] != nil else {
                return found
            }
            await withCheckedContinuation { inFlight[call.position]?.append($0) }
        }
    }

    /// What a step finds when it wants to make a call.
    enum Lookup {
        /// The call was started for it.
        case begun(UInt64)
        /// It has to be answered or settled first.
        case found(ToolCallTable.Lookup)
    }

    /// Looks a call up and starts it when nothing stands against it, as one step: of two tasks with
    /// one key only one starts. An unfinished call that may be made again is made again, under its
    /// key.
    func lookOrBegin(_ start: ToolStart) async throws(RunnerError) -> Lookup {
        let found = await look(up: start)
        switch found {
        case .none: return .begun(try await begin(start))
        case .unknown where start.safety != .once: return .begun(try await begin(start))
        case .unknown(let call):
            // Whoever finds it settles it, until `end`: another task with this key waits for that.
            inFlight[call.position] = []
            return .found(found)
        case .completed, .mismatch: return .found(found)
        }
    }

    /// Records the start of a call that this process makes; that of a `.once` call must not be
    /// lost.
    func begin(_ start: ToolStart) async throws(RunnerError) -> UInt64 {
        let position = fold.summary.nextPosition
        inFlight[position] = []
        do throws(RunnerError) {
            return try await record([.toolStarted(start)], isBarrier: start.safety == .once)
        } catch {
            end(position)
            throw error
        }
    }

    /// The call at this position is no longer being made, whatever became of it.
    func end(_ position: UInt64) {
        for waiter in inFlight.removeValue(forKey: position) ?? [] { waiter.resume() }
    }

    func finish(
        _ start: UInt64, _ outcome: ToolFinish.Outcome, isBarrier: Bool
    ) async throws(RunnerError) {
        try await record(
            [.toolFinished(ToolFinish(start: start, outcome: outcome))], isBarrier: isBarrier)
    }
}

/// The time that a runner records and waits by: injected, so that tests do not wait.
public protocol RunClock: Sendable {
    /// Now.
    func now() -> EventTime
    /// Waits; ends early with `CancellationError` when the task is cancelled.
    func sleep(microseconds: UInt64) async throws
}
