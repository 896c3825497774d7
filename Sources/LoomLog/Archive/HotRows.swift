internal import LoomFormat

/// The runs of one archive that pass a filter, in order of name, a leaf of its table in memory at a
/// time.
final class HotRows {
    private let archive: ArchiveReader
    private let prefix: [UInt8]
    private let leafStep: Int
    private var leaf: Int
    /// Whether the columns are those of that leaf.
    private var isRead = false
    private var payload: [UInt8] = []
    private var columns = RunColumns()
    private var next = 0
    private var wanted: WantedRow

    /// The run that it stands at; `nil` behind the last one.
    private(set) var head: ArchivedHead?

    /// Stands at the first one.
    ///
    /// - Parameter leafStep: Of how many leaves one is read: 1 for all.
    init(
        _ archive: ArchiveReader, _ filter: RunHeadFilter, leafStep: Int = 1
    ) throws(LogError) {
        (self.archive, prefix, self.leafStep) = (archive, filter.prefix, leafStep)
        wanted = try WantedRow(archive, filter)
        let start =
            filter.from.lexicographicallyPrecedes(filter.prefix) ? filter.prefix : filter.from
        leaf = archive.directory.leafIndex(ofRun: start) ?? 0
        if leaf < archive.directory.leafCount(of: .runs) { try readLeaf() }
        while next < columns.count, columns.name(next).lexicographicallyPrecedes(start) {
            next += 1
        }
        try advance()
    }

    /// Goes to the next one. Where a leaf cannot be read, it says so again when it is called again.
    func advance() throws(LogError) {
        head = nil
        while leaf < archive.directory.leafCount(of: .runs) {
            if !isRead { try readLeaf() }
            if let row = firstFitting() {
                next = row + 1
                // Names are in order: behind the prefix none has it again.
                if columns.name(row).starts(with: prefix) {
                    head = ArchivedHead(
                        name: Array(columns.name(row)), created: columns.rows[row].created,
                        isKnown: columns.rows[row].status != 0)
                }
                return
            }
            if let last = columns.rows.indices.last, isBehindPrefix(last) { return }
            leaf += leafStep
            isRead = false
        }
    }

    private func isBehindPrefix(_ row: Int) -> Bool {
        let name = columns.name(row)
        return !name.starts(with: prefix) && prefix.lexicographicallyPrecedes(name)
    }

    /// Leaves out from now on what was created at other times.
    func narrow(toCreated times: ClosedRange<UInt64>) { wanted.created = times }

    private func firstFitting() -> Int? {
        let (columns, wanted) = (columns, wanted)
        var row = next
        while row < columns.count {
            if wanted.fits(row, of: columns) { return row }
            row += 1
        }
        return nil
    }

    private func readLeaf() throws(LogError) {
        let place = archive.directory.leaf(leaf, of: .runs)
        try archive.readHotPart(of: place, into: &payload)
        try Self.read(payload, of: place, in: archive, into: &columns)
        (next, isRead) = (0, true)
    }

    private static func read(
        _ payload: [UInt8], of place: TableDirectory.Leaf, in archive: ArchiveReader,
        into columns: inout RunColumns
    ) throws(LogError) {
        try archive.refusing(place, "table refused") { () throws(FormatError) in
            try columns.read(try TableLeaf(payload.rawSpan))
        }
    }
}

/// What a filter asks of a row, in the numbers that one archive has for texts.
private struct WantedRow {
    private var statuses: UInt16
    private let category: UInt8?
    private var loop: UInt32?
    private var labels: [RunTableRow.Label] = []
    var created: ClosedRange<UInt64>
    private let updated: ClosedRange<UInt64>

    init(_ archive: ArchiveReader, _ filter: RunHeadFilter) throws(LogError) {
        (statuses, category) = (filter.statuses, filter.category)
        (created, updated) = (filter.created, filter.updated)
        var wanted: Set<ByteString> = []
        if let loop = filter.loop { wanted.insert(ByteString(loop)) }
        for label in filter.labels {
            wanted.insert(ByteString(label.name))
            wanted.insert(ByteString(label.value))
        }
        guard !wanted.isEmpty else { return }
        let numbers = try archive.textNumbers(of: wanted)
        // Where the archive does not have one of the texts, no run of it fits.
        guard numbers.count == wanted.count else {
            statuses = 0
            return
        }
        loop = filter.loop.flatMap { numbers[ByteString($0)] }
        labels = filter.labels.compactMap { label in
            guard let name = numbers[ByteString(label.name)],
                let value = numbers[ByteString(label.value)]
            else { return nil }
            return RunTableRow.Label(name: name, value: value)
        }
    }

    @inline(__always)
    func fits(_ number: Int, of columns: borrowing RunColumns) -> Bool {
        let row = columns.rows[number]
        // Of a run that is deleted, or that cannot be read, the table does not know.
        if row.status == 0 { return true }
        guard statuses & 1 << row.status != 0,
            category.map({ $0 == row.category }) ?? true,
            created.contains(row.created), updated.contains(row.updated),
            loop.map({ $0 == row.loop }) ?? true
        else { return false }
        return labels.isEmpty || labels.allSatisfy(columns.labels(number).contains)
    }
}

extension ArchiveSet {
    /// When the runs were created that pass a filter, of some leaves of each archive.
    func sampleOfCreated(
        _ filter: RunHeadFilter, each leafStep: Int
    ) throws(LogError) -> [UInt64] {
        var times: [UInt64] = []
        for archive in archives {
            let rows = try HotRows(archive, filter, leafStep: leafStep)
            while let head = rows.head {
                times.append(head.created)
                try rows.advance()
            }
        }
        return times
    }
}
