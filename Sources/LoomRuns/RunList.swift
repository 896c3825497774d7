internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// The runs of a log that fit a filter, by time of creation and then by name. See ``RowCursor``.
///
/// The call that makes it reads the log once and keeps a summary of every run, without states.
/// States and results come with the rows: for a batch of them, as many as fit in 8 MiB, the log is
/// read again from the segment where the first of these runs began to the last event of any.
public struct RunList: RowCursor, ~Copyable {
    private let log: LogReader
    private var entries: ArraySlice<Entry>
    private var batch = RowQueue<Batched>()
    private var isOver = false

    private let batchBytes: Int

    static let batchBytes = 8 << 20
    private static let batchRuns = 4096

    /// A run that is in the list.
    struct Entry {
        let run: RunID
        let created: EventTime
        let span: RunSpan?
        let readError: RunReadError?
        let isAbandoned: Bool
        /// Where the states have to be followed from; `nil` when none is shown.
        let wholeState: UInt64?
        /// The most bytes that its row needs.
        let bytes: Int
    }

    private struct Batched {
        var position: RunPosition
        let isAbandoned: Bool
        var readError: RunReadError?
    }

    init(_ log: LogReader, _ entries: [Entry], batchBytes: Int) {
        (self.log, self.batchBytes) = (log, batchBytes)
        self.entries = entries[...]
    }

    /// See ``RowCursor/next()``.
    public mutating func next() throws -> RunView? {
        if isOver { return nil }
        isOver = true
        if let view = try pop() {
            isOver = false
            return view
        }
        guard !entries.isEmpty else { return nil }
        try fetch(takeBatch())
        isOver = false
        return try pop()
    }

    private mutating func pop() throws -> RunView? {
        guard var row = batch.pop() else { return nil }
        do throws(RunReadError) {
            return try row.position.view(isAbandoned: row.isAbandoned, row.readError)
        } catch {
            return try row.position.view(isAbandoned: row.isAbandoned, error)
        }
    }

    private mutating func takeBatch() -> ArraySlice<Entry> {
        var (count, bytes) = (0, 0)
        for entry in entries.prefix(Self.batchRuns) {
            bytes += entry.bytes
            if count > 0 && bytes > batchBytes { break }
            count += 1
        }
        defer { entries = entries.dropFirst(count) }
        return entries.prefix(count)
    }

    /// Reads the runs of a batch as far as the first pass saw them.
    private mutating func fetch(_ entries: ArraySlice<Entry>) throws {
        var rows = entries.map { entry in
            Batched(
                position: RunPosition(
                    entry.run, keeping: .result, followsFrom: entry.wholeState),
                isAbandoned: entry.isAbandoned, readError: entry.readError)
        }
        var places: [RunID: (index: Int, last: UInt64)] = [:]
        for (index, entry) in entries.enumerated() {
            if let span = entry.span { places[entry.run] = (index, span.last) }
        }
        let spans = entries.compactMap(\.span)
        if let segment = spans.map(\.segment).min(), let last = spans.map(\.last).max() {
            var events = try EventCursor(
                log, run: entries.count == 1 ? entries.first?.run : nil, from: segment,
                before: last + 1)
            var visitor = NoVisitor()
            while let event = try events.next() {
                guard let (index, last) = places[event.run], event.sequence <= last else {
                    continue
                }
                do {
                    try rows[index].position.visit(event, &visitor)
                } catch let error as RunReadError {
                    rows[index].readError = error
                    places[event.run] = nil
                }
            }
        }
        for row in rows { batch.append(row) }
    }
}

extension RunReader {
    /// The runs of the log that fit, by time of creation and then by name, fetched one at a time.
    ///
    /// One run that cannot be read does not hide the others: its row has ``RunView/readError``.
    public func listRows(
        _ filter: RunFilter = RunFilter(), limit: Int? = nil, offset: Int = 0
    ) throws -> RunList {
        try listRows(filter, limit: limit, offset: offset, batchBytes: RunList.batchBytes)
    }

    /// The same, with another bound for the states that are in memory at once.
    package func listRows(
        _ filter: RunFilter, limit: Int?, offset: Int, batchBytes: Int
    ) throws -> RunList {
        var window = try RowWindow(offset: offset, limit: limit)
        var runs = try RunListing(log, filter)
        let isAbandoned = try runs.readOnAskingTheLock()
        var entries: [RunList.Entry] = []
        for entry in runs.entries(isAbandoned).sorted(by: {
            ($0.created, $0.run) < ($1.created, $1.run)
        }) where window.takes() { entries.append(entry) }
        return RunList(log, entries, batchBytes: batchBytes)
    }

    /// All rows of ``listRows(_:limit:offset:)`` at once, with their states: for pages and small
    /// logs.
    public func list(
        _ filter: RunFilter = RunFilter(), limit: Int? = nil, offset: Int = 0
    ) throws -> [RunView] {
        try listRows(filter, limit: limit, offset: offset).all()
    }
}
