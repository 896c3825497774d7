/// Bits of a row of the runs section.
public struct RunTableFlags: OptionSet, Hashable, Sendable {
    /// The byte in the row.
    public let rawValue: UInt8

    /// Creates flags from the byte in the row.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The run was deleted: the row only keeps its last epoch.
    public static let deleted = RunTableFlags(rawValue: 1)
    /// Some stored bytes are hidden by a policy that came later; a rewrite would blank them.
    public static let blankingDue = RunTableFlags(rawValue: 2)
    /// Some events are of kinds that the writer of the row did not know.
    public static let unknownKinds = RunTableFlags(rawValue: 4)
    /// The run began anew in this archive: older ones may have a deleted run of its name.
    public static let begunAnew = RunTableFlags(rawValue: 8)

    /// The bits that this version knows; a reader refuses others.
    public static let known: RunTableFlags = [.deleted, .blankingDue, .unknownKinds, .begunAnew]
}

/// What an archive's index keeps of one run: where its events are, and what lists show of it.
public struct RunTableRow: TableRow {
    /// The section that such rows stand in.
    public static let section = TableSection.runs

    /// A label: the numbers of two texts.
    public struct Label: Hashable, Sendable {
        /// The number of the text that is its name.
        public var name: UInt32
        /// The number of the text that is its value.
        public var value: UInt32

        /// Creates a label from the numbers of its texts.
        public init(name: UInt32, value: UInt32) {
            self.name = name
            self.value = value
        }
    }

    /// The name of the run.
    public var name: RunID
    /// The code of its status, 0 to 15. See FORMAT.md, Tables.
    public var status: UInt8
    /// The category of its last failure, 0 to 15; 0 when there is none.
    public var category: UInt8
    /// The number of the text that names its loop.
    public var loop: UInt32
    /// Its labels.
    public var labels: [Label]
    /// The time of its first event.
    public var created: UInt64
    /// The time of its last event.
    public var updated: UInt64
    /// The position of the run's first event in this archive.
    public var firstPosition: UInt64
    /// The position after the run's last event in this archive.
    public var endPosition: UInt64
    /// The number of the first block of events that holds some of the run's.
    public var firstBlock: UInt32
    /// How many of the blocks behind that one hold some too.
    public var blocksMore: UInt32
    /// See ``RunTableFlags``.
    public var flags: RunTableFlags
    /// The run's counts before its first event in this archive.
    public var countsBefore: RowCountVector
    /// What the layer above knows of the run; opaque here.
    public var summary: [UInt8]

    /// Creates a row.
    public init(
        name: RunID, status: UInt8, category: UInt8 = 0, loop: UInt32, labels: [Label] = [],
        created: UInt64, updated: UInt64, firstPosition: UInt64 = 0, endPosition: UInt64,
        firstBlock: UInt32, blocksMore: UInt32 = 0, flags: RunTableFlags = [],
        countsBefore: RowCountVector = RowCountVector(), summary: [UInt8] = []
    ) {
        self.name = name
        self.status = status
        self.category = category
        self.loop = loop
        self.labels = labels
        self.created = created
        self.updated = updated
        self.firstPosition = firstPosition
        self.endPosition = endPosition
        self.firstBlock = firstBlock
        self.blocksMore = blocksMore
        self.flags = flags
        self.countsBefore = countsBefore
        self.summary = summary
    }
}

extension RunTableRow {
    /// Beside the flags of a row: its first position and its counts before follow. They are left
    /// out where all are 0, as for every run that begins in the archive.
    static let continuedBit: UInt8 = 0x80

    /// The bytes that order the row in its section; empty where separators are not used.
    public var orderBytes: [UInt8] { Array(name.rawValue.utf8) }

    /// Refuses a row that has no place in the format, or none behind `previous`.
    public func validate(after previous: RunTableRow?) throws(FormatError) {
        guard status < 16, category < 16 else {
            throw .invalid("status \(status) or category \(category) takes more than four bits")
        }
        guard flags.isSubset(of: .known) else {
            throw .unsupported("run row flags", found: UInt64(flags.rawValue))
        }
        guard !firstBlock.addingReportingOverflow(blocksMore).overflow else {
            throw .invalid("block numbers of 2^32 or more")
        }
        guard previous.map({ $0.name < name }) ?? true else {
            throw .invalid("run \(name) is not in order")
        }
    }

    /// Appends the row to both parts of a leaf, behind `previous`.
    public func write(after previous: RunTableRow?, hot: inout ByteWriter, cold: inout ByteWriter) {
        let own = name.rawValue.utf8
        let shared = previous.map { commonPrefix(own, $0.name.rawValue.utf8) } ?? 0
        hot.writeLength(shared)
        hot.writeLength(own.count - shared)
        hot.writeBytes(own.dropFirst(shared))
        hot.writeUInt8(status & 0xF | category << 4)
        hot.writeVarint(UInt64(loop))
        hot.writeDifference(created, to: previous?.created ?? 0)
        hot.writeDifference(updated, to: created)
        hot.writeLength(labels.count)
        for label in labels {
            hot.writeVarint(UInt64(label.name))
            hot.writeVarint(UInt64(label.value))
        }
        let isContinued = firstPosition != 0 || countsBefore != RowCountVector()
        cold.writeUInt8(flags.rawValue | (isContinued ? Self.continuedBit : 0))
        if isContinued {
            cold.writeVarint(firstPosition)
            countsBefore.write(less: RowCountVector(), to: &cold)
        }
        cold.writeVarint(endPosition)
        cold.writeDifference(UInt64(firstBlock), to: UInt64(previous?.firstBlock ?? 0))
        cold.writeVarint(UInt64(blocksMore))
        cold.writeSized(summary)
    }

    /// Returns every row of a leaf of this section.
    public static func rows(in leaf: borrowing TableLeaf) throws(FormatError) -> [RunTableRow] {
        var cursor = try RunTableCursor(leaf)
        var rows: [RunTableRow] = []
        while try cursor.next() { rows.append(try cursor.row()) }
        try cursor.checkEnd()
        return rows
    }
}

/// Goes through the rows of one leaf of runs; decodes the hot part only, until a row is asked for.
///
/// ```swift
/// var cursor = try RunTableCursor(leaf)
/// while try cursor.next() where cursor.status == wanted { names.append(cursor.name) }
/// ```
public struct RunTableCursor: ~Escapable {
    private var hot: ByteReader
    private var cold: ByteReader
    /// Rows whose cold part has been read.
    private var coldCount = 0
    private var coldFirstBlock: UInt64 = 0

    /// Rows that the cursor has come to, this one included.
    public private(set) var count = 0
    /// The name of the run in its first bytes; memory for the longest.
    private var nameBuffer = [UInt8](repeating: 0, count: FormatLimits.runIDBytesMax)
    private var nameCount = 0
    /// How many bytes of the name are those of the one before.
    private var sharedCount = 0
    /// See ``RunTableRow/status``.
    public private(set) var status: UInt8 = 0
    /// See ``RunTableRow/category``.
    public private(set) var category: UInt8 = 0
    /// See ``RunTableRow/loop``.
    public private(set) var loop: UInt32 = 0
    /// See ``RunTableRow/created``.
    public private(set) var created: UInt64 = 0
    /// See ``RunTableRow/updated``.
    public private(set) var updated: UInt64 = 0
    /// See ``RunTableRow/labels``.
    public private(set) var labels: [RunTableRow.Label] = []

    /// Creates a cursor before the first row.
    @_lifetime(copy leaf)
    public init(_ leaf: borrowing TableLeaf) throws(FormatError) {
        try leaf.check(.runs)
        hot = ByteReader(leaf.hot)
        cold = ByteReader(leaf.cold)
    }

    /// The name of the run, in bytes; not checked to be UTF-8. Copies them.
    public var name: [UInt8] { Array(nameBuffer[..<nameCount]) }

    /// Appends the bytes of the name to `target`.
    public func appendName(to target: inout [UInt8]) { target += nameBuffer[..<nameCount] }

    /// Moves to the next row; `false` behind the last.
    public mutating func next() throws(FormatError) -> Bool {
        guard !hot.isAtEnd else { return false }
        try readName()
        let codes = try hot.readUInt8()
        (status, category) = (codes & 0xF, codes >> 4)
        loop = try hot.readNumber("text number")
        created = try hot.readDifference(to: created)
        updated = try hot.readDifference(to: created)
        labels.removeAll(keepingCapacity: true)
        // A label takes two bytes at least.
        for _ in 0..<(try hot.readLength("label count", limit: hot.remaining / 2)) {
            let name = try hot.readNumber("text number")
            labels.append(RunTableRow.Label(name: name, value: try hot.readNumber("text number")))
        }
        count += 1
        return true
    }

    /// Takes over what the name shares with the one before. One byte shows that the names rise and
    /// that no more could have been shared.
    private mutating func readName() throws(FormatError) {
        let shared = Int(try hot.readNumber("shared name length"))
        guard shared <= nameCount else {
            throw .limitExceeded(
                "shared name length", found: UInt64(shared), limit: UInt64(nameCount))
        }
        let limit = FormatLimits.runIDBytesMax - shared
        let own = try hot.readBytes(try hot.readLength("own name length", limit: limit))
        guard !own.isEmpty else { throw .invalid("a run name adds nothing to the one before") }
        let first = unsafe own.unsafeLoad(as: UInt8.self)
        guard shared == nameCount || first > nameBuffer[shared] else {
            throw .invalid("run names are not in order")
        }
        unsafe nameBuffer.withUnsafeMutableBytes { buffer in
            let free = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[shared...])
            unsafe own.withUnsafeBytes { unsafe free.copyMemory(from: $0) }
        }
        (sharedCount, nameCount) = (shared, shared + own.byteCount)
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
                if sharedCount > matched { continue }
                if sharedCount < matched { return false }
            }
            isFirst = false
            while matched < min(nameCount, wanted.count), nameBuffer[matched] == wanted[matched] {
                matched += 1
            }
            if matched == wanted.count { return matched == nameCount }
            if matched < nameCount, nameBuffer[matched] > wanted[matched] { return false }
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

/// How many bytes two names begin with in common.
func commonPrefix(_ a: some Sequence<UInt8>, _ b: some Sequence<UInt8>) -> Int {
    var count = 0
    for (a, b) in zip(a, b) {
        guard a == b else { break }
        count += 1
    }
    return count
}
