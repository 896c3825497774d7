public import CLoomSystem

/// Tells a process from the children that it forks.
///
/// A child made by `fork` without a new program has its parent's objects, but not its threads,
/// locks and mappings, and must not touch its parent's files. On the path of every append:
/// reading it is one load.
public struct ForkGeneration: Hashable, Sendable {
    @usableFromInline let count: UInt32

    @inlinable init(count: UInt32) { self.count = count }

    /// That of this process.
    @inlinable public static var current: ForkGeneration {
        ForkGeneration(count: loom_fork_count())
    }

    /// Whether this process is still the one that asked.
    @inlinable public var isCurrent: Bool { count == loom_fork_count() }
}
