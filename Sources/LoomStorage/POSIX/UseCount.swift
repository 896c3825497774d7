internal import Synchronization

/// The calls that are using a descriptor, so that it is closed after the last of them.
///
/// The number of a closed descriptor is given to the next file that any thread opens: a call that
/// came late would read or write that one.
struct UseCount: ~Copyable, Sendable {
    private static let closed: UInt64 = 1 << 63
    private static let gone: UInt64 = 1 << 62

    /// The count, and the two bits above it.
    private let value = Atomic<UInt64>(0)

    /// Whether new uses are refused.
    var isClosed: Bool { value.load(ordering: .acquiring) & Self.closed != 0 }

    /// Begins a use. Ended by ``leave()``, also when it was refused.
    func enter() -> Bool {
        value.wrappingAdd(1, ordering: .acquiring).oldValue & Self.closed == 0
    }

    /// Ends a use.
    ///
    /// - Returns: Whether it was the last of a closed descriptor: the caller gives it back.
    func leave() -> Bool {
        let left = value.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
        return left == Self.closed && takeLast()
    }

    /// Refuses new uses from now on.
    ///
    /// - Returns: Whether there was none: the caller gives the descriptor back.
    func close() -> Bool {
        let old = value.bitwiseOr(Self.closed, ordering: .acquiringAndReleasing).oldValue
        return old == 0 && takeLast()
    }

    /// One caller alone gets the answer yes, as a refused use may come and go at any time.
    private func takeLast() -> Bool {
        value.compareExchange(
            expected: Self.closed, desired: Self.closed | Self.gone,
            ordering: .acquiringAndReleasing
        ).exchanged
    }
}
