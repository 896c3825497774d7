internal import LoomFormat

/// The rows of one section of an archive in order, a leaf in memory at a time.
struct ArchiveRows<Row: TableRow> {
    private let reader: ArchiveReader
    private var leaf = 0
    private var rows: [Row] = []
    private var index = 0

    init(_ reader: ArchiveReader) { self.reader = reader }

    /// The row that ``next()`` will give.
    mutating func peek() throws(LogError) -> Row? {
        while index == rows.count {
            guard leaf < reader.directory.leafCount(of: Row.section) else { return nil }
            rows = try reader.rows(of: Row.self, in: reader.directory.leaf(leaf, of: Row.section))
            (leaf, index) = (leaf + 1, 0)
        }
        return rows[index]
    }

    /// Gives the next row; `nil` behind the last.
    mutating func next() throws(LogError) -> Row? {
        guard let row = try peek() else { return nil }
        index += 1
        return row
    }
}

extension ArchiveReader {
    /// Reads every leaf of every section.
    ///
    /// - Throws: ``LogError`` with code `corrupt` and the offset of one that is damaged.
    func checkTables() throws(LogError) {
        try check(RunTableRow.self)
        try check(BlockTableRow.self)
        try check(KeyTableRow.self)
        try check(TextTableRow.self)
        for index in 0..<directory.leafCount(of: .filter) {
            _ = try payload(of: directory.leaf(index, of: .filter))
        }
    }

    private func check<Row: TableRow>(_ type: Row.Type) throws(LogError) {
        var rows = ArchiveRows<Row>(self)
        while try rows.next() != nil {}
    }

    /// Every row of a section.
    func allRows<Row: TableRow>(of type: Row.Type) throws(LogError) -> [Row] {
        var (rows, all) = (ArchiveRows<Row>(self), [Row]())
        while let row = try rows.next() { all.append(row) }
        return all
    }
}
