internal import LoomFormat
internal import LoomStorage

/// Writes one archive: events run by run, then the tables that find them, the directory, the seal.
///
/// Runs come in order of the bytes of their names, events of a run in order of position. Every
/// block of events stands for itself. It knows nothing of what events mean: the layer above says
/// what the tables keep of a run, in ``ArchivedRun``, and how rows are counted.
///
/// ```swift
/// var archive = try ArchiveWriter(file, header, summaryVersion: 1)
/// try archive.begin(run, byteCount: 4096)
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
    /// The run whose event is the last of the present block, when no run is open.
    private var lastOfBlock: OpenRun?
    /// The run of the last block's last event, whose numbers the next row of the table is told
    /// against.
    private var lastRunOfBlock: RunID?
    private var counts = Counts()

    private struct OpenRun {
        let id: RunID
        /// Its number in the present block; `nil` while that has none of its events.
        var number: UInt64?
        var firstBlock: Int?
        var progress = ArchiveProgress()
        var firstPosition: UInt64?
        var endPosition: UInt64 = 0
        var wholeState: UInt64?
    }

    private struct Counts {
        var events: UInt64 = 0
        var runs: UInt64 = 0
        var blocks = 0
    }

    /// Begins an archive with its header, in an empty file.
    ///
    /// - Parameter summaryVersion: Names the version of the summaries that the rows will have.
    init(
        _ file: any StorageFile, _ header: SegmentHeader, summaryVersion: UInt32
    ) throws(LogError) {
        output = try ArchiveOutput(file, header)
        tables = ArchiveTables(summaryVersion: summaryVersion)
    }

    /// Begins the part of a run that the archive has.
    ///
    /// - Parameter byteCount: Bytes of its rows, or about so many: one that fills a block begins
    ///   with one, so that its blocks can be moved whole by a merge.
    mutating func begin(_ id: RunID, byteCount: Int) throws(LogError) {
        if byteCount >= FormatLimits.archiveBlockRows { try endBlock() }
        run = OpenRun(id: id)
    }

    /// Appends the next event of the run.
    mutating func append(
        epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan,
        _ progress: ArchiveProgress
    ) throws(LogError) {
        guard var run else { return }
        if rows.mustEnd(before: body.byteCount) {
            try endBlock()
            run.number = nil
        }
        let number = run.number ?? rows.declare(run.id)
        run.number = number
        rows.append(run: number, epoch: epoch, position: position, sequence: sequence, body)
        run.firstBlock = run.firstBlock ?? counts.blocks
        // Also where positions fall, which no runner writes: ends rise, so that they can be halved.
        run.firstPosition = min(run.firstPosition ?? .max, position)
        run.endPosition = max(run.endPosition, Self.end(of: position))
        run.progress = progress
        if progress.isWholeState { run.wholeState = position }
        self.run = run
        counts.events += 1
        if rows.isFull { try endBlock() }
    }

    /// The position behind one; of the last number that number.
    static func end(of position: UInt64) -> UInt64 { position == .max ? .max : position + 1 }

    /// Ends the run's part and keeps its row.
    mutating func end(_ row: ArchivedRun) throws(LogError) {
        guard let run else { return }
        let first = run.firstBlock ?? counts.blocks
        // The block that is being filled has the run's last events, unless it was just ended.
        let last = rows.isEmpty ? counts.blocks - 1 : counts.blocks
        try tables.append(
            row, id: run.id, positions: (run.firstPosition ?? 0)..<run.endPosition,
            blocks: first...max(first, last))
        counts.runs += 1
        lastOfBlock = run
        self.run = nil
    }

    private mutating func endBlock() throws(LogError) {
        guard !rows.isEmpty, let last = run?.number != nil ? run : lastOfBlock else { return }
        let written = try output.write(rows)
        try tables.append(
            BlockTableRow(
                byteCount: written, isOfAnotherRun: lastRunOfBlock != last.id,
                eventCount: UInt32(clamping: rows.eventCount), endPosition: last.endPosition,
                counts: last.progress.counts,
                eventsSinceWholeState: last.wholeState.map { last.endPosition &- $0 } ?? 0))
        lastRunOfBlock = last.id
        counts.blocks += 1
        rows.removeAll()
        run?.number = nil
    }

    /// Ends the archive: the tables, the directory, the seal. Nothing is synced.
    ///
    /// - Parameters:
    ///   - sequences: What the archive covers: those of its events, and those of deleted runs.
    ///   - times: The least and the greatest time of an event.
    mutating func finish(
        covering sequences: Range<UInt64>, times: ClosedRange<UInt64>
    ) throws(LogError) -> End {
        try endBlock()
        output.endSequence = sequences.upperBound
        let directory = try tables.write(to: &output)
        let seal = ArchiveSeal(
            eventCount: counts.events, blockCount: UInt64(counts.blocks), runCount: counts.runs,
            firstSequence: sequences.lowerBound, endSequence: sequences.upperBound,
            leastTime: times.lowerBound, greatestTime: times.upperBound,
            directoryOffset: UInt64(directory))
        let hash = try output.write(.seal, seal.encoded(), compresses: false)
        try output.flush()
        return End(byteCount: output.offset, lastHash: hash, seal: seal)
    }
}
