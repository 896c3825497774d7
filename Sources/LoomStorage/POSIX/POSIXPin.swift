internal import CLoomSystem
internal import SystemPackage

/// A shared lock of an open file description of its own: the kernel gives it up however the process
/// ends.
final class POSIXPin: StoragePin {
    private let generation = ForkGeneration.current
    private let descriptor: Monitor<CInt?>

    /// Takes the descriptor over, also when it throws, and takes the lock.
    init(_ path: FilePath, descriptor: CInt, number: UInt64) throws(StorageError) {
        self.descriptor = Monitor(descriptor)
        // When this throws, `deinit` closes: all properties are set.
        try check(loom_pin(descriptor, number), .pin, path)
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
}
