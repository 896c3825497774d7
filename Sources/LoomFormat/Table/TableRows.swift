/// What an archive's index keeps of one block of events: enough to find an event by its position,
/// its step or the number of its row.
public struct BlockTableRow: TableRow {
    /// The section that such rows stand in.
    public static let section = TableSection.blocks

    /// Bytes of the block with header and padding, a multiple of 8; where its unit has several
    /// blocks, of all of them.
    public var byteCount: Int
    /// Whether the last run of this block is another than that of the block before.
    public var isOfAnotherRun: Bool
    /// Events that the block holds, as in its header.
    public var eventCount: UInt32
    /// The position after the last event of the block, in its last run.
    public var endPosition: UInt64
    /// The counts of that run there, over its whole life.
    public var counts: RowCountVector
    /// ``endPosition`` less the position of the run's last whole state before it; 0 when there is
    /// none, or nobody knows.
    public var eventsSinceWholeState: UInt64

    /// Creates a row.
    public init(
        byteCount: Int, isOfAnotherRun: Bool, eventCount: UInt32, endPosition: UInt64,
        counts: RowCountVector, eventsSinceWholeState: UInt64
    ) {
        self.byteCount = byteCount
        self.isOfAnotherRun = isOfAnotherRun
        self.eventCount = eventCount
        self.endPosition = endPosition
        self.counts = counts
        self.eventsSinceWholeState = eventsSinceWholeState
    }

    /// The bytes that order the row in its section; empty where separators are not used.
    public var orderBytes: [UInt8] { [] }

    /// Refuses a row that has no place in the format, or none behind `previous`.
    public func validate(after previous: BlockTableRow?) throws(FormatError) {
        guard byteCount > BlockHeader.byteCount, byteCount % FormatLimits.alignment == 0,
            byteCount < FormatLimits.segmentBytesMax
        else { throw .invalid("a block of \(byteCount) bytes in the block table") }
    }

    /// Appends the row to both parts of a leaf, behind `previous`.
    public func write(after previous: BlockTableRow?, hot: inout ByteWriter, cold: inout ByteWriter)
    {
        let base = isOfAnotherRun ? nil : previous
        let length = UInt64(byteCount / FormatLimits.alignment)
        hot.writeVarint(length << 1 | (isOfAnotherRun ? 1 : 0))
        hot.writeVarint(UInt64(eventCount))
        hot.writeVarint(endPosition &- (base?.endPosition ?? 0))
        counts.write(less: base?.counts ?? RowCountVector(), to: &hot)
        hot.writeVarint(eventsSinceWholeState)
    }

    /// Returns every row of a leaf of this section.
    public static func rows(in leaf: borrowing TableLeaf) throws(FormatError) -> [BlockTableRow] {
        guard leaf.cold.byteCount == 0 else { throw .invalid("block rows with a cold part") }
        var reader = ByteReader(leaf.hot)
        var rows: [BlockTableRow] = []
        while !reader.isAtEnd {
            let length = try reader.readVarint()
            guard length >> 1 <= UInt64(FormatLimits.segmentBytesMax) else {
                throw .limitExceeded(
                    "block length", found: length >> 1, limit: UInt64(FormatLimits.segmentBytesMax))
            }
            let isOfAnotherRun = length & 1 == 1
            let base = isOfAnotherRun ? nil : rows.last
            let row = BlockTableRow(
                byteCount: Int(length >> 1) * FormatLimits.alignment,
                isOfAnotherRun: isOfAnotherRun, eventCount: try reader.readNumber("event count"),
                endPosition: (base?.endPosition ?? 0) &+ (try reader.readVarint()),
                counts: try RowCountVector(&reader, above: base?.counts ?? RowCountVector()),
                eventsSinceWholeState: try reader.readVarint())
            try row.validate(after: rows.last)
            rows.append(row)
        }
        return rows
    }
}

/// A key of a tool call in few bytes: the call itself is compared when one is found.
public struct KeyFingerprint: RawRepresentable, Hashable, Comparable, Sendable {
    /// The low half of the hash.
    public let rawValue: UInt32

    /// Creates a fingerprint from its number.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Computes the fingerprint of a key from its kind and its bytes, as an event holds them.
    public init(kind: UInt8, key: [UInt8]) {
        var writer = ByteWriter(capacity: 1 + key.count)
        writer.writeUInt8(kind)
        writer.writeBytes(key)
        rawValue = UInt32(truncatingIfNeeded: BlockHash.hash(writer.bytes.rawSpan))
    }

    /// Orders by number.
    public static func < (a: KeyFingerprint, b: KeyFingerprint) -> Bool { a.rawValue < b.rawValue }
}

/// Where a tool call of a key was started, and where it ended.
public struct KeyTableRow: TableRow {
    /// The section that such rows stand in.
    public static let section = TableSection.keys

    /// The number of the run's row in the runs section, from 0 on.
    public var runRow: UInt32
    /// The fingerprint of the key.
    public var fingerprint: KeyFingerprint
    /// The position of the call's start.
    public var start: UInt64
    /// The position of its end; `nil` while it has none.
    public var end: UInt64?

    /// Creates a row.
    public init(runRow: UInt32, fingerprint: KeyFingerprint, start: UInt64, end: UInt64?) {
        self.runRow = runRow
        self.fingerprint = fingerprint
        self.start = start
        self.end = end
    }

    /// The bytes that order the row in its section; empty where separators are not used.
    public var orderBytes: [UInt8] {
        Self.orderBytes(runRow: runRow, fingerprint: fingerprint)
    }

    /// Both numbers, high bytes first, so that their bytes sort as they do.
    static func orderBytes(runRow: UInt32, fingerprint: KeyFingerprint) -> [UInt8] {
        let number = UInt64(runRow) << 32 | UInt64(fingerprint.rawValue)
        return (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
    }

    private var orderNumbers: (UInt32, UInt32, UInt64) { (runRow, fingerprint.rawValue, start) }

    /// Refuses a row that has no place in the format, or none behind `previous`.
    public func validate(after previous: KeyTableRow?) throws(FormatError) {
        guard previous.map({ $0.orderNumbers < orderNumbers }) ?? true else {
            throw .invalid("the key rows of run row \(runRow) are not in order")
        }
        guard end.map({ $0 > start }) ?? true else {
            throw .invalid("a tool call that ends before its start")
        }
    }

    /// Appends the row to both parts of a leaf, behind `previous`.
    public func write(after previous: KeyTableRow?, hot: inout ByteWriter, cold: inout ByteWriter) {
        let isSameRun = previous?.runRow == runRow
        hot.writeVarint(UInt64(runRow &- (previous?.runRow ?? 0)))
        hot.writeUInt32(fingerprint.rawValue)
        hot.writeDifference(start, to: isSameRun ? previous?.start ?? 0 : 0)
        hot.writeVarint(end.map { $0 &- start } ?? 0)
    }

    /// Returns every row of a leaf of this section.
    public static func rows(in leaf: borrowing TableLeaf) throws(FormatError) -> [KeyTableRow] {
        guard leaf.cold.byteCount == 0 else { throw .invalid("key rows with a cold part") }
        var reader = ByteReader(leaf.hot)
        var rows: [KeyTableRow] = []
        while !reader.isAtEnd {
            let previous = rows.last
            let step = try reader.readNumber("run row")
            let (runRow, overflows) = (previous?.runRow ?? 0).addingReportingOverflow(step)
            guard !overflows else { throw .invalid("a run row of 2^32 or more") }
            let fingerprint = KeyFingerprint(rawValue: try reader.readUInt32())
            let isSameRun = previous?.runRow == runRow
            let start = try reader.readDifference(to: isSameRun ? previous?.start ?? 0 : 0)
            let length = try reader.readVarint()
            let row = KeyTableRow(
                runRow: runRow, fingerprint: fingerprint, start: start,
                end: length == 0 ? nil : start &+ length)
            try row.validate(after: previous)
            rows.append(row)
        }
        return rows
    }
}

/// A text that rows of runs name by its number: a loop, or the name or value of a label. Numbers
/// count from 0 on through the leaves of the section.
public struct TextTableRow: TableRow {
    /// The section that such rows stand in.
    public static let section = TableSection.texts

    /// The text.
    public var text: ByteString

    /// Creates a row.
    public init(_ text: String) { self.text = ByteString(text) }

    /// The bytes that order the row in its section; empty where separators are not used.
    public var orderBytes: [UInt8] { [] }

    /// Refuses a row that has no place in the format, or none behind `previous`.
    public func validate(after previous: TextTableRow?) throws(FormatError) {
        let count = text.text.utf8.count
        guard count <= FormatLimits.tableRowBytesMax else {
            throw .limitExceeded(
                "text length", found: UInt64(count), limit: UInt64(FormatLimits.tableRowBytesMax))
        }
    }

    /// Appends the row to both parts of a leaf, behind `previous`.
    public func write(after previous: TextTableRow?, hot: inout ByteWriter, cold: inout ByteWriter)
    {
        hot.writeString(text.text)
    }

    /// Returns every row of a leaf of this section.
    public static func rows(in leaf: borrowing TableLeaf) throws(FormatError) -> [TextTableRow] {
        guard leaf.cold.byteCount == 0 else { throw .invalid("texts with a cold part") }
        var reader = ByteReader(leaf.hot)
        var rows: [TextTableRow] = []
        while !reader.isAtEnd {
            let text = try reader.readString("text", limit: FormatLimits.tableRowBytesMax)
            rows.append(TextTableRow(text))
        }
        return rows
    }
}
