public import LoomModel
internal import LoomStorage

/// The time that a runner records and waits by: injected, so that tests do not wait.
public protocol RunClock: Sendable {
    /// Now.
    func now() -> EventTime
    /// Waits; ends early with `CancellationError` when the task is cancelled.
    func sleep(microseconds: UInt64) async throws
}

extension Duration {
    /// Whole microseconds, from 0 to a hundred years: a duration may come from the other side, and
    /// must not trap whoever waits for it.
    var clampedMicroseconds: UInt64 {
        let most: Int64 = 3_155_760_000
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return UInt64(min(seconds, most)) * 1_000_000 + UInt64(attoseconds / 1_000_000_000_000)
    }
}

extension Duration {
    /// In seconds, whole where it is: `45 s`, `0.25 s`.
    var words: String {
        let (seconds, attoseconds) = components
        if attoseconds == 0 { return "\(seconds) s" }
        return "\(Double(seconds) + Double(attoseconds) / 1e18) s"
    }
}

/// The system's clock.
public struct SystemRunClock: RunClock {
    /// Creates the clock.
    public init() {}

    /// Microseconds since 1970, from the system's wall clock; 0 while that is set to an earlier
    /// time.
    public func now() -> EventTime {
        EventTime(microseconds: Self.machine.wallMicroseconds())
    }

    private static let machine = POSIXStorage().machine

    /// Suspends the task; for a hundred years at most.
    public func sleep(microseconds: UInt64) async throws {
        let wait = min(microseconds, Duration.seconds(Int64.max).clampedMicroseconds)
        try await Task.sleep(for: .microseconds(Int64(wait)))
    }
}
