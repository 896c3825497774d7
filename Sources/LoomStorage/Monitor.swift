public import CLoomSystem
internal import SystemPackage

/// A value behind a lock that threads can wait on: a mutex and a condition.
///
/// `Synchronization.Mutex` has no condition to wait on, which the sync thread and blocking commits
/// need. Uncontended, locking costs about 20 ns.
///
/// Sendable without checks: the value is reached only with the mutex held.
@safe public final class Monitor<State>: @unchecked Sendable {
    @usableFromInline let handle: OpaquePointer
    @usableFromInline var state: State

    /// Creates a monitor over a value.
    public init(_ state: sending State) {
        self.state = state
        unsafe handle = loom_monitor_create()
    }

    deinit { unsafe loom_monitor_destroy(handle) }

    /// Runs `body` with the lock held.
    @inlinable
    public func withLock<Result, Failure>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        unsafe loom_monitor_lock(handle)
        defer { unsafe loom_monitor_unlock(handle) }
        return try body(&state)
    }

    /// Wakes every thread that waits. May be called with or without the lock held.
    @inlinable
    public func notifyAll() { unsafe loom_monitor_notify_all(handle) }

    /// Runs `body` with the lock held, again after every wake, until it finishes.
    ///
    /// A step that waits names its own deadline, as the state that it saw decides it.
    public func wait<Result, Failure>(
        _ body: (inout State) throws(Failure) -> MonitorStep<Result>
    ) throws(Failure) -> Result {
        unsafe loom_monitor_lock(handle)
        defer { unsafe loom_monitor_unlock(handle) }
        while true {
            switch try body(&state) {
            case .finish(let result): return result
            case .wait(until: nil): unsafe loom_monitor_wait(handle)
            case .wait(until: let deadline?):
                _ = unsafe loom_monitor_wait_until(handle, deadline)
            }
        }
    }
}

/// What a thread that holds a ``Monitor`` does next.
public enum MonitorStep<Result> {
    /// Returns this.
    case finish(Result)
    /// Gives up the lock until it is notified, or until a moment in monotonic nanoseconds.
    case wait(until: UInt64?)
}

/// A thread of its own for work that blocks: never one of Swift's cooperative threads.
public enum WorkerThread {
    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// A number that no other thread of this process has while the calling one lives.
    public static var currentIdentity: UInt64 { loom_thread_identity() }

    /// Starts a thread that calls `body` once and ends.
    ///
    /// - Parameters:
    ///   - name: At most 15 bytes are shown by the system's tools.
    ///   - stackBytes: The size of its stack; 0 for the system's default.
    public static func start(
        _ name: String, stackBytes: Int = 0, _ body: @escaping @Sendable () -> Void
    ) throws(StorageError) {
        let context = unsafe Unmanaged.passRetained(Body(body))
        let result = unsafe loom_thread_start(name, stackBytes, context.toOpaque()) { context in
            let body = unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue()
            body.run()
        }
        guard result < 0 else { return }
        unsafe context.release()
        throw StorageError(.create, "thread", .init(rawValue: -result))
    }
}
