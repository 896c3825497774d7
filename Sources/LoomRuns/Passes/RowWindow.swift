/// The rows of a list that were asked for: passes over the first, takes the next, then is full.
struct RowWindow {
    private var skipped: Int
    private var left: Int

    init(offset: Int, limit: Int?) throws(RunReadError) {
        if let limit, limit < 0 { throw .negative("limit", limit) }
        if offset < 0 { throw .negative("offset", offset) }
        skipped = offset
        left = limit ?? .max
    }

    /// How many rows it is over; `nil` without a limit.
    var end: Int? { left == .max ? nil : skipped.addingReportingOverflow(left).partialValue }
    /// Whether the next row is passed over.
    var isSkipping: Bool { skipped > 0 && left > 0 }

    /// Passes over rows that were left out by whoever looks them up.
    mutating func skip(_ count: UInt64) { skipped -= min(skipped, Int(clamping: count)) }

    /// Whether no further row can come in.
    var isFull: Bool { left == 0 }

    /// Counts one row. Returns whether it is one of those that were asked for.
    mutating func takes() -> Bool {
        if left == 0 { return false }
        if skipped > 0 {
            skipped -= 1
            return false
        }
        left -= 1
        return true
    }
}

/// Rows that are final and were not fetched yet, oldest first.
struct RowQueue<Row> {
    private var rows: [Row] = []
    private var index = 0

    mutating func append(_ row: Row) { rows.append(row) }

    mutating func pop() -> Row? {
        guard index < rows.count else {
            rows.removeAll(keepingCapacity: true)
            index = 0
            return nil
        }
        defer { index += 1 }
        return rows[index]
    }
}
