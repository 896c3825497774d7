/// A leaf that is full: the payload of one table block, and what the directory keeps of it.
public struct FilledLeaf: Hashable, Sendable {
    /// The section that the leaf belongs to.
    public var section: TableSection
    /// The payload of its block.
    public var payload: [UInt8]
    /// How many rows it holds.
    public var rowCount: Int
    /// The shortest bytes that come after every row of the leaf before and not after the first row
    /// of this one; empty in the first leaf and in sections without separators.
    public var separator: [UInt8]

    /// Creates a leaf.
    public init(section: TableSection, payload: [UInt8], rowCount: Int, separator: [UInt8]) {
        self.section = section
        self.payload = payload
        self.rowCount = rowCount
        self.separator = separator
    }
}

/// Cuts the rows of one section into leaves.
///
/// A leaf has at most ``FormatLimits/leafBytesMax`` bytes of rows; a larger row stands alone.
/// Rows come in the order of the section.
///
/// ```swift
/// var writer = TableLeafWriter<RunTableRow>()
/// for row in rows { if let leaf = try writer.append(row) { place(leaf) } }
/// if let leaf = writer.finish() { place(leaf) }
/// ```
public struct TableLeafWriter<Row: TableRow>: Sendable {
    private var hot = ByteWriter(capacity: FormatLimits.leafBytesMax)
    private var cold = ByteWriter(capacity: FormatLimits.leafBytesMax)
    private var rowHot = ByteWriter()
    private var rowCold = ByteWriter()
    private var rowCount = 0
    private var separator: [UInt8] = []
    private var last: Row?

    /// Creates a writer before the first row of a section.
    public init() {}

    /// Appends a row; returns the leaf before it when that one is full.
    ///
    /// - Throws: ``FormatError`` when the row is out of order or above a limit; nothing changed,
    ///   and other rows may follow.
    public mutating func append(_ row: Row) throws(FormatError) -> FilledLeaf? {
        try row.validate(after: last)
        encode(row, after: rowCount > 0 ? last : nil)
        var full: FilledLeaf?
        if rowCount > 0, byteCount > FormatLimits.leafBytesMax {
            encode(row, after: nil)
            try checkSize()
            full = close()
            separator = Self.separator(between: last, and: row)
        } else {
            try checkSize()
        }
        hot.writeBytes(rowHot.bytes)
        cold.writeBytes(rowCold.bytes)
        rowCount += 1
        last = row
        return full
    }

    /// Returns the last leaf; `nil` when every row is in a leaf that was returned before.
    public mutating func finish() -> FilledLeaf? { rowCount > 0 ? close() : nil }

    /// Bytes of the leaf with the row that was encoded last.
    private var byteCount: Int { hot.count + cold.count + rowHot.count + rowCold.count }

    private mutating func encode(_ row: Row, after previous: Row?) {
        rowHot.removeAll()
        rowCold.removeAll()
        row.write(after: previous, hot: &rowHot, cold: &rowCold)
    }

    private func checkSize() throws(FormatError) {
        // The length before a text is not counted, so that every label has room.
        let framing = Row.section == .texts ? FormatLimits.leafFramingBytesMax : 0
        let count = rowHot.count + rowCold.count
        guard count <= FormatLimits.tableRowBytesMax + framing else {
            throw .limitExceeded(
                "table row length", found: UInt64(count),
                limit: UInt64(FormatLimits.tableRowBytesMax))
        }
    }

    private mutating func close() -> FilledLeaf {
        var payload = ByteWriter(capacity: hot.count + cold.count + 4)
        payload.writeUInt8(Row.section.rawValue)
        payload.writeSized(hot.bytes)
        payload.writeBytes(cold.bytes)
        let leaf = FilledLeaf(
            section: Row.section, payload: payload.bytes, rowCount: rowCount, separator: separator)
        hot.removeAll()
        cold.removeAll()
        rowCount = 0
        return leaf
    }

    private static func separator(between last: Row?, and first: Row) -> [UInt8] {
        guard let last, Row.section.hasSeparators else { return [] }
        let bytes = first.orderBytes
        return Array(bytes.prefix(commonPrefix(last.orderBytes, bytes) + 1))
    }
}
