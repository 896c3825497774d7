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
    /// Every row of a section.
    func allRows<Row: TableRow>(of type: Row.Type) throws(LogError) -> [Row] {
        var (rows, all) = (ArchiveRows<Row>(self), [Row]())
        while let row = try rows.next() { all.append(row) }
        return all
    }
}
