/// Positions in order, of which any may go: the first is found at once.
struct OpenPositions: Sendable {
    /// Those that came, with those that have gone since.
    private var all: [UInt64] = []
    /// The first that is still there.
    private var head = 0
    private var gone: Set<UInt64> = []

    var isEmpty: Bool { head == all.count }
    var first: UInt64? { isEmpty ? nil : all[head] }

    /// Adds a position: at once when it is above those before, as it is but for a call that was
    /// looked up.
    mutating func add(_ position: UInt64) {
        var index = all.count
        while index > head, all[index - 1] > position { index -= 1 }
        all.insert(position, at: index)
    }

    mutating func remove(_ position: UInt64) {
        gone.insert(position)
        while head < all.count, gone.remove(all[head]) != nil { head += 1 }
    }
}
