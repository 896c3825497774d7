internal import LoomFormat
internal import LoomModel

/// The runs of a log that fit a filter, by time of creation and then by name. See ``RowCursor``.
///
/// The call that makes it reads the row of every run and keeps those that fit, without states.
/// States and results come with the rows that are fetched: of a batch of them, as many as fit in
/// 8 MiB, all are read at once.
public struct RunList: RowCursor, ~Copyable {
    private let source: any RunSource
    private var rows: ArraySlice<RunRow>
    private var batch = RowQueue<RunValues>()
    private var isOver = false

    private let batchBytes: Int

    static let batchBytes = 8 << 20
    private static let batchRuns = 4096

    init(_ source: any RunSource, _ rows: [RunRow], batchBytes: Int) {
        (self.source, self.batchBytes) = (source, batchBytes)
        self.rows = rows[...]
    }

    /// See ``RowCursor/next()``.
    public mutating func next() throws -> RunView? {
        if isOver { return nil }
        isOver = true
        if let view = pop() {
            isOver = false
            return view
        }
        guard !rows.isEmpty else { return nil }
        try fetch(takeBatch())
        isOver = false
        return pop()
    }

    private mutating func pop() -> RunView? {
        guard var values = batch.pop() else { return nil }
        return values.viewInList()
    }

    private mutating func takeBatch() -> ArraySlice<RunRow> {
        var (count, bytes) = (0, 0)
        for row in rows.prefix(Self.batchRuns) {
            let (outline, isOver) = (row.outline, row.outline.summary.status == .completed)
            bytes += Int(clamping: isOver ? outline.resultBytes : outline.state.heldBytes)
            if count > 0 && bytes > batchBytes { break }
            count += 1
        }
        defer { rows = rows.dropFirst(count) }
        return rows.prefix(count)
    }

    /// Reads the values of a batch, as far as the rows go.
    private mutating func fetch(_ rows: ArraySlice<RunRow>) throws {
        var values = rows.map { RunValues($0) }
        var indices: [RunID: Int] = [:]
        for (index, value) in values.enumerated() { indices[value.row.run] = index }
        let parts = values.compactMap(\.part)
        if !parts.isEmpty {
            var events = try source.events(parts)
            while let stored = try events.next() {
                if let index = indices[stored.run] { try values[index].take(stored) }
            }
        }
        for value in values { batch.append(value) }
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
        var rows = try source.rows(prefix: filter.prefix ?? "")
        // Those that keep shared keys are listed only when they are asked for.
        let showsKeepers = filter.prefix?.hasBytePrefix(RunID.keeperPrefix) == true
        var found: [RunRow] = []
        while let row = try rows.next() {
            guard showsKeepers || !row.run.isKeeper, filter.fits(row) else { continue }
            found.append(row)
        }
        found.sort { ($0.outline.summary.created, $0.run) < ($1.outline.summary.created, $1.run) }
        return RunList(source, found.filter { _ in window.takes() }, batchBytes: batchBytes)
    }

    /// All rows of ``listRows(_:limit:offset:)`` at once, with their states: for pages and small
    /// logs.
    public func list(
        _ filter: RunFilter = RunFilter(), limit: Int? = nil, offset: Int = 0
    ) throws -> [RunView] {
        try listRows(filter, limit: limit, offset: offset).all()
    }
}
