internal import LoomFormat

/// The tables of an archive as they are gathered while its events are written: in memory as filled
/// leaves, as they stand behind the events.
struct ArchiveTables {
    private var runs = TableLeafWriter<RunTableRow>()
    private var blocks = TableLeafWriter<BlockTableRow>()
    private var leaves: [TableSection: [FilledLeaf]] = [:]
    private var texts: [ByteString: UInt32] = [:]
    private var textRows: [TextTableRow] = []
    private var keys: [KeyTableRow] = []
    private var nameHashes: [UInt64] = []
    private var directory: TableDirectory
    /// Where each block of events begins; its leaf in the table begins somewhere among them.
    private var blockEnds: [Int] = []

    init(summaryVersion: UInt32) { directory = TableDirectory(summaryVersion: summaryVersion) }

    /// Keeps the row of a run.
    mutating func append(
        _ run: ArchivedRun, id: RunID, positions: Range<UInt64>, blocks: ClosedRange<Int>
    ) throws(LogError) {
        let number = UInt32(nameHashes.count)
        var row = RunTableRow(
            name: id, status: run.status, category: run.category, loop: self.number(of: run.loop),
            labels: run.labels.map { label in
                .init(name: self.number(of: label.name), value: self.number(of: label.value))
            },
            created: run.created, updated: run.updated, firstPosition: positions.lowerBound,
            endPosition: positions.upperBound, firstBlock: UInt32(blocks.lowerBound),
            blocksMore: UInt32(blocks.upperBound - blocks.lowerBound), flags: run.flags,
            countsBefore: run.countsBefore, summary: run.summary)
        try archiving("keeping the row of run \(id)") { () throws(FormatError) in
            var leaf: FilledLeaf?
            do throws(FormatError) {
                leaf = try runs.append(row)
            } catch .limitExceeded where !row.summary.isEmpty {
                // A summary that has no room is as if it were not there.
                row.summary = []
                leaf = try runs.append(row)
            }
            if let leaf { leaves[.runs, default: []].append(leaf) }
        }
        nameHashes.append(NameFilter.hash(of: Array(id.rawValue.utf8).rawSpan))
        // By fingerprint and start, as the table has them.
        keys += run.calls.map {
            KeyTableRow(runRow: number, fingerprint: $0.key, start: $0.start, end: $0.end)
        }.sorted { ($0.fingerprint, $0.start) < ($1.fingerprint, $1.start) }
    }

    /// Keeps the row of a block of events.
    mutating func append(_ row: BlockTableRow) throws(LogError) {
        try archiving("keeping the row of a block") { () throws(FormatError) in
            if let leaf = try blocks.append(row) { leaves[.blocks, default: []].append(leaf) }
        }
        blockEnds.append((blockEnds.last ?? SegmentHeader.byteCount) + row.byteCount)
    }

    private mutating func number(of text: String) -> UInt32 {
        let key = ByteString(text)
        if let number = texts[key] { return number }
        let number = UInt32(textRows.count)
        texts[key] = number
        textRows.append(TextTableRow(text))
        return number
    }

    /// Writes all sections in order, and the directory.
    ///
    /// - Returns: The offset of the directory's block.
    mutating func write(to output: inout ArchiveOutput) throws(LogError) -> Int {
        if let leaf = runs.finish() { leaves[.runs, default: []].append(leaf) }
        if let leaf = blocks.finish() { leaves[.blocks, default: []].append(leaf) }
        try fill(.keys, keys)
        try fill(.texts, textRows)
        fillFilter()
        for section in TableSection.known.sorted() {
            var blockNumber = 0
            for leaf in leaves[section] ?? [] {
                try write(leaf, firstBlock: blockNumber, to: &output)
                blockNumber += leaf.rowCount
            }
        }
        let offset = output.offset
        let payload = try archiving("making the directory") { () throws(FormatError) in
            try directory.encoded()
        }
        try output.write(.directory, payload, compresses: true)
        return offset
    }

    private mutating func fill<Row: TableRow>(
        _ section: TableSection, _ rows: [Row]
    ) throws(LogError) {
        var writer = TableLeafWriter<Row>()
        try archiving("filling a table") { () throws(FormatError) in
            for row in rows {
                if let leaf = try writer.append(row) { leaves[section, default: []].append(leaf) }
            }
        }
        if let leaf = writer.finish() { leaves[section, default: []].append(leaf) }
    }

    private mutating func fillFilter() {
        guard !nameHashes.isEmpty else { return }
        var filter = NameFilterWriter(runCount: nameHashes.count)
        for hash in nameHashes { filter.add(hash) }
        leaves[.filter] = (0..<filter.leafCount).map { filter.leaf(at: $0) }
    }

    private mutating func write(
        _ leaf: FilledLeaf, firstBlock: Int, to output: inout ArchiveOutput
    ) throws(LogError) {
        let offset = output.offset
        // The filter is noise: it would not get smaller.
        try output.write(.table, leaf.payload, compresses: leaf.section != .filter)
        // Only the rows of that section are numbered as the blocks of events are.
        var start: Int?
        if leaf.section == .blocks {
            start = firstBlock == 0 ? SegmentHeader.byteCount : blockEnds[firstBlock - 1]
        }
        try archiving("placing a table") { () throws(FormatError) in
            try directory.append(
                leaf, at: offset, byteCount: output.offset - offset,
                firstBlockOffset: start)
        }
    }
}

/// Runs what the format may refuse of an archive that is being made.
func archiving<Result>(
    _ what: String, _ body: () throws(FormatError) -> Result
) throws(LogError) -> Result {
    do throws(FormatError) {
        return try body()
    } catch {
        throw LogError(.limitExceeded, "\(what): \(error)")
    }
}
