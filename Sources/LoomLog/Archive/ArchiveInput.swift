internal import LoomFormat
internal import LoomStorage

/// An archive that is gone through from its first run to its last, to be written into another: the
/// rows of its tables beside its blocks, both in order, a unit and a leaf in memory at a time.
///
/// Everything that is relied on is checked: every hash, the chain, and that tables and blocks tell
/// of the same runs. What is wrong is told with the file and the offset.
final class ArchiveInput {
    let reader: ArchiveReader
    /// The row of the run that is at hand; `nil` behind the last one.
    private(set) var row: RunTableRow?
    /// Whether the blocks of that run hold no other one.
    private(set) var isOwn = false
    private var rowNumber = -1
    /// The last block of the runs before.
    private var lastBlock = -1
    private var runRows: ArchiveRows<RunTableRow>
    /// Rows behind the one at hand, up to the first that has events.
    private var ahead: [RunTableRow] = []
    private var aheadIndex = 0
    private var blockRows: ArchiveRows<BlockTableRow>
    private var keyRows: ArchiveRows<KeyTableRow>
    private let texts: [TextTableRow]
    private var walk: ArchiveWalk
    /// The block that begins the next unit; `nil` behind the last unit.
    private var head: (header: BlockHeader, offset: Int)?
    private var headOffset = SegmentHeader.byteCount
    /// The number of that unit.
    private var headNumber = 0
    private var eventCount: UInt64 = 0
    /// The unit that was decoded last, its number, and the next of its runs.
    private var unit = ArchiveUnitEvents()
    private var unitNumber: Int?
    private var partIndex = 0

    /// Begins with the first run.
    init(_ reader: ArchiveReader) throws(LogError) {
        self.reader = reader
        runRows = ArchiveRows(reader)
        blockRows = ArchiveRows(reader)
        keyRows = ArchiveRows(reader)
        texts = try reader.allRows(of: TextTableRow.self)
        walk = reader.walk()
        try readHead()
        try advance()
    }

    /// Goes on to the next run; all events of the one at hand were taken.
    func advance() throws(LogError) {
        let previous = row
        row = try nextRow()
        rowNumber += 1
        guard let row else { return try checkEnd() }
        guard previous.map({ $0.name < row.name }) ?? true else {
            throw corrupt("the runs of the table are not in order")
        }
        isOwn = false
        guard row.hasEvents else { return }
        let first = Int(row.firstBlock)
        guard first == max(0, lastBlock) || first == lastBlock + 1 else {
            throw corrupt("the table has no run for a block")
        }
        isOwn = first > lastBlock
        lastBlock = max(lastBlock, first + Int(row.blocksMore))
        if let next = ahead.last, next.hasEvents, next.firstBlock <= lastBlock { isOwn = false }
    }

    /// Gives the next row when the next one with events behind it is known.
    private func nextRow() throws(LogError) -> RunTableRow? {
        if aheadIndex == ahead.count, let row = try runRows.next() { ahead.append(row) }
        guard aheadIndex < ahead.count else { return nil }
        let row = ahead[aheadIndex]
        aheadIndex += 1
        if aheadIndex == ahead.count {
            ahead.removeAll(keepingCapacity: true)
            aheadIndex = 0
            while !(ahead.last?.hasEvents ?? false), let row = try runRows.next() {
                ahead.append(row)
            }
        }
        return row
    }

    private func checkEnd() throws(LogError) {
        guard head == nil, partIndex == unit.parts.count, headNumber == reader.seal.blockCount,
            eventCount == reader.seal.eventCount, rowNumber == reader.seal.runCount
        else { throw corrupt("the archive holds something else than its seal counts") }
        // Also what nothing was read of.
        while try walk.advance() != nil {}
    }

    /// Describes a disagreement between tables and blocks at the block at hand.
    private func corrupt(_ what: String) -> LogError {
        LogError(.corrupt, what, path: reader.path, offset: headOffset)
    }
}

extension ArchiveInput {
    private func readHead() throws(LogError) {
        guard let next = try walk.advance() else { throw corrupt("the archive has no tables") }
        headOffset = next.offset
        head = next.header.kind == .events ? next : nil
    }

    /// The numbers of the blocks of the run at hand; none where it has no events.
    var blocks: Range<Int> {
        guard let row, row.hasEvents else { return 0..<0 }
        return Int(row.firstBlock)..<(Int(row.firstBlock + row.blocksMore) + 1)
    }

    /// What the table has of the next unit's end.
    ///
    /// - Parameter number: The number that the unit must have.
    func end(ofUnit number: Int) throws(LogError) -> ArchivedEnd? {
        _ = try header(ofUnit: number)
        return try blockRows.peek().map { row in
            let since = row.eventsSinceWholeState
            return ArchivedEnd(
                counts: row.counts, wholeState: since > 0 ? row.endPosition &- since : nil)
        }
    }

    /// Bytes of rows that the next unit has, or more than any block when it has several blocks.
    ///
    /// - Parameter number: The number that the unit must have.
    func rawLength(ofUnit number: Int) throws(LogError) -> Int {
        let header = try header(ofUnit: number)
        return header.flags.contains(.continues) ? .max : header.rawLength
    }

    private func header(ofUnit number: Int) throws(LogError) -> BlockHeader {
        guard let head, headNumber == number, unitNumber == nil || partIndex == unit.parts.count
        else { throw corrupt("the blocks hold other runs than the table says") }
        return head.header
    }

    /// Takes the next unit block by block, and the row that the table has of it.
    ///
    /// - Parameters:
    ///   - number: The number that the unit must have.
    ///   - use: Gets each of its blocks and the row.
    func takeUnit(
        _ number: Int,
        _ use: (BlockHeader, RawSpan, BlockTableRow, Int) throws(LogError) -> Void
    ) throws(LogError) {
        _ = try header(ofUnit: number)
        guard let blockRow = try blockRows.next() else { throw corrupt("a block without a row") }
        let start = headOffset
        while let (header, offset) = head {
            do {
                let walk = self.walk
                try use(header, walk.stored(header, at: offset), blockRow, offset)
            }
            let isLast = !header.flags.contains(.continues)
            if isLast {
                guard header.eventCount == blockRow.eventCount else {
                    throw corrupt("a block has another number of events than its row")
                }
                eventCount += UInt64(header.eventCount)
            }
            try readHead()
            if isLast { break }
        }
        guard headOffset - start == blockRow.byteCount else {
            throw LogError(
                .corrupt, "a block is not as long as its row says", path: reader.path,
                offset: start)
        }
        headNumber += 1
        (unitNumber, partIndex) = (nil, unit.parts.count)
    }

    /// Decodes a unit unless it is at hand, and returns the part of the run in it.
    private func decode(_ number: Int) throws(LogError) -> ArchiveUnitEvents.Part {
        if unitNumber != number {
            unit.removeAll()
            partIndex = 0
            let path = reader.path
            try takeUnit(number) { (header, stored, row, offset) throws(LogError) in
                try refusing(path, at: offset, "block refused") { () throws(FormatError) in
                    try unit.append(header, stored)
                    if !header.flags.contains(.continues) {
                        try unit.read(header)
                    }
                }
            }
            (unitNumber, partIndex) = (number, 0)
        }
        guard partIndex < unit.parts.count, unit.parts[partIndex].run == row?.name else {
            throw corrupt("the blocks hold other runs than the table says")
        }
        return unit.parts[partIndex]
    }

    /// Bytes of the rows of the run in a unit that is decoded, or will be now.
    func byteCount(inUnit number: Int) throws(LogError) -> Int {
        let part = try decode(number)
        return unit.byteCount(of: part)
    }

    /// Calls `body` with the events of the run in a unit.
    func takeEvents(
        ofUnit number: Int, _ body: ArchiveMaking.Take
    ) throws(LogError) {
        let part = try decode(number)
        let unit = self.unit
        try unit.forEachEvent(of: part, body)
        partIndex += 1
    }

    /// What the tables keep of the run at hand, with its texts and calls.
    func archivedRun() throws(LogError) -> ArchivedRun {
        guard let row else { return ArchivedRun() }
        var run = try row.archived { (number) throws(LogError) in try text(number) }
        while let key = try keyRows.peek(), key.runRow <= rowNumber {
            // Runs that were gone through anew have their keys from there.
            if key.runRow == rowNumber {
                run.calls.append(.init(key: key.fingerprint, start: key.start, end: key.end))
            }
            _ = try keyRows.next()
        }
        return run
    }

    private func text(_ number: UInt32) throws(LogError) -> String {
        guard Int(number) < texts.count else { throw corrupt("a run has a text of no number") }
        return texts[Int(number)].text.text
    }
}

extension RunTableRow {
    /// What the row keeps of its run, with texts in place of their numbers.
    func archived(
        text: (UInt32) throws(LogError) -> String
    ) throws(LogError) -> ArchivedRun {
        var run = ArchivedRun()
        (run.status, run.category, run.flags) = (status, category, flags)
        (run.created, run.updated) = (created, updated)
        (run.countsBefore, run.summary) = (countsBefore, summary)
        run.loop = try text(loop)
        for label in labels {
            run.labels.append((try text(label.name), try text(label.value)))
        }
        return run
    }
}
