public import LoomModel
public import LoomRunner
internal import Synchronization

/// Time that passes only when somebody waits: retries with long delays take none.
public final class VirtualRunClock: RunClock {
    private let time: Mutex<UInt64>

    /// Starts at a moment in microseconds since 1970.
    public init(microseconds: UInt64 = 1_700_000_000_000_000) { time = Mutex(microseconds) }

    /// Now, on this clock.
    public func now() -> EventTime { EventTime(microseconds: time.withLock { $0 }) }

    /// Moves the clock on, at once: delays take no time, and every timeout is over before its step.
    public func sleep(microseconds: UInt64) async throws {
        advance(microseconds: microseconds)
        try Task.checkCancellation()
    }

    /// Moves the clock on without anybody waiting.
    public func advance(microseconds: UInt64) {
        time.withLock { time in
            let (later, overflows) = time.addingReportingOverflow(microseconds)
            time = overflows ? .max : later
        }
    }
}
