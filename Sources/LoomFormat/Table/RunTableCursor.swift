/// Goes through the rows of one leaf of runs; decodes the hot part only, until a row is asked for.
///
/// ```swift
/// var cursor = try RunTableCursor(leaf)
/// while try cursor.next() where cursor.status == wanted { names.append(cursor.name) }
/// ```
public struct RunTableCursor: ~Escapable {
    private var heads: RunHeadSource
    private var cold: ByteReader
    /// Rows whose cold part has been read.
    private var coldCount = 0
    private var coldFirstBlock: UInt64 = 0

    /// Rows that the cursor has come to, this one included.
    public private(set) var count = 0
    /// The name of the run, in bytes; not checked to be UTF-8.
    public private(set) var name: [UInt8] = []
    /// See ``RunTableRow/labels``.
    public private(set) var labels: [RunTableRow.Label] = []

    /// See ``RunTableRow/status``.
    public var status: UInt8 { heads.codes & 0xF }
    /// See ``RunTableRow/category``.
    public var category: UInt8 { heads.codes >> 4 }
    /// See ``RunTableRow/loop``.
    public var loop: UInt32 { heads.loop }
    /// See ``RunTableRow/created``.
    public var created: UInt64 { heads.created }
    /// See ``RunTableRow/updated``.
    public var updated: UInt64 { heads.updated }

    /// Creates a cursor before the first row.
    @_lifetime(copy leaf)
    public init(_ leaf: borrowing TableLeaf) throws(FormatError) {
        try leaf.check(.runs)
        heads = RunHeadSource(leaf.hot)
        cold = ByteReader(leaf.cold)
    }

    /// Moves to the next row; `false` behind the last.
    public mutating func next() throws(FormatError) -> Bool {
        labels.removeAll(keepingCapacity: true)
        do throws(RunHeadFault) {
            guard try heads.next(behind: name.indices, of: name, &labels) else { return false }
        } catch {
            throw error.error
        }
        name.removeLast(name.count - heads.sharedCount)
        unsafe heads.ownName.withUnsafeBytes { unsafe name.append(contentsOf: $0) }
        count += 1
        return true
    }

    /// Moves forward to the run of a name; `false` when the leaf has no such run behind the cursor.
    ///
    /// Names rise and share their starts, so most rows are passed without comparing a byte.
    public mutating func seek(_ wanted: [UInt8]) throws(FormatError) -> Bool {
        // How many bytes the last name, which is below the wanted one, has in common with it.
        var matched = 0
        var isFirst = true
        while try next() {
            if !isFirst {
                if heads.sharedCount > matched { continue }
                if heads.sharedCount < matched { return false }
            }
            isFirst = false
            while matched < min(name.count, wanted.count), name[matched] == wanted[matched] {
                matched += 1
            }
            if matched == wanted.count { return matched == name.count }
            if matched < name.count, name[matched] > wanted[matched] { return false }
        }
        return false
    }

    /// Returns the row that the cursor stands at, its cold part included.
    ///
    /// May be called once a row. Costs a pass over the cold parts of the rows since the last call.
    public mutating func row() throws(FormatError) -> RunTableRow {
        guard count > coldCount else { throw .invalid("a row that was already read") }
        while coldCount < count - 1 { _ = try readCold(keepsSummary: false) }
        let cold = try readCold(keepsSummary: true)
        return RunTableRow(
            name: try RunID(decoding: name.rawSpan), status: status, category: category,
            loop: loop, labels: labels, created: created, updated: updated,
            firstPosition: cold.firstPosition, endPosition: cold.endPosition,
            firstBlock: cold.firstBlock, blocksMore: cold.blocksMore, flags: cold.flags,
            countsBefore: cold.countsBefore, summary: cold.summary)
    }

    private struct ColdPart {
        var firstPosition: UInt64
        var endPosition: UInt64
        var firstBlock: UInt32
        var blocksMore: UInt32
        var flags: RunTableFlags
        var countsBefore: RowCountVector
        var summary: [UInt8]
    }

    private mutating func readCold(keepsSummary: Bool) throws(FormatError) -> ColdPart {
        let bits = try cold.readUInt8()
        let flags = RunTableFlags(rawValue: bits & ~RunTableRow.continuedBit)
        guard flags.isSubset(of: .known) else {
            throw .unsupported("run row flags", found: UInt64(bits))
        }
        var (first, counts) = (UInt64(0), RowCountVector())
        if bits & RunTableRow.continuedBit != 0 {
            first = try cold.readVarint()
            counts = try RowCountVector(&cold, above: RowCountVector())
        }
        let end = try cold.readVarint()
        coldFirstBlock = try cold.readDifference(to: coldFirstBlock)
        let blocksMore = try cold.readNumber("block count")
        guard coldFirstBlock <= UInt64(UInt32.max - blocksMore) else {
            throw .invalid("block numbers of 2^32 or more")
        }
        let summary = try cold.readBytes(
            try cold.readLength("summary length", limit: cold.remaining))
        coldCount += 1
        return ColdPart(
            firstPosition: first, endPosition: end, firstBlock: UInt32(coldFirstBlock),
            blocksMore: blocksMore, flags: flags, countsBefore: counts,
            summary: keepsSummary ? [UInt8](copying: summary) : [])
    }

    /// Refuses a leaf that has more in its cold part than its rows.
    func checkEnd() throws(FormatError) {
        guard cold.isAtEnd else { throw .invalid("a table leaf has bytes behind its rows") }
    }
}
