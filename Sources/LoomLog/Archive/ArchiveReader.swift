internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Reads one archive: its runs by name, and the events of a run from a position on.
///
/// Opening reads the header, the seal and the directory; everything else is read when it is asked
/// for, a block at a time, and every block is checked by its hashes before it is used.
///
/// A class, so that a look at many archives copies none.
final class ArchiveReader: Sendable {
    let directory: TableDirectory
    private let archive: ArchiveFile
    /// Leaves that were used last, of this archive and others.
    private let cache: LeafCache?

    /// Whether its tables were made anew in memory.
    var isMended: Bool { archive.file is OverlayFile }

    var path: FilePath { archive.path }
    var header: SegmentHeader { archive.header }
    var seal: ArchiveSeal { archive.seal }
    var entry: ManifestSegment { archive.entry }

    /// Opens an archive that a manifest lists.
    ///
    /// - Throws: ``LogError`` with code `corrupt` and the offset when it is not the one that was
    ///   meant, or its end is damaged.
    convenience init(
        file: any StorageFile, entry: ManifestSegment, storeID: StoreID
    ) throws(LogError) {
        try self.init(try ArchiveFile(file, entry, storeID: storeID))
    }

    /// Reads the directory of an archive whose ends were checked.
    init(_ archive: ArchiveFile, cache: LeafCache? = nil) throws(LogError) {
        (self.archive, self.cache) = (archive, cache)
        let (place, end) = (Int(archive.seal.directoryOffset), archive.sealOffset)
        directory = try ofTables(archive.entry.segmentID) { () throws(LogError) in
            let block = try archive.blocks.read(
                at: place, kind: .directory, end: end, length: max(0, end - place))
            return try LoomLog.refusing(archive.path, at: place, "directory refused") {
                () throws(FormatError) in try TableDirectory(decoding: block.payload.rawSpan)
            }
        }
    }

    private var blocks: ArchiveBlocks { archive.blocks }

    /// The row of a run, and its number; `nil` when the archive has none. The filter is asked
    /// first.
    func row(of run: RunID) throws(LogError) -> (row: RunTableRow, number: Int)? {
        let name = Array(run.rawValue.utf8)
        return try row(of: name, hash: NameFilter.hash(of: name.rawSpan))
    }

    /// The same for the bytes of a name and their hash.
    func row(
        of name: [UInt8], hash: UInt64
    ) throws(LogError) -> (row: RunTableRow, number: Int)? {
        try find(name, hash: hash) { (leaf, cursor) throws(FormatError) in
            (try cursor.row(), leaf.firstRow + cursor.count - 1)
        }
    }

    /// Whether there is a row of a run.
    func hasRow(of name: [UInt8], hash: UInt64) throws(LogError) -> Bool {
        try find(name, hash: hash) { (_, _) throws(FormatError) in true } ?? false
    }

    /// Calls `body` with a cursor that stands at the row of a run; `nil` when there is none. The
    /// filter is asked first.
    private func find<Result>(
        _ name: [UInt8], hash: UInt64,
        _ body: (TableDirectory.Leaf, inout RunTableCursor) throws(FormatError) -> Result
    ) throws(LogError) -> Result? {
        guard try mayContain(hash), let index = directory.leafIndex(ofRun: name) else { return nil }
        let leaf = directory.leaf(index, of: .runs)
        let payload = try payload(of: leaf)
        return try refusing(leaf, "table refused") { () throws(FormatError) in
            var cursor = try RunTableCursor(try TableLeaf(payload.rawSpan))
            guard try cursor.seek(name) else { return nil }
            return try body(leaf, &cursor)
        }
    }

    private func mayContain(_ hash: UInt64) throws(LogError) -> Bool {
        let count = directory.rowCount(of: .filter)
        guard count > 0 else { return directory.rowCount(of: .runs) > 0 }
        let number = NameFilter.blockIndex(of: hash, blockCount: count)
        guard let index = directory.leafIndex(ofRow: number, in: .filter) else { return true }
        let leaf = directory.leaf(index, of: .filter)
        let payload = try payload(of: leaf)
        return try refusing(leaf, "filter refused") { () throws(FormatError) in
            try NameFilter.mayContain(
                hash, block: number - leaf.firstRow, in: try TableLeaf(payload.rawSpan))
        }
    }

    /// The decoded payload of a leaf, read once while the cache has it.
    func payload(of leaf: TableDirectory.Leaf) throws(LogError) -> [UInt8] {
        let key = LeafCache.Key(archive: entry.segmentID, offset: leaf.offset)
        if let payload = cache?.payload(key) { return payload }
        let block = try ofTables(entry.segmentID) { () throws(LogError) in
            try blocks.read(
                at: leaf.offset, kind: .table, end: leaf.offset + leaf.byteCount,
                length: leaf.byteCount)
        }
        cache?.keep(block.payload, key)
        return block.payload
    }

    /// Decodes the hot part of a leaf; what was there goes.
    func readHotPart(of leaf: TableDirectory.Leaf, into payload: inout [UInt8]) throws(LogError) {
        try ofTables(entry.segmentID) { () throws(LogError) in
            try blocks.readHotPart(of: leaf, into: &payload)
        }
    }

    /// Decodes what stands in a leaf.
    func refusing<Result>(
        _ leaf: TableDirectory.Leaf, _ what: String, _ body: () throws(FormatError) -> Result
    ) throws(LogError) -> Result {
        try ofTables(entry.segmentID) { () throws(LogError) in
            try LoomLog.refusing(path, at: leaf.offset, what, body)
        }
    }

    /// All rows of one leaf.
    func rows<Row: TableRow>(
        of type: Row.Type, in leaf: TableDirectory.Leaf
    ) throws(LogError) -> [Row] {
        let payload = try payload(of: leaf)
        return try refusing(leaf, "table refused") { () throws(FormatError) in
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

    /// The numbers of those of these texts that the archive has. Costs a pass over all its texts.
    func textNumbers(of wanted: Set<ByteString>) throws(LogError) -> [ByteString: UInt32] {
        var numbers: [ByteString: UInt32] = [:]
        for index in 0..<directory.leafCount(of: .texts) {
            let leaf = directory.leaf(index, of: .texts)
            for (offset, row) in try rows(of: TextTableRow.self, in: leaf).enumerated()
            where wanted.contains(row.text) {
                numbers[row.text] = UInt32(leaf.firstRow + offset)
            }
        }
        return numbers
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
    ///
    /// - Parameter start: The position of the first that is wanted, where it is known; one with a
    ///   lower position may stand behind it.
    func events(
        of row: RunTableRow, from position: UInt64, startingAt start: UInt64? = nil
    ) throws(LogError) -> ArchiveEvents {
        guard row.hasEvents else {
            return ArchiveEvents(self.blocks, run: row.name, from: position, at: 0, end: 0)
        }
        let blocks = Int(row.firstBlock)...Int(row.firstBlock + row.blocksMore)
        let first = try firstBlock(among: blocks) { $0.endPosition > start ?? position }
        return ArchiveEvents(
            self.blocks, run: row.name, from: position, at: first.offset,
            end: try blockRow(blocks.upperBound).end,
            lastPosition: { self.endPosition(at: $0, among: blocks, of: row) })
    }

    /// The position behind the last event of a run in the block that stands somewhere: for an error
    /// that names what was lost.
    private func endPosition(
        at offset: Int, among blocks: ClosedRange<Int>, of row: RunTableRow
    ) -> UInt64? {
        for number in blocks {
            guard let (block, start, _) = try? blockRow(number), start <= offset else { return nil }
            if start == offset {
                return number == blocks.upperBound ? row.endPosition : block.endPosition
            }
        }
        return nil
    }

    /// A block of events: its number, its row and where it stands.
    struct BlockPlace {
        let number: Int
        let row: BlockTableRow
        let offset: Int
    }

    /// The first of the blocks of a run whose row is behind some place, or the last one.
    ///
    /// All but the last of a run's blocks end with it, so that what their rows say of it rises.
    /// Reads about as many leaves as their number has bits.
    func firstBlock(
        among blocks: ClosedRange<Int>, _ isBehind: (BlockTableRow) -> Bool
    ) throws(LogError) -> BlockPlace {
        var (low, high) = (blocks.lowerBound, blocks.upperBound)
        while low < high {
            let middle = (low + high) / 2
            let rows = try blockRows(around: middle)
            // Of this leaf those that are in question: the last block is not asked.
            let known = max(low, rows.firstRow)..<min(high, rows.firstRow + rows.rows.count)
            let found = known.first { number in
                let row = rows.rows[number - rows.firstRow]
                // Behind the last number there is none.
                return isBehind(row) || row.endPosition == .max
            }
            switch found {
            case nil: low = known.upperBound
            case let number? where number == known.lowerBound && number > low: high = number
            case let number?: (low, high) = (number, number)
            }
        }
        let (row, offset, _) = try blockRow(low)
        return BlockPlace(number: low, row: row, offset: offset)
    }

    private func blockRows(
        around number: Int
    ) throws(LogError) -> (firstRow: Int, offset: Int, rows: [BlockTableRow]) {
        guard let index = directory.leafIndex(ofRow: number, in: .blocks) else {
            throw LogError(
                .corrupt, "block \(number) is not in the block table", path: path,
                offset: Int(seal.directoryOffset)
            ).ofTables(entry.segmentID)
        }
        let leaf = directory.leaf(index, of: .blocks)
        let rows = try rows(of: BlockTableRow.self, in: leaf)
        return (leaf.firstRow, leaf.firstBlockOffset ?? SegmentHeader.byteCount, rows)
    }

    /// The row of a block of events and where the block stands.
    func blockRow(
        _ number: Int
    ) throws(LogError) -> (row: BlockTableRow, offset: Int, end: Int) {
        let leaf = try blockRows(around: number)
        let index = number - leaf.firstRow
        let offset = leaf.rows.prefix(index).reduce(leaf.offset) { $0 + $1.byteCount }
        return (leaf.rows[index], offset, offset + leaf.rows[index].byteCount)
    }

    /// Every block of the archive from the first on, checked by its hashes and the chain.
    func walk() -> ArchiveWalk {
        archive.body.walk()
    }

    /// Every unit of events from the first on; with them all blocks are checked.
    func units() -> ArchiveUnits { ArchiveUnits(archive.body, checksRest: true) }
}

extension RunTableRow {
    /// Whether the archive has any of the run's events: that of a deleted run may have none.
    var hasEvents: Bool { endPosition > 0 }
}

/// Runs what reads the tables of an archive, and says so of what it throws.
func ofTables<Result>(
    _ archive: UInt64, _ body: () throws(LogError) -> Result
) throws(LogError) -> Result {
    do throws(LogError) {
        return try body()
    } catch {
        throw error.ofTables(archive)
    }
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
