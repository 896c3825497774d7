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

/// How many bytes two names begin with in common.
func commonPrefix(_ a: some Sequence<UInt8>, _ b: some Sequence<UInt8>) -> Int {
    var count = 0
    for (a, b) in zip(a, b) {
        guard a == b else { break }
        count += 1
    }
    return count
}
