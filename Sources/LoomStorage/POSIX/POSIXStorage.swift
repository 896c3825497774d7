internal import CLoomSystem
public import SystemPackage

/// The real file system.
///
/// ```swift
/// let storage = POSIXStorage()
/// let file = try storage.create("/var/lib/app/runs.loom/notes")
/// ```
public struct POSIXStorage: Storage {
    /// The surfaces that files may use: without `mapped`, every store is a `pwrite`.
    public let allowsMapping: Bool
    /// This machine.
    public let machine: any Machine

    /// How long the text of a lock that was just taken is waited for: 100 ms in all.
    private static let textTriesMax = 100
    private static let textWaitNanoseconds: UInt64 = 1_000_000

    /// Creates the storage. `allowsMapping: false` forces the positional surface everywhere.
    public init(allowsMapping: Bool = true) {
        self.allowsMapping = allowsMapping
        machine = POSIXMachine()
    }

    /// See ``Storage/createDirectory(_:)``.
    public func createDirectory(_ path: FilePath) throws(StorageError) {
        let result = unsafe path.withPlatformString { unsafe loom_make_directory($0) }
        try check(result, .createDirectory, path)
    }

    /// See ``Storage/list(_:)``.
    public func list(_ path: FilePath) throws(StorageError) -> [String] {
        var names: [String] = []
        let result = unsafe path.withPlatformString { path in
            unsafe withUnsafeMutablePointer(to: &names) { names in
                unsafe loom_list(path, names) { context, name in
                    unsafe context.assumingMemoryBound(to: [String].self).pointee.append(
                        String(cString: name))
                }
            }
        }
        try check(result, .list, path)
        return names
    }

    /// See ``Storage/rename(_:to:)``.
    public func rename(_ path: FilePath, to target: FilePath) throws(StorageError) {
        let result = unsafe path.withPlatformString { from in
            unsafe target.withPlatformString { unsafe loom_rename_exclusive(from, $0) }
        }
        try check(result, .rename, path)
    }

    /// See ``Storage/remove(_:)``.
    public func remove(_ path: FilePath) throws(StorageError) {
        let result = unsafe path.withPlatformString { unsafe loom_unlink($0) }
        try check(result, .remove, path)
    }

    /// See ``Storage/removeDirectory(_:)``.
    public func removeDirectory(_ path: FilePath) throws(StorageError) {
        let result = unsafe path.withPlatformString { unsafe loom_remove_directory($0) }
        try check(result, .remove, path)
    }

    /// See ``Storage/syncDirectory(_:)``.
    public func syncDirectory(_ path: FilePath) throws(StorageError) {
        let descriptor = try openDescriptor(path, LOOM_OPEN_FOLDER, .syncDirectory)
        defer { _ = loom_close(descriptor) }
        try check(loom_sync(descriptor), .syncDirectory, path)
    }

    /// See ``Storage/create(_:)``.
    public func create(_ path: FilePath) throws(StorageError) -> any StorageFile {
        let descriptor = try openDescriptor(path, LOOM_OPEN_CREATE, .create)
        return try POSIXFile(path, descriptor: descriptor, allowsMapping: allowsMapping)
    }

    /// See ``Storage/open(_:for:)``.
    public func open(
        _ path: FilePath, for access: FileAccess
    ) throws(StorageError) -> any StorageFile {
        let mode = access == .reading ? LOOM_OPEN_READ : LOOM_OPEN_WRITE
        let descriptor = try openDescriptor(path, mode, .open)
        return try POSIXFile(path, descriptor: descriptor, allowsMapping: allowsMapping)
    }

    /// See ``Storage/lock(_:holder:)``.
    public func lock(_ path: FilePath, holder: String) throws(StorageError) -> any StorageLock {
        var descriptor = unsafe path.withPlatformString {
            unsafe loom_open($0, CInt(LOOM_OPEN_CREATE))
        }
        if descriptor == -Errno.fileExists.rawValue {
            descriptor = try openDescriptor(path, LOOM_OPEN_WRITE, .lock)
        }
        try check(descriptor, .lock, path)
        let result = loom_lock(descriptor, CInt(LOOM_LOCK_RIGHT))
        if result == -Errno.wouldBlock.rawValue {
            let holder = holderText(descriptor)
            _ = loom_close(descriptor)
            throw StorageError(.lock, path, .wouldBlock, holder: holder)
        }
        let lock = POSIXLock(descriptor: descriptor)
        try check(result, .lock, path)
        try check(loom_truncate(descriptor, 0), .lock, path)
        let text = Array(holder.utf8)
        let written = unsafe text.withUnsafeBytes {
            unsafe loom_pwrite_all(descriptor, $0.baseAddress, $0.count, 0)
        }
        try check(written, .lock, path)
        try check(loom_lock(descriptor, CInt(LOOM_LOCK_TEXT)), .lock, path)
        return lock
    }

    /// See ``Storage/lockHolder(_:)``.
    public func lockHolder(_ path: FilePath) throws(StorageError) -> String? {
        let descriptor: CInt
        do throws(StorageError) {
            descriptor = try openDescriptor(path, LOOM_OPEN_READ, .lock)
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
        defer { _ = loom_close(descriptor) }
        let isLocked = loom_is_locked(descriptor, CInt(LOOM_LOCK_RIGHT))
        try check(isLocked, .lock, path)
        return isLocked == 1 ? holderText(descriptor) : nil
    }

    /// The text of the holder, who may be about to write it: then it is waited for, not for long.
    private func holderText(_ descriptor: CInt) -> String {
        for _ in 0..<Self.textTriesMax
        where loom_is_locked(descriptor, CInt(LOOM_LOCK_TEXT)) == 0 {
            loom_sleep(Self.textWaitNanoseconds)
        }
        var bytes = [UInt8](repeating: 0, count: holderBytesMax)
        let count = unsafe bytes.withUnsafeMutableBytes {
            unsafe loom_pread(descriptor, $0.baseAddress, $0.count, 0)
        }
        return cleanHolder(bytes.prefix(max(0, Int(count))))
    }

    private func openDescriptor(
        _ path: FilePath, _ mode: Int, _ operation: StorageError.Operation
    ) throws(StorageError) -> CInt {
        let result = unsafe path.withPlatformString {
            unsafe loom_open($0, CInt(mode))
        }
        try check(result, operation, path)
        return result
    }
}

/// Throws the negated errno of a call in `loomsystem.h`.
func check(
    _ result: some SignedInteger, _ operation: StorageError.Operation, _ path: FilePath
) throws(StorageError) {
    if result < 0 { throw StorageError(operation, path, Errno(rawValue: CInt(-result))) }
}

/// A lock of an open file description: the kernel gives it up however the process ends.
final class POSIXLock: StorageLock {
    private let descriptor: Monitor<CInt?>

    init(descriptor: CInt) { self.descriptor = Monitor(descriptor) }
    deinit { release() }

    func release() {
        descriptor.withLock { descriptor in
            if let open = descriptor {
                _ = loom_unlock(open)
                _ = loom_close(open)
            }
            descriptor = nil
        }
    }
}
