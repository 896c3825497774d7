internal import LoomFormat

/// Interrupts the work on an archive every so many bytes: to leave the disk to others, and to ask
/// whether it is to go on.
final class ArchivePace {
    private let step: () throws(LogError) -> Void
    private var left = stepBytes

    private static let stepBytes = 1 << 20

    /// - Parameter step: Called after each MiB. What it throws ends the work.
    init(_ step: @escaping () throws(LogError) -> Void = { () throws(LogError) in }) {
        self.step = step
    }

    /// Counts bytes that were read or written.
    func pass(_ count: Int) throws(LogError) {
        left -= count
        guard left <= 0 else { return }
        left = Self.stepBytes
        try step()
    }
}
