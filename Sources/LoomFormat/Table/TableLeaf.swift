/// A section of an archive's index: one sorted table, cut into leaves. See FORMAT.md, Tables.
public struct TableSection: RawRepresentable, Hashable, Comparable, Sendable {
    /// The first byte of every leaf of the section.
    public let rawValue: UInt8

    /// Creates a section from the first byte of a leaf; any byte is accepted here.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// One row a run, in order of the name's bytes. See ``RunTableRow``.
    public static let runs = TableSection(rawValue: 1)
    /// One row a block of events, in order of offset. See ``BlockTableRow``.
    public static let blocks = TableSection(rawValue: 2)
    /// One row a keyed tool call, in order of run and fingerprint. See ``KeyTableRow``.
    public static let keys = TableSection(rawValue: 3)
    /// The filter of run names. See ``NameFilter``.
    public static let filter = TableSection(rawValue: 4)
    /// The texts that rows of runs name by number. See ``TextTableRow``.
    public static let texts = TableSection(rawValue: 5)

    /// The sections that this version knows; a reader steps over others.
    public static let known: Set<TableSection> = [.runs, .blocks, .keys, .filter, .texts]

    /// Whether a lookup finds its leaf by the separators in the directory.
    public var hasSeparators: Bool { self == .runs || self == .keys }

    /// Orders sections as they stand in a file.
    public static func < (a: TableSection, b: TableSection) -> Bool { a.rawValue < b.rawValue }
}

/// The payload of one table block, still in its bytes: some rows of one section.
///
/// What lists need of a row stands in the hot part, the rest in the cold part, both in the same
/// order. So a list decodes the start of a payload alone.
public struct TableLeaf: ~Escapable {
    /// What the rows are.
    public let section: TableSection
    /// The hot part of every row.
    public let hot: RawSpan
    /// The cold part of every row; empty when only the start of the payload was given.
    public let cold: RawSpan

    /// Parses a decoded payload of a table block.
    @_lifetime(copy payload)
    public init(_ payload: RawSpan) throws(FormatError) {
        guard payload.byteCount <= FormatLimits.tablePayloadBytesMax else {
            throw .limitExceeded(
                "table payload", found: UInt64(payload.byteCount),
                limit: UInt64(FormatLimits.tablePayloadBytesMax))
        }
        var reader = ByteReader(payload)
        section = TableSection(rawValue: try reader.readUInt8())
        let hotLength = try reader.readLength("hot length", limit: payload.byteCount)
        guard hotLength > 0 else { throw .invalid("a table leaf without a row") }
        hot = try reader.readBytes(hotLength)
        cold = try reader.readBytes(reader.remaining)
    }

    /// Returns every row, or refuses the leaf when it holds rows of another section.
    public func rows<Row: TableRow>(
        of type: Row.Type = Row.self
    ) throws(FormatError) -> [Row] {
        try check(Row.section)
        return try Row.rows(in: self)
    }

    /// Refuses a leaf of another section than the caller looked for.
    func check(_ expected: TableSection) throws(FormatError) {
        guard section == expected else {
            throw .invalid(
                "a table leaf of section \(section.rawValue) in section \(expected.rawValue)")
        }
    }
}

/// A row of one section: how it is written behind the row before it, and how a leaf is read.
public protocol TableRow: Hashable, Sendable {
    /// The section that such rows stand in.
    static var section: TableSection { get }

    /// The bytes that order this row among those of its section, for the separators of leaves;
    /// empty in a section without separators.
    var orderBytes: [UInt8] { get }

    /// Refuses a row that the format cannot hold, or that may not stand behind `previous`.
    func validate(after previous: Self?) throws(FormatError)

    /// Appends the row to both parts of a leaf.
    ///
    /// - Parameter previous: The row before it in the same leaf; `nil` begins a leaf, where every
    ///   value is written in full.
    func write(after previous: Self?, hot: inout ByteWriter, cold: inout ByteWriter)

    /// Returns every row of a leaf of this section.
    static func rows(in leaf: borrowing TableLeaf) throws(FormatError) -> [Self]
}

/// The four counts that the index keeps: how many rows of each class a run has up to some place.
///
/// To the log a count is a number; what the classes mean is the business of the layer above.
public struct RowCountVector: Hashable, Sendable {
    /// Steps that were committed.
    public var steps: UInt64
    /// Attempts that were started.
    public var attempts: UInt64
    /// Attempts that a compact policy shows: those that failed, were interrupted or were retries.
    public var remarkableAttempts: UInt64
    /// Tool calls that were started.
    public var toolCalls: UInt64

    /// Creates a vector; all counts are zero by default.
    public init(
        steps: UInt64 = 0, attempts: UInt64 = 0, remarkableAttempts: UInt64 = 0,
        toolCalls: UInt64 = 0
    ) {
        self.steps = steps
        self.attempts = attempts
        self.remarkableAttempts = remarkableAttempts
        self.toolCalls = toolCalls
    }

    /// Appends each count less that of `base`, modulo 2^64.
    func write(less base: RowCountVector, to writer: inout ByteWriter) {
        writer.writeVarint(steps &- base.steps)
        writer.writeVarint(attempts &- base.attempts)
        writer.writeVarint(remarkableAttempts &- base.remarkableAttempts)
        writer.writeVarint(toolCalls &- base.toolCalls)
    }

    /// Reads what ``write(less:to:)`` wrote.
    init(_ reader: inout ByteReader, above base: RowCountVector) throws(FormatError) {
        steps = base.steps &+ (try reader.readVarint())
        attempts = base.attempts &+ (try reader.readVarint())
        remarkableAttempts = base.remarkableAttempts &+ (try reader.readVarint())
        toolCalls = base.toolCalls &+ (try reader.readVarint())
    }
}

extension ByteWriter {
    /// Writes a value as its difference to a base, modulo 2^64, small when they are close.
    mutating func writeDifference(_ value: UInt64, to base: UInt64) {
        let difference = Int64(bitPattern: value &- base)
        writeVarint(UInt64(bitPattern: difference << 1 ^ difference >> 63))
    }
}

extension ByteReader {
    /// Reads what ``ByteWriter/writeDifference(_:to:)`` wrote.
    mutating func readDifference(to base: UInt64) throws(FormatError) -> UInt64 {
        let folded = try readVarint()
        return base &+ (folded >> 1 ^ (0 &- (folded & 1)))
    }

    /// Reads a number of at most 32 bits.
    mutating func readNumber(_ field: String) throws(FormatError) -> UInt32 {
        let value = try readVarint()
        guard let number = UInt32(exactly: value) else {
            throw .limitExceeded(field, found: value, limit: UInt64(UInt32.max))
        }
        return number
    }
}
