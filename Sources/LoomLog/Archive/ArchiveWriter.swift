internal import LoomFormat
internal import LoomStorage

/// Writes one archive: events run by run, then the tables that find them, the directory, the seal.
///
/// Runs come in order of the bytes of their names, events of a run in order of position. Every
/// block of events stands for itself. It knows nothing of what events mean: the layer above says
/// what the tables keep of a run, in ``ArchivedRun``, and how rows are counted.
///
/// A run whose rows fill a block has blocks of its own; any other stands in one block, with others.
/// So the blocks of the first kind can be moved into another archive as they are, and of the second
/// kind nobody has to know what stands behind an event in the middle.
///
/// ```swift
/// var archive = try ArchiveWriter(file, header, summaryVersion: 1)
/// try archive.begin(run, byteCount: 4096, after: nil)
/// try archive.append(epoch: 1, position: 0, sequence: 17, body, .init())
/// try archive.end(row)
/// let end = try archive.finish()
/// ```
struct ArchiveWriter {
    /// How the archive ends, for the manifest.
    struct End {
        let byteCount: Int
        let lastHash: UInt64
        let seal: ArchiveSeal
    }

    private var output: ArchiveOutput
    private var tables: ArchiveTables
    private var rows = BlockRows()
    private var run: OpenRun?
    /// The name of that run, or of the last one.
    private var id: RunID?
    /// The run whose event is the last of the present block, when no run is open.
    private var lastOfBlock: (id: RunID, run: OpenRun)?
    /// The run of the last block's last event, whose numbers the next row of the table is told
    /// against.
    private var lastRunOfBlock: RunID?
    private var counts = Counts()
    /// What was written, for whoever reads it back.
    private(set) var tally = ArchiveTally()
    /// Around the times of all events.
    private var times = ArchiveTimes()
    /// Bytes of the blocks of the unit that is being moved.
    private var movedBytes = 0

    /// Without its name: a value that is counted would be for each event.
    private struct OpenRun {
        let nameHash: UInt64
        /// Whether its blocks are its own.
        let isLong: Bool
        /// Its number in the present block; `nil` while that has none of its events.
        var number: UInt64?
        var firstBlock: Int?
        var counts = RowCountVector()
        var firstPosition: UInt64?
        var endPosition: UInt64 = 0
        var wholeState: UInt64?

        /// Takes an event into account.
        mutating func take(_ position: UInt64, inBlock block: Int) {
            if firstBlock == nil { firstBlock = block }
            // Also where positions fall, which no runner writes: ends rise, so that they can be
            // halved.
            firstPosition = min(firstPosition ?? .max, position)
            endPosition = max(endPosition, ArchiveWriter.end(of: position))
        }
    }

    private struct Counts {
        var runs: UInt64 = 0
        var blocks = 0
    }

    /// Begins an archive with its header, in an empty file.
    ///
    /// - Parameters:
    ///   - file: `nil` where only its size is wanted.
    ///   - summaryVersion: Names the version of the summaries that the rows will have.
    init(
        _ file: (any StorageFile)?, _ header: SegmentHeader, summaryVersion: UInt32,
        pace: ArchivePace = ArchivePace()
    ) throws(LogError) {
        output = try ArchiveOutput(file, header, pace)
        tables = ArchiveTables(summaryVersion: summaryVersion)
    }

    /// Begins the part of a run that the archive has.
    ///
    /// - Parameters:
    ///   - byteCount: Bytes of its rows, or about so many.
    ///   - end: What is known behind its events in older archives.
    mutating func begin(
        _ id: RunID, byteCount: Int, after end: ArchivedEnd?
    ) throws(LogError) {
        let isLong = byteCount >= FormatLimits.archiveBlockRows
        if isLong || rows.byteCount + byteCount > FormatLimits.archiveBlockRows { try endBlock() }
        self.id = id
        run = OpenRun(
            nameHash: NameFilter.hash(of: Array(id.rawValue.utf8).rawSpan), isLong: isLong,
            wholeState: end?.wholeState)
    }

    /// Appends the next event of the run.
    mutating func append(
        epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan,
        _ progress: ArchiveProgress
    ) throws(LogError) {
        if rows.mustEnd(before: body.byteCount) { try endBlock() }
        copy(epoch: epoch, position: position, sequence: sequence, EventHead(body), body)
        run?.counts = progress.counts
        if progress.isWholeState { run?.wholeState = position }
        if rows.isFull { try endBlock() }
    }

    /// Appends the next of some events of the run that have to stand in one block, and of which it
    /// is only known what stands behind the last: ``reach(_:)`` follows it, at the latest where
    /// ``isBlockFull``, or ``keep(_:)`` before anything else.
    ///
    /// - Parameter head: That of the event, if it has one.
    mutating func copy(
        epoch: UInt64, position: UInt64, sequence: UInt64, _ head: EventHead?, _ body: RawSpan
    ) {
        // Changed in place: a copy for each event would cost more than the event.
        guard let nameHash = run?.nameHash else { return }
        if run?.number == nil, let id { run?.number = rows.declare(id) }
        guard let number = run?.number else { return }
        rows.append(run: number, epoch: epoch, position: position, sequence: sequence, body)
        run?.take(position, inBlock: counts.blocks)
        tally.add(run: nameHash, epoch: epoch, position: position, sequence: sequence, body)
        see(head)
    }

    /// Whether the block that is being filled ends with the event that was copied last.
    var isBlockFull: Bool { rows.isFull }

    /// Says how many rows of the run there are up to the last event that was copied.
    mutating func keep(_ counts: RowCountVector) { run?.counts = counts }

    /// Says what stands behind the last event that was copied.
    mutating func reach(_ end: ArchivedEnd) throws(LogError) {
        run?.counts = end.counts
        if let position = end.wholeState { run?.wholeState = position }
        if rows.isFull { try endBlock() }
    }

    /// Ends the block that is being filled when it has no room for so many bytes of rows.
    mutating func makeRoom(for byteCount: Int) throws(LogError) {
        if rows.byteCount + byteCount > FormatLimits.archiveBlockRows { try endBlock() }
    }

    /// Moves the next block of a unit that holds events of this run alone.
    ///
    /// - Parameters:
    ///   - header: The block's header in its archive, whose hashes were checked.
    ///   - stored: Its stored payload.
    ///   - row: The row of its unit in that archive.
    ///   - first: The least position of the run in that archive.
    mutating func move(
        _ header: BlockHeader, _ stored: RawSpan, of row: BlockTableRow, from first: UInt64
    ) throws(LogError) {
        try endBlock()
        guard var run, let id else { return }
        tally.add(header, stored: stored, ofUnit: counts.blocks)
        movedBytes += try output.move(header, stored)
        guard !header.flags.contains(.continues) else { return }
        if row.eventsSinceWholeState > 0 {
            run.wholeState = row.endPosition &- row.eventsSinceWholeState
        }
        run.firstBlock = run.firstBlock ?? counts.blocks
        run.firstPosition = min(run.firstPosition ?? .max, first)
        run.endPosition = max(run.endPosition, row.endPosition)
        run.counts = row.counts
        self.run = run
        try keepBlock(byteCount: movedBytes, eventCount: row.eventCount, last: (id, run))
        movedBytes = 0
    }

    /// Takes the times of an archive whose blocks are moved into account.
    mutating func see(timesOf seal: ArchiveSeal) {
        if seal.eventCount > 0 { times.see(seal.leastTime...seal.greatestTime) }
    }

    /// The position behind one; of the last number that number.
    static func end(of position: UInt64) -> UInt64 { position == .max ? .max : position + 1 }

    /// What the block table has of a whole state; 0 where none is known, also where it stands
    /// before positions that began anew.
    static func events(since wholeState: UInt64?, until end: UInt64) -> UInt64 {
        wholeState.map { $0 < end ? end - $0 : 0 } ?? 0
    }

    /// Ends the run's part and keeps its row; without one nothing is known of the run.
    mutating func end(_ row: ArchivedRun?) throws(LogError) {
        guard let run, let id else { return }
        if run.isLong { try endBlock() }
        if run.number != nil { lastOfBlock = (id, run) }
        self.run = nil
        guard let row else { return }
        // The block that is being filled has the last events, unless it was just ended.
        let last = rows.isEmpty ? max(0, counts.blocks - 1) : counts.blocks
        let first = run.firstBlock ?? last
        try keep(
            row, of: id, positions: (run.firstPosition ?? 0)..<run.endPosition,
            blocks: first...last)
    }

    /// The run that has the last event of the block that is being filled.
    private var lastInBlock: (id: RunID, run: OpenRun)? {
        if let id, let run, run.number != nil { return (id, run) }
        return lastOfBlock
    }

    private mutating func endBlock() throws(LogError) {
        guard !rows.isEmpty, let last = lastInBlock else { return }
        let written = try output.write(rows)
        try keepBlock(
            byteCount: written, eventCount: UInt32(clamping: rows.eventCount), last: last)
        rows.removeAll()
        run?.number = nil
    }

    private mutating func keepBlock(
        byteCount: Int, eventCount: UInt32, last: (id: RunID, run: OpenRun)
    ) throws(LogError) {
        let (id, run) = last
        try tables.append(
            BlockTableRow(
                byteCount: byteCount, isOfAnotherRun: lastRunOfBlock != id,
                eventCount: eventCount, endPosition: run.endPosition, counts: run.counts,
                eventsSinceWholeState: Self.events(
                    since: run.wholeState, until: run.endPosition)))
        lastRunOfBlock = id
        counts.blocks += 1
    }
}

// MARK: Blocks that stay, tables that are made anew

extension ArchiveWriter {
    /// Moves a block as it is, whatever runs it holds.
    mutating func move(_ header: BlockHeader, _ stored: RawSpan) throws(LogError) {
        tally.add(header, stored: stored, ofUnit: counts.blocks)
        _ = try output.move(header, stored)
        if !header.flags.contains(.continues) { counts.blocks += 1 }
    }

    /// Takes the time of an event in such a block into account.
    mutating func see(_ head: EventHead?) {
        if let time = head?.time { times.see(time...time) }
    }

    /// Keeps the row of the next unit that was moved so.
    mutating func keep(_ row: BlockTableRow) throws(LogError) { try tables.append(row) }

    /// Keeps the row of the next run.
    mutating func keep(
        _ row: ArchivedRun, of run: RunID, positions: Range<UInt64>, blocks: ClosedRange<Int>
    ) throws(LogError) {
        try tables.append(row, id: run, positions: positions, blocks: blocks)
        counts.runs += 1
    }
}

// MARK: The end

extension ArchiveWriter {

    /// Ends the archive: the tables, the directory, the seal. Nothing is synced.
    ///
    /// - Parameter sequences: What the archive covers: those of its events, and those of deleted
    ///   runs.
    mutating func finish(covering sequences: Range<UInt64>) throws(LogError) -> End {
        try endBlock()
        output.endSequence = sequences.upperBound
        let directory = try tables.write(to: &output)
        let seal = ArchiveSeal(
            eventCount: tally.eventCount, blockCount: UInt64(counts.blocks), runCount: counts.runs,
            firstSequence: sequences.lowerBound, endSequence: sequences.upperBound,
            leastTime: times.range.lowerBound, greatestTime: times.range.upperBound,
            directoryOffset: UInt64(directory))
        let hash = try output.write(.seal, seal.encoded(), compresses: false)
        try output.flush()
        return End(byteCount: output.offset, lastHash: hash, seal: seal)
    }
}

/// The least and the greatest time of events whose heads are as the format has them.
private struct ArchiveTimes {
    private var least = UInt64.max
    private var greatest: UInt64 = 0

    mutating func see(_ range: ClosedRange<UInt64>) {
        (least, greatest) = (min(least, range.lowerBound), max(greatest, range.upperBound))
    }

    var range: ClosedRange<UInt64> { least <= greatest ? least...greatest : 0...0 }
}
