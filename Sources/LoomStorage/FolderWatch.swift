public import SystemPackage

/// Tells when names are moved into a folder, so that whoever waits for files need not look.
///
/// One thread waits; any thread may wake it.
public protocol FolderWatch: AnyObject, Sendable {
    /// Blocks the calling thread until something is told, at most `nanoseconds`; `nil`: for ever.
    ///
    /// What came between two calls is told by the second one.
    func wait(nanoseconds: UInt64?) -> FolderChange
    /// Ends a wait, or the next one.
    func wake()
}

/// What a ``FolderWatch`` told.
public enum FolderChange: Hashable, Sendable {
    /// Names may have come: look.
    case names
    /// ``FolderWatch/wake()`` was called.
    case woken
    /// Time has passed and nothing came.
    case nothing
    /// The folder is no longer in its place, or cannot be watched any more: watch anew, and look.
    case gone
}

extension Storage {
    /// For a storage that watches nothing.
    public func watch(_ path: FilePath) throws(StorageError) -> any FolderWatch {
        throw StorageError(.watch, path, .notSupported)
    }

    /// For a storage without permissions.
    public func createPrivateDirectory(_ path: FilePath) throws(StorageError) {
        try createDirectory(path)
    }
}

/// Takes the place of a watch where there is none: says again and again that names may have come.
public final class SlowWatch: FolderWatch {
    private let machine: any Machine
    private let period: UInt64
    private let isWoken = Monitor(false)

    /// Creates a watch that tells every `period` nanoseconds.
    public init(_ machine: any Machine, period: UInt64) {
        self.machine = machine
        self.period = period
    }

    /// See ``FolderWatch/wait(nanoseconds:)``.
    public func wait(nanoseconds: UInt64?) -> FolderChange {
        let wait = min(nanoseconds ?? period, period)
        let now = machine.monotonicNanoseconds()
        let (deadline, overflows) = now.addingReportingOverflow(wait)
        return isWoken.wait { isWoken -> MonitorStep<FolderChange> in
            if isWoken {
                isWoken = false
                return .finish(.woken)
            }
            guard !overflows else { return .wait(until: nil) }
            return machine.monotonicNanoseconds() >= deadline
                ? .finish(wait == period ? .names : .nothing) : .wait(until: deadline)
        }
    }

    /// See ``FolderWatch/wake()``.
    public func wake() {
        isWoken.withLock { $0 = true }
        isWoken.notifyAll()
    }
}
