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

    /// Goes through all heads and keeps the first ones behind the last place.
    mutating func fill(from source: any RunSource, _ filter: RunFilter) throws {
        // Those that keep shared keys are listed only when they are asked for.
        let showsKeepers = filter.prefix?.hasBytePrefix(RunID.keeperPrefix) == true
        var cursor = try source.heads(filter)
        var kept: [RunHead] = []
        hasMore = false
        if last != nil { cursor.narrow(toCreated: times(kept)) }
        while let head = try cursor.next() {
            guard showsKeepers || !head.run.isKeeper else { continue }
            if let last, !order.isBefore(last, head) { continue }
            // Sorted now and then: a page may be of one row.
            if kept.count >= 2 * count + Self.slack {
                cut(&kept)
                cursor.narrow(toCreated: times(kept))
            }
            if hasMore, count <= kept.count, order.isBefore(kept[count - 1], head) { continue }
            kept.append(head)
        }
        cut(&kept)
        heads = kept[...]
        last = kept.last ?? last
    }

    /// Keeps the first ones, sorted.
    private mutating func cut(_ kept: inout [RunHead]) {
        kept.sort(by: order.isBefore)
        if kept.count > count {
            kept.removeLast(kept.count - count)
            hasMore = true
        }
    }

    /// When the runs were created that may still belong to the page.
    private func times(_ kept: [RunHead]) -> ClosedRange<EventTime> {
        let ends = [last, hasMore ? kept.last : nil].map { $0?.created.microseconds }
        let (first, end) = order == .created ? (ends[0], ends[1]) : (ends[1], ends[0])
        let start = EventTime(microseconds: first ?? 0)
        return start...max(start, EventTime(microseconds: end ?? .max))
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
