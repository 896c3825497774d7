internal import LoomFormat

/// Which runs a list wants, as far as the hot columns of the tables tell: no cold part is decoded
/// and no name copied for any other.
package struct RunHeadFilter: Sendable {
    /// A bit for the code of each status that is wanted; status 0, not known, is always given.
    package var statuses = UInt16.max
    /// The code of the category of the last failure.
    package var category: UInt8?
    /// The loop.
    package var loop: String?
    /// Names and values of labels, all of which the run has.
    package var labels: [(name: String, value: String)] = []
    /// How the bytes of the name begin.
    package var prefix: [UInt8] = []
    /// The run whose row is the first to be given, or the next behind it.
    package var from: [UInt8] = []
    /// Times of creation, both included.
    package var created: ClosedRange<UInt64> = 0...UInt64.max
    /// Times of the last event, both included.
    package var updated: ClosedRange<UInt64> = 0...UInt64.max

    /// Creates a filter that every run passes.
    package init() {}
}

/// A run in archives that passed a filter.
package struct ArchivedHead: Hashable, Sendable {
    /// The bytes of its name.
    package let name: [UInt8]
    /// When it was created.
    package let created: UInt64
    /// Whether its columns tell all that the filter asks: of a run that is deleted, or that cannot
    /// be read, they do not.
    package let isKnown: Bool
}

/// The runs of several archives that pass a filter, in order of name.
///
/// Of what several archives know of a run the newest holds, whether it passes or not. Those that
/// pass are few as a rule, so each is looked for in the newer archives; to merge all rows by name
/// would cost more than to decode them.
package struct RunHeads {
    private let archives: ArchiveSet
    private let index: LogIndex?
    /// Of each archive, the oldest first.
    private var rows: [HotRows] = []
    /// Those that have rows left, a heap by name.
    private var heap: [Int] = []
    /// Whether the first of them is one that was looked at: it is passed by the next fetch, so that
    /// behind an error nothing is missing.
    private var isGiven = false

    /// - Parameter index: Told of tables that cannot be read.
    init(
        _ archives: ArchiveSet, _ filter: RunHeadFilter, _ index: LogIndex? = nil
    ) throws(LogError) {
        (self.archives, self.index) = (archives, index)
        for archive in archives.archives { rows.append(try HotRows(archive, filter)) }
        heap = rows.indices.filter { rows[$0].head != nil }
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(index) }
    }

    /// Fetches the next run; `nil` behind the last.
    ///
    /// - Throws: ``LogError`` with code `rewritten` where tables are made anew: a newer look gives
    ///   the rest.
    package mutating func next() throws(LogError) -> ArchivedHead? {
        do throws(LogError) {
            return try fetch()
        } catch {
            throw index?.answer(to: error) ?? error
        }
    }

    /// Leaves out from now on what was created at other times.
    package mutating func narrow(toCreated times: ClosedRange<UInt64>) {
        for rows in rows { rows.narrow(toCreated: times) }
    }

    private mutating func fetch() throws(LogError) -> ArchivedHead? {
        while true {
            if isGiven { try passFirst() }
            guard let first = heap.first, let head = rows[first].head else { return nil }
            let isNewest = try !archives.hasRow(of: head.name, behind: first)
            isGiven = true
            if isNewest { return head }
        }
    }

    private mutating func passFirst() throws(LogError) {
        let first = heap[0]
        try rows[first].advance()
        if rows[first].head == nil {
            heap.swapAt(0, heap.count - 1)
            heap.removeLast()
        }
        sink(0)
        isGiven = false
    }

    private mutating func sink(_ start: Int) {
        var place = start
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < heap.count {
                if isBefore(heap[child], heap[least]) { least = child }
            }
            if least == place { return }
            heap.swapAt(place, least)
            place = least
        }
    }

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        guard let a = rows[a].head, let b = rows[b].head else { return false }
        return a.name.lexicographicallyPrecedes(b.name)
    }
}
