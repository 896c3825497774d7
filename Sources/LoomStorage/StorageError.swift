public import SystemPackage

/// A call to the storage that failed: what was tried, on which path, and the system's answer.
public struct StorageError: Error, Hashable, Sendable {
    /// What was tried.
    public enum Operation: String, Hashable, Sendable {
        /// The calls of ``Storage`` and ``StorageFile``.
        case createDirectory, list, rename, remove, syncDirectory, create, open, lock, size, read
        /// More of them.
        case write, fillZeros, map, store, sync, close
    }

    /// What was tried.
    public let operation: Operation
    /// On which file or folder.
    public let path: FilePath
    /// What the system answered.
    public let errno: Errno
    /// For a lock that another holds: the text that the holder left.
    public let holder: String?

    /// Creates an error.
    public init(_ operation: Operation, _ path: FilePath, _ errno: Errno, holder: String? = nil) {
        self.operation = operation
        self.path = path
        self.errno = errno
        self.holder = holder
    }

    /// The lock is held by another.
    public var isHeld: Bool { operation == .lock && errno == .wouldBlock }
    /// There is no room on the device or in the quota: the call may succeed later.
    public var isOutOfSpace: Bool { errno == .noSpace || errno == Self.quotaExceeded }
    /// There is no such file or folder.
    public var isNotFound: Bool { errno == .noSuchFileOrDirectory }
    /// Something of that name is there already.
    public var isFileExists: Bool { errno == .fileExists }

    private static let quotaExceeded = Errno.diskQuotaExceeded
}

extension StorageError: CustomStringConvertible {
    /// One line: the path, what was tried, why it failed.
    public var description: String {
        if let holder { return "\(path): locked by \(holder)" }
        return "\(path): \(operation.rawValue) failed: \(errno)"
    }
}
