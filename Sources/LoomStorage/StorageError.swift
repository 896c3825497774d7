public import SystemPackage

/// A call to the storage that failed: what was tried, on which path, and the system's answer.
public struct StorageError: Error, Hashable, Sendable {
    /// What was tried.
    public enum Operation: String, Hashable, Sendable {
        /// The calls of ``Storage`` and ``StorageFile``.
        case createDirectory, list, rename, link, remove, syncDirectory, create, open, lock, size,
            read
        /// Space that is left, and space that is given back.
        case availableBytes, truncate
        /// More of them.
        case write, fillZeros, map, store, sync, close, anchor, checkInPlace, watch, owner, pin
    }

    /// What was tried.
    public let operation: Operation
    /// On which file or folder.
    public let path: FilePath
    /// What the system answered.
    public let errno: Errno
    /// For a lock that another holds: the text that the holder left.
    public let holder: String?
    /// What stands where a file was expected, when it is neither a file nor a folder.
    public let irregular: IrregularFile?

    /// Creates an error.
    public init(
        _ operation: Operation, _ path: FilePath, _ errno: Errno, holder: String? = nil,
        irregular: IrregularFile? = nil
    ) {
        self.operation = operation
        self.path = path
        self.errno = errno
        self.holder = holder
        self.irregular = irregular
    }

    /// The lock is held by another.
    public var isHeld: Bool { operation == .lock && errno == .wouldBlock }
    /// There is no room on the device or in the quota: the call may succeed later.
    public var isOutOfSpace: Bool { errno == .noSpace || errno == Self.quotaExceeded }
    /// There is no such file or folder.
    public var isNotFound: Bool { errno == .noSuchFileOrDirectory }
    /// Something of that name is there already.
    public var isFileExists: Bool { errno == .fileExists }

    /// Something that is no regular file stands where a file was expected.
    public var isNoFile: Bool { irregular != nil || (operation == .open && errno == .isDirectory) }
    /// What was opened is no longer there as it was: the folder or file was moved, deleted,
    /// replaced or overwritten.
    public var isDisplaced: Bool { operation == .checkInPlace }

    /// The error of which ``isDisplaced`` is true.
    public static func displaced(_ path: FilePath) -> StorageError {
        StorageError(.checkInPlace, path, .staleNFSFileHandle)
    }

    private static let quotaExceeded = Errno.diskQuotaExceeded
}

/// What can stand where a file of a storage is expected, and is refused: following or opening it
/// could change or block something else.
public enum IrregularFile: String, Hashable, Sendable {
    /// A symbolic link, whatever it leads to.
    case symbolicLink = "is a symbolic link"
    /// The folder of the file, or one further up.
    case behindSymbolicLink = "is in a folder that is a symbolic link"
    /// A pipe that has a name.
    case fifo = "is a FIFO"
    /// A socket.
    case socket = "is a socket"
    /// A device.
    case device = "is a device"
}

extension StorageError: CustomStringConvertible {
    /// One line: the path, what was tried, why it failed.
    public var description: String {
        if let holder { return "\(path): locked by \(holder)" }
        if let irregular { return "\(path): \(irregular.rawValue), not a regular file" }
        if isDisplaced { return "\(path): moved, deleted, replaced or overwritten while in use" }
        return "\(path): \(operation.rawValue) failed: \(errno)"
    }
}
