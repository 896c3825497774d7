internal import CLoomSystem
internal import SystemPackage

/// A lock of an open file description: the kernel gives it up however the process ends.
///
/// A forked child shares the description. It must not give the lock up, and its copy of the
/// descriptor is closed as soon as it begins.
final class POSIXLock: StorageLock {
    /// How long the text of a lock that was just taken is waited for: 100 ms in all.
    private static let textTriesMax = 100
    private static let textWaitNanoseconds: UInt64 = 1_000_000

    let place: FilePlace
    private let generation = ForkGeneration.current
    private let descriptor: Monitor<CInt?>

    /// Takes the descriptor over, also when it throws, and takes the lock.
    init(_ path: FilePath, descriptor: CInt, holder: String) throws(StorageError) {
        var (device, inode): (UInt64, UInt64) = (0, 0)
        let known = unsafe loom_identity(descriptor, &device, &inode)
        let text = Array(holder.utf8)
        place = FilePlace(
            path: path, identity: FileIdentity(device: device, inode: inode),
            leastSize: text.count)
        self.descriptor = Monitor(descriptor)
        // When this throws, `deinit` closes: all properties are set.
        try check(known, .lock, path)
        let result = loom_lock(descriptor, CInt(LOOM_LOCK_RIGHT))
        if result == -Errno.wouldBlock.rawValue {
            throw StorageError(.lock, path, .wouldBlock, holder: Self.text(descriptor))
        }
        try check(result, .lock, path)
        try check(loom_truncate(descriptor, 0), .lock, path)
        let written = unsafe text.withUnsafeBytes {
            unsafe loom_pwrite_all(descriptor, $0.baseAddress, $0.count, 0)
        }
        try check(written, .lock, path)
        try check(loom_lock(descriptor, CInt(LOOM_LOCK_TEXT)), .lock, path)
    }

    deinit { release() }

    func release() {
        guard generation.isCurrent else { return }
        descriptor.withLock { descriptor in
            if let open = descriptor {
                _ = loom_unlock(open)
                _ = loom_close(open)
            }
            descriptor = nil
        }
    }

    /// The text of whoever holds the lock of a file; `nil` when nobody does.
    static func holder(of path: FilePath, _ descriptor: CInt) throws(StorageError) -> String? {
        let isLocked = loom_is_locked(descriptor, CInt(LOOM_LOCK_RIGHT))
        try check(isLocked, .lock, path)
        return isLocked == 1 ? text(descriptor) : nil
    }

    /// The text of the holder, who may be about to write it: then it is waited for, not for long.
    private static func text(_ descriptor: CInt) -> String {
        for _ in 0..<textTriesMax
        where loom_is_locked(descriptor, CInt(LOOM_LOCK_TEXT)) == 0 {
            loom_sleep(textWaitNanoseconds)
        }
        var bytes = [UInt8](repeating: 0, count: holderBytesMax)
        let count = unsafe bytes.withUnsafeMutableBytes {
            unsafe loom_pread(descriptor, $0.baseAddress, $0.count, 0)
        }
        return cleanHolder(bytes.prefix(max(0, Int(count))))
    }
}
