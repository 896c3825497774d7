public import LoomFormat
internal import LoomModel

/// The runs of a log that fit a filter, in the order that was asked for. See ``RowCursor``.
///
/// It finds out which runs come next by their heads, up to 65,536 at once, and reads the row and
/// the values of each run when that is fetched. A run that changes meanwhile comes as it is by
/// then.
public struct RunList: RowCursor, ~Copyable {
    private let source: any RunSource
    private let filter: RunFilter
    private let order: RunOrder
    private var page: HeadPage
    private var window: RowWindow
    private var isOver = false

    /// The most heads that are held at once.
    static let pageCount = 65_536

    init(
        _ source: any RunSource, _ filter: RunFilter, _ order: RunOrder,
        after cursor: RunListPlace?,
        _ window: RowWindow, pageCount: Int
    ) throws {
        (self.source, self.filter, self.order, self.window) = (source, filter, order, window)
        // Those that are passed over and those that are shown, while that is few.
        let wanted = window.end.map { min($0, pageCount) } ?? pageCount
        page = HeadPage(count: max(1, wanted), order: order, after: cursor)
        try page.fill(from: source, filter)
    }

    /// See ``RowCursor/next()``.
    public mutating func next() throws -> RunView? {
        if isOver || window.isFull { return nil }
        isOver = true
        while true {
            guard let head = try page.next(from: source, filter) else { return nil }
            // What is passed over and known to fit need not be read.
            if head.fits, window.isSkipping {
                _ = window.takes()
                continue
            }
            guard let row = try source.row(of: head.run), filter.fits(row), window.takes() else {
                continue
            }
            isOver = false
            return try view(of: row)
        }
    }

    private func view(of row: RunRow) throws -> RunView {
        var values = RunValues(row)
        do {
            try values.read(from: source)
        } catch let error as RunReadError {
            return RunView(row, state: nil, result: nil, readError: error)
        }
        return values.viewInList()
    }

    /// Where the list stands behind the run that was fetched last: another list goes on from there.
    public static func place(behind view: RunView, _ order: RunOrder) -> RunListPlace {
        RunListPlace(key: order.key(view.summary), run: view.run)
    }
}

/// By what a list is sorted. Runs of the same time are sorted by name.
public enum RunOrder: Hashable, Sendable {
    /// By time of creation, the oldest first.
    case created
    /// By time of creation, the newest first.
    case newest

    func key(_ summary: RunSummary) -> UInt64 { summary.created.microseconds }

    fileprivate func isBefore(_ a: RunHead, _ b: RunHead) -> Bool {
        let (x, y) = (a.created.microseconds, b.created.microseconds)
        if x != y { return (x < y) == (self == .created) }
        return a.run < b.run
    }
}

/// A place in a list of runs: behind one of them.
public struct RunListPlace: Hashable, Sendable {
    /// The time by which the list is sorted, in microseconds.
    public let key: UInt64
    /// The run.
    public let run: RunID

    /// Creates a place.
    public init(key: UInt64, run: RunID) { (self.key, self.run) = (key, run) }
}

/// The heads that come next in a list: the first so many behind a place, in order.
private struct HeadPage {
    private let count: Int
    private let order: RunOrder
    private var last: RunHead?
    private var heads: ArraySlice<RunHead> = []
    /// Whether there may be more behind these.
    private var hasMore = false

    private static let slack = 1024

    init(count: Int, order: RunOrder, after place: RunListPlace?) {
        (self.count, self.order) = (count, order)
        last = place.map {
            RunHead(run: $0.run, created: EventTime(microseconds: $0.key), fits: false)
        }
    }

    mutating func next(from source: any RunSource, _ filter: RunFilter) throws -> RunHead? {
        if heads.isEmpty, hasMore { try fill(from: source, filter) }
        return heads.popFirst()
    }

    /// Keeps the first heads behind the last place.
    mutating func fill(from source: any RunSource, _ filter: RunFilter) throws {
        var cursor = try source.heads(filter)
        let all = times(upTo: nil)
        if let likely = likelyTimes(cursor, all) {
            let found = try firstHeads(of: &cursor, within: likely, filter)
            // Enough of them: what was not looked at comes behind these.
            if found.heads.count == count, likely.contains(found.heads[count - 1].created) {
                return keep(found.heads, hasMore: true)
            }
            cursor = try source.heads(filter)
        }
        let found = try firstHeads(of: &cursor, within: all, filter)
        keep(found.heads, hasMore: found.hasMore)
    }

    private mutating func keep(_ found: [RunHead], hasMore: Bool) {
        heads = found[...]
        self.hasMore = hasMore
        last = found.last ?? last
    }

    /// Goes through all heads that were created at some times, and others at will, and returns the
    /// first ones of those behind the last place.
    private func firstHeads(
        of cursor: inout any RunHeadCursor, within times: ClosedRange<EventTime>,
        _ filter: RunFilter
    ) throws -> (heads: [RunHead], hasMore: Bool) {
        // Those that keep shared keys are listed only when they are asked for.
        let showsKeepers = filter.prefix?.hasBytePrefix(RunID.keeperPrefix) == true
        var (kept, hasMore): ([RunHead], Bool) = ([], false)
        cursor.narrow(toCreated: times)
        while let head = try cursor.next() {
            guard showsKeepers || !head.run.isKeeper else { continue }
            if let last, !order.isBefore(last, head) { continue }
            // Sorted now and then: a page may be of one row.
            if kept.count >= 2 * count + Self.slack {
                cut(&kept)
                hasMore = true
                cursor.narrow(toCreated: self.times(upTo: kept.last))
            }
            if hasMore, count <= kept.count, order.isBefore(kept[count - 1], head) { continue }
            kept.append(head)
        }
        hasMore = hasMore || kept.count > count
        cut(&kept)
        return (kept, hasMore)
    }

    /// Keeps the first ones, sorted.
    private func cut(_ kept: inout [RunHead]) {
        kept.sort(by: order.isBefore)
        kept.removeLast(max(0, kept.count - count))
    }

    /// When runs were created that come behind the last place and not behind another.
    private func times(upTo end: RunHead?) -> ClosedRange<EventTime> {
        let ends = [last, end].map { $0?.created.microseconds }
        let (first, last) = order == .created ? (ends[0], ends[1]) : (ends[1], ends[0])
        let start = EventTime(microseconds: first ?? 0)
        return start...max(start, EventTime(microseconds: last ?? .max))
    }

    /// Times within which more runs than the page has were created, as far as a sample tells:
    /// without them a list of the newest would take in nearly every run where the names of later
    /// ones come later, too.
    private func likelyTimes(
        _ cursor: any RunHeadCursor, _ all: ClosedRange<EventTime>
    ) -> ClosedRange<EventTime>? {
        guard count <= Self.slack else { return nil }
        // A sample may have a run several times.
        let rank = 4 * count
        var sample = cursor.sampleOfCreated().filter(all.contains)
        guard sample.count > rank else { return nil }
        sample.sort()
        return order == .created
            ? all.lowerBound...sample[rank]
            : sample[sample.count - 1 - rank]...all.upperBound
    }
}

extension RunReader {
    /// The runs of the log that fit, fetched one at a time: by time of creation, the oldest first,
    /// unless another order is asked for, and then by name.
    ///
    /// One run that cannot be read does not hide the others: its row has ``RunView/readError``.
    ///
    /// - Parameter place: Where another list stands that this one goes on with.
    public func listRows(
        _ filter: RunFilter = RunFilter(), limit: Int? = nil, offset: Int = 0,
        order: RunOrder = .created, after place: RunListPlace? = nil
    ) throws -> RunList {
        try listRows(
            filter, RowWindow(offset: offset, limit: limit), order, place,
            pageCount: RunList.pageCount)
    }

    /// The same, with another bound for the heads that are in memory at once.
    package func listRows(
        _ filter: RunFilter, limit: Int?, offset: Int, pageCount: Int
    ) throws -> RunList {
        try listRows(
            filter, RowWindow(offset: offset, limit: limit), .created, nil, pageCount: pageCount)
    }

    private func listRows(
        _ filter: RunFilter, _ window: RowWindow, _ order: RunOrder, _ place: RunListPlace?,
        pageCount: Int
    ) throws -> RunList {
        try RunList(source, filter, order, after: place, window, pageCount: pageCount)
    }

    /// All rows of ``listRows(_:limit:offset:order:after:)`` at once, with their states: for pages
    /// and small logs.
    public func list(
        _ filter: RunFilter = RunFilter(), limit: Int? = nil, offset: Int = 0
    ) throws -> [RunView] {
        try listRows(filter, limit: limit, offset: offset).all()
    }
}
