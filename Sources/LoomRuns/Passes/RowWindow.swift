/// The rows of a list that were asked for: passes over the first, takes the next, then has enough.
struct RowWindow<Row> {
    private let offset: Int
    private let limit: Int
    private var seen = 0
    private(set) var rows: [Row] = []

    init(offset: Int, limit: Int?) throws(RunReadError) {
        if let limit, limit < 0 { throw .negative("limit", limit) }
        if offset < 0 { throw .negative("offset", offset) }
        self.offset = offset
        self.limit = limit ?? .max
    }

    /// Whether no further row can come in.
    var isFull: Bool { rows.count >= limit }

    /// Counts one row; makes it only when it was asked for.
    ///
    /// - Returns: Its index among the rows, when it is one of them.
    @discardableResult
    mutating func add(_ row: () throws -> Row) rethrows -> Int? {
        defer { seen += 1 }
        guard seen >= offset, !isFull else { return nil }
        rows.append(try row())
        return rows.count - 1
    }

    /// Changes a row that is there.
    mutating func change(_ index: Int, _ body: (inout Row) -> Void) { body(&rows[index]) }
}
