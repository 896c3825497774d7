internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Reads one archive: its runs by name, and the events of a run from a position on.
///
/// Opening reads the header, the seal and the directory; everything else is read when it is asked
/// for, a block at a time, and every block is checked by its hashes before it is used.
struct ArchiveReader {
    let directory: TableDirectory
    private let archive: ArchiveFile

    var path: FilePath { archive.path }
    var header: SegmentHeader { archive.header }
    var seal: ArchiveSeal { archive.seal }

    /// Opens an archive that a manifest lists.
    ///
    /// - Throws: ``LogError`` with code `corrupt` and the offset when it is not the one that was
    ///   meant, or its end is damaged.
    init(
        file: any StorageFile, entry: ManifestSegment, storeID: StoreID
    ) throws(LogError) {
        try self.init(try ArchiveFile(file, entry, storeID: storeID))
    }

    /// Reads the directory of an archive whose ends were checked.
    init(_ archive: ArchiveFile) throws(LogError) {
        self.archive = archive
        let place = Int(archive.seal.directoryOffset)
        let block = try archive.blocks.read(at: place, kind: .directory, end: archive.sealOffset)
        directory = try refusing(archive.path, at: place, "directory refused") {
            () throws(FormatError) in try TableDirectory(decoding: block.payload.rawSpan)
        }
    }

    private var blocks: ArchiveBlocks { archive.blocks }

    /// The row of a run, and its number; `nil` when the archive has none. The filter is asked
    /// first.
    func row(of run: RunID) throws(LogError) -> (row: RunTableRow, number: Int)? {
        let name = Array(run.rawValue.utf8)
        guard try mayContain(name), let index = directory.leafIndex(ofRun: name) else { return nil }
        let leaf = directory.leaf(index, of: .runs)
        let rows = try rows(of: RunTableRow.self, in: leaf)
        guard let offset = rows.firstIndex(where: { $0.name == run }) else { return nil }
        return (rows[offset], leaf.firstRow + offset)
    }

    private func mayContain(_ name: [UInt8]) throws(LogError) -> Bool {
        let count = directory.rowCount(of: .filter)
        guard count > 0 else { return directory.rowCount(of: .runs) > 0 }
        let hash = NameFilter.hash(of: name.rawSpan)
        let number = NameFilter.blockIndex(of: hash, blockCount: count)
        guard let index = directory.leafIndex(ofRow: number, in: .filter) else { return true }
        let leaf = directory.leaf(index, of: .filter)
        let block = try blocks.read(
            at: leaf.offset, kind: .table, end: leaf.offset + leaf.byteCount)
        return try refusing(path, at: leaf.offset, "filter refused") { () throws(FormatError) in
            try NameFilter.mayContain(
                hash, block: number - leaf.firstRow, in: try TableLeaf(block.payload.rawSpan))
        }
    }

    /// The payload of one leaf.
    func payload(of leaf: TableDirectory.Leaf) throws(LogError) -> [UInt8] {
        try blocks.read(at: leaf.offset, kind: .table, end: leaf.offset + leaf.byteCount).payload
    }

    /// All rows of one leaf.
    func rows<Row: TableRow>(
        of type: Row.Type, in leaf: TableDirectory.Leaf
    ) throws(LogError) -> [Row] {
        let payload = try payload(of: leaf)
        return try refusing(path, at: leaf.offset, "table refused") { () throws(FormatError) in
            let rows = try TableLeaf(payload.rawSpan).rows(of: type)
            guard rows.count == leaf.rowCount else {
                throw .invalid("\(rows.count) rows where the directory has \(leaf.rowCount)")
            }
            return rows
        }
    }

    /// The text of a number.
    func text(_ number: UInt32) throws(LogError) -> String? {
        guard let index = directory.leafIndex(ofRow: Int(number), in: .texts) else { return nil }
        let leaf = directory.leaf(index, of: .texts)
        return try rows(of: TextTableRow.self, in: leaf)[Int(number) - leaf.firstRow].text.text
    }

    /// The calls of a run that have a key of this fingerprint, newest first.
    func calls(
        of key: KeyFingerprint, runRow: Int
    ) throws(LogError) -> [KeyTableRow] {
        var found: [KeyTableRow] = []
        for index in directory.leafIndexes(ofKey: key, runRow: UInt32(runRow)) {
            let rows = try rows(of: KeyTableRow.self, in: directory.leaf(index, of: .keys))
            found += rows.filter { $0.runRow == UInt32(runRow) && $0.fingerprint == key }
        }
        return found.reversed()
    }

    /// The events of a run from a position on, in order.
    func events(
        of row: RunTableRow, from position: UInt64
    ) throws(LogError) -> ArchiveEvents {
        guard row.hasEvents else {
            return ArchiveEvents(self.blocks, run: row.name, from: position, at: 0, end: 0)
        }
        let blocks = Int(row.firstBlock)...Int(row.firstBlock + row.blocksMore)
        // All but the last of a run's blocks end with it: their ends rise.
        var (low, high) = (blocks.lowerBound, blocks.upperBound)
        while low < high {
            let middle = (low + high) / 2
            let end = try blockRow(middle).row.endPosition
            // Behind the last number there is none.
            if end > position || end == .max {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return ArchiveEvents(
            self.blocks, run: row.name, from: position, at: try blockRow(low).offset,
            end: try blockRow(blocks.upperBound).end)
    }

    /// The row of a block of events and where the block stands.
    func blockRow(
        _ number: Int
    ) throws(LogError) -> (row: BlockTableRow, offset: Int, end: Int) {
        guard let index = directory.leafIndex(ofRow: number, in: .blocks) else {
            throw LogError(
                .corrupt, "block \(number) is not in the block table", path: path,
                offset: Int(seal.directoryOffset))
        }
        let leaf = directory.leaf(index, of: .blocks)
        var offset = leaf.firstBlockOffset ?? SegmentHeader.byteCount
        let rows = try rows(of: BlockTableRow.self, in: leaf)
        for row in rows.prefix(number - leaf.firstRow) { offset += row.byteCount }
        let row = rows[number - leaf.firstRow]
        return (row, offset, offset + row.byteCount)
    }

    /// Every block of the archive from the first on, checked by its hashes and the chain.
    func walk() -> ArchiveWalk { archive.walk() }

    /// Every unit of events from the first on; with them all blocks are checked.
    func units() -> ArchiveUnits { ArchiveUnits(archive) }
}

extension RunTableRow {
    /// Whether the archive has any of the run's events: that of a deleted run may have none.
    var hasEvents: Bool { endPosition > 0 }
}

/// Runs what may be refused as damage of an archive.
func refusing<Result>(
    _ path: FilePath, at offset: Int, _ what: String, _ body: () throws(FormatError) -> Result
) throws(LogError) -> Result {
    do throws(FormatError) {
        return try body()
    } catch {
        throw LogError(error, in: path, at: offset, what: what)
    }
}
