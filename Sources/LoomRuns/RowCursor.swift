public import LoomFormat
public import LoomModel

/// Rows of a read, fetched one at a time.
///
/// A cursor holds the rows of one step or of one batch, never all of them, and reads no further
/// than the last row that was fetched. It shows the log as it was at one moment, not before the
/// call, however many passes it makes beside a writer.
///
/// ```swift
/// var rows = try reader.historyRows(RunID("demo"))
/// while let row = try rows.next() {
///     if row.step == 100 { break }
/// }
/// ```
public protocol RowCursor<Row>: ~Copyable {
    /// What it fetches.
    associatedtype Row

    /// Fetches the next row; `nil` after the last one, and after an error.
    ///
    /// - Throws: ``RunReadError`` where the run cannot be read, and what its source throws: for a
    ///   log, `LogError`.
    mutating func next() throws -> Row?
}

extension RowCursor where Self: ~Copyable {
    /// Calls `body` with the rows that are left, in order, until it returns `false`.
    public mutating func forEach(while body: (Row) throws -> Bool) throws {
        while let row = try next() {
            guard try body(row) else { return }
        }
    }

    /// The rows that are left, all in memory at once.
    public consuming func all() throws -> [Row] {
        var rows: [Row] = []
        while let row = try next() { rows.append(row) }
        return rows
    }
}

/// How the values of a run are stored, and how much of them its lists show.
public struct ValueForm: Hashable, Sendable {
    /// The run.
    public let run: RunID
    /// The codec of states and results; `json` is canonical JSON.
    public let codec: String
    /// What lists show of large values.
    public let payloads: PayloadPolicy
}

extension RunView {
    /// How the run's values are stored and shown.
    public var form: ValueForm {
        ValueForm(run: run, codec: summary.codec, payloads: summary.payloads)
    }
}

/// Rows of one run: states, attempts or tool calls. See ``RowCursor``.
public struct RunRows<Row>: RowCursor, ~Copyable {
    private var source: any RowSource<Row>
    private var isOver = false
    /// How the values in the rows are stored and shown.
    public let form: ValueForm

    init<Collector: RowCollector>(
        _ pass: RunPass, _ form: ValueForm, _ collector: Collector
    ) where Collector.Row == Row {
        source = CollectedRows(pass, collector)
        self.form = form
    }

    /// See ``RowCursor/next()``.
    public mutating func next() throws -> Row? {
        if isOver { return nil }
        isOver = true
        let row = try source.next()
        isOver = row == nil
        return row
    }
}

/// What fetches the rows of a cursor.
protocol RowSource<Row> {
    associatedtype Row
    mutating func next() throws -> Row?
}

/// Makes rows of one kind from the events of a run.
protocol RowCollector: RunVisitor {
    associatedtype Row
    /// Rows that are final.
    var ready: RowQueue<Row> { get set }
    /// Whether no event that follows makes or changes a row that was asked for.
    var isDone: Bool { get }
    /// The position that the rows end before, where the collector had to look ahead.
    var end: UInt64? { get }
    /// Makes the rows that were waiting, at the end of the run.
    mutating func finish(_ position: inout RunPosition) throws
}

extension RowCollector {
    var end: UInt64? { nil }
}

/// The rows that a collector makes from a pass over a run.
private struct CollectedRows<Collector: RowCollector>: RowSource {
    private var pass: RunPass
    private var collector: Collector
    private var isFinished = false

    init(_ pass: RunPass, _ collector: Collector) {
        (self.pass, self.collector) = (pass, collector)
    }

    mutating func next() throws -> Collector.Row? {
        while true {
            if let row = collector.ready.pop() { return row }
            if isFinished || collector.isDone { return nil }
            if let end = collector.end { pass.end(before: end) }
            if try pass.next(&collector) { continue }
            isFinished = true
            try collector.finish(&pass.position)
        }
    }
}
