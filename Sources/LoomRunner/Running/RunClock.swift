public import LoomModel
internal import LoomStorage

/// The time that a runner records and waits by: injected, so that tests do not wait.
public protocol RunClock: Sendable {
    /// Now.
    func now() -> EventTime
    /// Waits; ends early with `CancellationError` when the task is cancelled.
    func sleep(microseconds: UInt64) async throws
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
