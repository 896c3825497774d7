internal import CLoomSystem
internal import Synchronization
internal import SystemPackage

/// The shared mapping of a file that is appended to; it may grow, and moves when it does.
///
/// The memory stays until this object goes: a store that races with closing, or with growing, lands
/// in the same file.
///
/// Sendable without checks: stores find the newest mapping by two atomics. The length is published
/// after the base, so a reader that sees a length sees a base that is mapped as far, or further.
@safe final class POSIXMapping: @unchecked Sendable {
    private let base = unsafe Atomic<UnsafeMutableRawPointer?>(nil)
    private let length = Atomic<Int>(0)
    private let all = unsafe Monitor<[UnsafeMutableRawBufferPointer]>([])

    deinit {
        unsafe all.withLock { all in
            while let part = unsafe all.popLast(), let base = part.baseAddress {
                _ = unsafe loom_unmap(base, part.count)
            }
        }
    }

    /// Maps the first `length` bytes, unless they are mapped already.
    func extend(to length: Int, of descriptor: CInt) -> CInt {
        unsafe all.withLock { all in
            guard length > self.length.load(ordering: .relaxed) else { return 0 }
            var address: UnsafeMutableRawPointer?
            let result = unsafe loom_map(descriptor, length, &address)
            guard result == 0 else { return result }
            unsafe all.append(UnsafeMutableRawBufferPointer(start: address, count: length))
            unsafe base.store(address, ordering: .releasing)
            self.length.store(length, ordering: .releasing)
            return 0
        }
    }

    /// Where `count` bytes at `offset` are in memory; `nil` where the mapping does not reach.
    func address(of offset: Int, count: Int) -> UnsafeMutableRawPointer? {
        let length = length.load(ordering: .acquiring)
        guard offset >= 0, count <= length, offset <= length - count else { return nil }
        return unsafe base.load(ordering: .acquiring).map { unsafe $0 + offset }
    }
}
