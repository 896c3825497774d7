internal import CLoomSystem
internal import Synchronization
internal import SystemPackage

/// The shared mapping of a file that is appended to, or of which words are loaded; it may grow, and
/// moves when it does.
///
/// The addresses stay until this object goes, so that a store that races with growing lands in the
/// same file. One that races with closing may land in memory of nobody, which takes the file's
/// place: the storing thread looks afterwards whether the file was closed.
///
/// Sendable without checks: stores find the newest mapping by two atomics. The length is published
/// after the base, so a reader that sees a length sees a base that is mapped as far, or further.
@safe final class POSIXMapping: @unchecked Sendable {
    private let base = unsafe Atomic<UnsafeMutableRawPointer?>(nil)
    private let length = Atomic<Int>(0)
    private let generation = ForkGeneration.current
    private let all = Monitor(Parts())

    @safe private struct Parts {
        var list: [UnsafeMutableRawBufferPointer] = unsafe []
        var isDetached = false
    }

    deinit {
        // A forked child has none of them, and may have something else there.
        guard generation.isCurrent else { return }
        all.withLock { all in
            while let part = unsafe all.list.popLast(), let base = part.baseAddress {
                _ = unsafe loom_unmap(base, part.count)
            }
        }
    }

    /// Maps the first `length` bytes, unless they are mapped already.
    func extend(to length: Int, of descriptor: CInt, isWritable: Bool) -> CInt {
        all.withLock { all in
            if all.isDetached { return -Errno.badFileDescriptor.rawValue }
            guard length > self.length.load(ordering: .relaxed) else { return 0 }
            var address: UnsafeMutableRawPointer?
            let result = unsafe loom_map(descriptor, length, isWritable, &address)
            guard result == 0 else { return result }
            unsafe all.list.append(UnsafeMutableRawBufferPointer(start: address, count: length))
            unsafe base.store(address, ordering: .releasing)
            self.length.store(length, ordering: .releasing)
            return 0
        }
    }

    /// Takes the file out of memory. Where the system refuses, it goes with this object.
    func detach() {
        // A forked child may have something else there: it would lose that.
        guard generation.isCurrent else { return }
        all.withLock { all in
            guard !all.isDetached else { return }
            all.isDetached = true
            for index in unsafe all.list.indices {
                let part = unsafe all.list[index]
                if let base = part.baseAddress { _ = unsafe loom_detach(base, part.count) }
            }
        }
    }

    /// Whether the file was cut under the mapping, or could not be read: stores since then went
    /// nowhere.
    var isLost: Bool {
        // On the path of every store: no mapping of this process was ever lost.
        guard loom_lost_mappings() != 0 else { return false }
        return all.withLock { all in
            for index in unsafe all.list.indices {
                let part = unsafe all.list[index]
                if let base = part.baseAddress, unsafe loom_mapping_is_lost(base) { return true }
            }
            return false
        }
    }

    /// Bytes of the file that are mapped.
    var byteCount: Int { length.load(ordering: .acquiring) }

    /// Where `count` bytes at `offset` are in memory; `nil` where the mapping does not reach.
    ///
    /// In a forked child as in its parent: whoever uses it checks the generation.
    func address(of offset: Int, count: Int) -> UnsafeMutableRawPointer? {
        let length = length.load(ordering: .acquiring)
        guard offset >= 0, count <= length, offset <= length - count else { return nil }
        return unsafe base.load(ordering: .acquiring).map { unsafe $0 + offset }
    }
}
