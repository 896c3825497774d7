public import LoomModel
internal import Synchronization

/// An attempt that may take so long and not longer.
struct TimedAttempt: Sendable {
    private let limit: Duration
    private let grace: Duration
    private let clock: any RunClock

    init(_ limit: Duration, grace: Duration, clock: any RunClock) {
        self.limit = limit
        self.grace = grace
        self.clock = clock
    }

    /// Runs a step in a task of its own, which can be left behind.
    ///
    /// - Parameter stuck: Thrown, in ``StepStillRuns``, when the step outlives limit and grace.
    /// - Throws: What the step throws; ``AttemptTimeout`` when it ended only because it was
    ///   cancelled. A step that comes to an outcome within the grace has one.
    func run(
        _ stuck: RunnerError, _ step: @escaping @Sendable () async throws -> EncodedOutcome
    ) async throws -> EncodedOutcome {
        let task = Task { try await step() }
        let isInTime = await withTaskCancellationHandler {
            await ends(task, within: limit)
        } onCancel: {
            task.cancel()
        }
        if isInTime { return try await task.value }
        task.cancel()
        guard await ends(task, within: grace) else {
            throw StepStillRuns(reason: stuck) { _ = await task.result }
        }
        do {
            return try await task.value
        } catch RunnerError.unknownOutcome {
            // The journal knows of the call; what made its outcome unknown is the time.
            throw AttemptTimeout(limit: limit)
        } catch let error as RunnerError {
            // The store, or a wrong use: these say more than that time ran out.
            throw error
        } catch {
            throw AttemptTimeout(limit: limit)
        }
    }

    /// Whether a task ends before a time is over. Does not wait for the one that is later.
    private func ends(
        _ task: Task<EncodedOutcome, any Error>, within time: Duration
    ) async -> Bool {
        let race = Race()
        let timer = Task {
            try? await clock.sleep(microseconds: time.clampedMicroseconds)
            race.finish(false)
        }
        Task {
            _ = await task.result
            race.finish(true)
        }
        defer { timer.cancel() }
        return await race.winner
    }
}

/// The first of two to come in.
private final class Race: Sendable {
    private enum State {
        case open
        case waiting(CheckedContinuation<Bool, Never>)
        case finished(Bool)
    }
    private let state = Mutex(State.open)

    func finish(_ value: Bool) {
        let waiter = state.withLock { state -> CheckedContinuation<Bool, Never>? in
            defer { if case .finished = state {} else { state = .finished(value) } }
            guard case .waiting(let waiter) = state else { return nil }
            return waiter
        }
        waiter?.resume(returning: value)
    }

    var winner: Bool {
        get async {
            await withCheckedContinuation { continuation in
                let known = state.withLock { state -> Bool? in
                    if case .finished(let value) = state { return value }
                    state = .waiting(continuation)
                    return nil
                }
                if let known { continuation.resume(returning: known) }
            }
        }
    }
}

/// An attempt took longer than it may. Transient: another one may be quicker.
public struct AttemptTimeout: ClassifiedError, CustomStringConvertible {
    /// How long it was allowed to take.
    public let limit: Duration

    /// Creates the error.
    public init(limit: Duration) { self.limit = limit }

    /// Transient.
    public var category: FailureCategory { .transient }
    /// One line.
    public var description: String { "the attempt took longer than \(limit)" }
}

/// A step that was cancelled and did not end: its run is left to nobody until it does.
struct StepStillRuns: Error {
    let reason: RunnerError
    let ended: @Sendable () async -> Void
}
