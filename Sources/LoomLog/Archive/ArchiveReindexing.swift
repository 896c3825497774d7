internal import LoomFormat
internal import LoomStorage

/// Makes an archive with the blocks of events of another, as they are, and with tables that are
/// made anew from them.
///
/// Neither tables nor directory nor seal of the old one are needed: they may be damaged, missing or
/// of another version. What they tell is in the events, but for deletions: the rows of deleted runs
/// and the flags of names that began anew are kept where the old tables can still be read.
struct ArchiveReindexing {
    let directory: LogDirectory
    let storage: any Storage
    let semantics: any ArchiveSemantics

    /// Writes the archive, syncs it, and reads it back.
    ///
    /// - Parameters:
    ///   - entry: An archive of the manifest, which says how many events it has.
    ///   - id: The new archive's number, that of no other segment.
    ///   - neighbours: What archives before it hold.
    /// - Returns: The new archive's entry for a manifest.
    /// - Throws: ``LogError`` with the offset when a block of events is damaged. The file is
    ///   removed then, as far as the system lets go of it.
    func build(
        _ entry: ManifestSegment, of manifest: Manifest, as id: UInt64,
        beside neighbours: ArchiveNeighbours = ArchiveNeighbours()
    ) throws(LogError) -> ManifestSegment {
        let file = try directory.openArchiveFile(entry.segmentID, storage)
        defer { try? file.close() }
        let making = ArchiveMaking(directory: directory, storage: storage, semantics: semantics)
        var (pass, _) = try pass(entry, of: manifest, file, neighbours)
        let place = ArchiveMaking.Place(id: id, sources: [entry], tier: entry.tier)
        return try making.make(place, of: manifest) { (writer) throws(LogError) in
            try pass.write(to: &writer)
        }
    }

    /// Writes the same file again with tables that are made anew; up to these the bytes are the
    /// same.
    func write(
        _ entry: ManifestSegment, of manifest: Manifest, from file: any StorageFile,
        to target: any StorageFile, beside neighbours: ArchiveNeighbours
    ) throws(LogError) -> ArchiveWriter.End {
        var (pass, header) = try pass(entry, of: manifest, file, neighbours)
        var writer = try ArchiveWriter(target, header, summaryVersion: semantics.summaryVersion)
        try pass.write(to: &writer)
        return try writer.finish(covering: entry.firstSequence..<entry.endSequence)
    }

    private func pass(
        _ entry: ManifestSegment, of manifest: Manifest, _ file: any StorageFile,
        _ neighbours: ArchiveNeighbours
    ) throws(LogError) -> (ReindexPass, SegmentHeader) {
        let body = try ArchiveBody(file, entry, storeID: manifest.storeID)
        let pass = ReindexPass(
            semantics: semantics, neighbours: neighbours, entry: entry, file: file,
            walk: body.walk(), deletions: Deletions(file, entry, manifest.storeID))
        return (pass, body.header)
    }
}

/// What the tables of an archive tell of deleted runs: as much as can be read.
private struct Deletions {
    /// The rows of runs of which nothing else is left, in order of name.
    var rows: ArraySlice<(RunID, ArchivedRun)> = []
    /// The summaries of names that began anew: what was deleted before is told nowhere else.
    var anew: [RunID: [UInt8]] = [:]

    init(_ file: any StorageFile, _ entry: ManifestSegment, _ storeID: StoreID) {
        do throws(LogError) {
            let reader = try ArchiveReader(file: file, entry: entry, storeID: storeID)
            var old = ArchiveRows<RunTableRow>(reader)
            while let row = try old.next() {
                if row.flags.contains(.begunAnew) { anew[row.name] = row.summary }
                guard !row.hasEvents else { continue }
                let kept = try row.archived { (n) throws(LogError) in try reader.text(n) ?? "" }
                rows.append((row.name, kept))
            }
        } catch {
            // What was read holds all the same.
        }
    }
}

/// The events of an archive on the way through the layer above, beside their blocks.
private struct ReindexPass {
    let semantics: any ArchiveSemantics
    let neighbours: ArchiveNeighbours
    let entry: ManifestSegment
    let file: any StorageFile
    var walk: ArchiveWalk
    /// Of its rows those that are still to be written.
    var deletions: Deletions
    private var unit = ArchiveUnitEvents()
    private var unitNumber = 0
    private var slice: (any ArchiveSlice)?
    private var run: SeenRun?
    private var lastRunOfBlock: RunID?

    init(
        semantics: any ArchiveSemantics, neighbours: ArchiveNeighbours, entry: ManifestSegment,
        file: any StorageFile, walk: ArchiveWalk, deletions: Deletions
    ) {
        (self.semantics, self.neighbours, self.entry) = (semantics, neighbours, entry)
        (self.file, self.walk, self.deletions) = (file, walk, deletions)
    }

    /// What was seen of a run: taken into the slice, and given by it.
    private struct SeenRun {
        let id: RunID
        let firstUnit: Int
        var lastUnit: Int
        var firstPosition = UInt64.max
        var endPosition: UInt64 = 0
        var taken = 0
        var given = 0
        var counts = RowCountVector()
        var wholeState: UInt64?
        /// Rows of blocks that end with an event which the slice has not given yet, and how many
        /// it will have given then.
        var waiting: [(row: BlockTableRow, count: Int)] = []
        /// Rows that are whole.
        var ready: [BlockTableRow] = []

        mutating func take(_ position: UInt64) {
            taken += 1
            firstPosition = min(firstPosition, position)
            endPosition = max(endPosition, ArchiveWriter.end(of: position))
        }

        /// What is counted behind one that was passed is told at the end of the block.
        mutating func pass(_ position: UInt64, isWholeState: Bool) {
            given += 1
            if isWholeState { wholeState = position }
        }

        /// One of a run that was deleted is not given, and nothing waits for it.
        mutating func leaveOut() {
            given += 1
            release(upTo: given)
        }

        mutating func give(_ position: UInt64, _ progress: ArchiveProgress) {
            given += 1
            counts = progress.counts
            if progress.isWholeState { wholeState = position }
            release(upTo: given)
        }

        /// Completes the rows that wait for no more events than these.
        mutating func release(upTo count: Int) {
            while let first = waiting.first, first.count <= count {
                var row = waiting.removeFirst().row
                row.counts = counts
                row.eventsSinceWholeState = ArchiveWriter.events(
                    since: wholeState, until: row.endPosition)
                ready.append(row)
            }
        }
    }

    /// Moves every block and writes every row.
    mutating func write(to writer: inout ArchiveWriter) throws(LogError) {
        var (count, byteCount, start) = (UInt64(0), 0, SegmentHeader.byteCount)
        // Behind the last event nothing is needed, however it looks.
        while count < entry.eventCount {
            guard let (header, offset) = try walk.advance(), header.kind == .events else {
                throw LogError(
                    .corrupt, "\(count) of \(entry.eventCount) events stand in the archive",
                    path: file.path, offset: start)
            }
            let walk = self.walk
            let stored = walk.stored(header, at: offset)
            try writer.move(header, stored)
            if byteCount == 0 { start = offset }
            byteCount += header.totalLength
            try refusing(file.path, at: start, "unit refused") { () throws(FormatError) in
                try unit.append(header, stored)
                if !header.flags.contains(.continues) { try unit.read(header) }
            }
            guard !header.flags.contains(.continues) else { continue }
            count += UInt64(header.eventCount)
            try takeUnit(at: start, byteCount: byteCount, &writer)
            (byteCount, start) = (0, offset + header.totalLength)
        }
        try endRun(&writer)
        try keepDeleted(before: nil, &writer)
    }

    private mutating func takeUnit(
        at start: Int, byteCount: Int, _ writer: inout ArchiveWriter
    ) throws(LogError) {
        for part in unit.parts {
            if run?.id != part.run { try beginRun(part.run, at: start, &writer) }
            guard var slice, var run else { return }
            // One owner each, so that nothing is copied.
            (self.slice, self.run) = (nil, nil)
            run.lastUnit = unitNumber
            var hasPassed = false
            try unit.forEachEvent(of: part) {
                (epoch, position, sequence, head, body) throws(LogError) in
                run.take(position)
                writer.see(head)
                if let head,
                    let isWholeState = slice.pass(epoch: epoch, position: position, head, body)
                {
                    hasPassed = true
                    return run.pass(position, isWholeState: isWholeState)
                }
                if hasPassed { run.counts = slice.counts }
                hasPassed = false
                try slice.take(epoch: epoch, position: position, sequence: sequence, body) {
                    _, position, _, _, progress in run.give(position, progress)
                }
                if let deleted = slice.deletedEpoch, epoch <= deleted { run.leaveOut() }
            }
            if hasPassed { run.counts = slice.counts }
            (self.slice, self.run) = (slice, run)
        }
        guard let last = run else { return }
        let row = BlockTableRow(
            byteCount: byteCount, isOfAnotherRun: lastRunOfBlock != last.id,
            eventCount: UInt32(clamping: unit.eventCount), endPosition: last.endPosition,
            counts: RowCountVector(), eventsSinceWholeState: 0)
        run?.waiting.append((row, last.taken))
        run?.release(upTo: last.given)
        try keepReady(&writer)
        lastRunOfBlock = last.id
        unitNumber += 1
        unit.removeAll()
    }

    private mutating func beginRun(
        _ id: RunID, at offset: Int, _ writer: inout ArchiveWriter
    ) throws(LogError) {
        guard run.map({ $0.id < id }) ?? true else {
            throw LogError(
                .corrupt, "the runs of the archive are not in order", path: file.path,
                offset: offset)
        }
        try endRun(&writer)
        try keepDeleted(before: id, &writer)
        let anew = deletions.anew[id]
        let past = anew == nil ? try neighbours.past(id) : nil
        slice = try semantics.begin(
            id, after: past, newest: try neighbours.newest(id) ?? anew)
        var run = SeenRun(id: id, firstUnit: unitNumber, lastUnit: unitNumber)
        run.wholeState = past.flatMap { semantics.end(of: $0.row)?.wholeState }
        self.run = run
    }

    private mutating func endRun(_ writer: inout ArchiveWriter) throws(LogError) {
        guard var slice, var run else { return }
        (self.slice, self.run) = (nil, nil)
        var row =
            try slice.finish { _, position, _, _, progress in run.give(position, progress) }
            ?? ArchivedRun()
        if deletions.anew[run.id] != nil { row.flags.insert(.begunAnew) }
        run.release(upTo: .max)
        self.run = run
        try keepReady(&writer)
        try writer.keep(
            row, of: run.id, positions: run.firstPosition..<run.endPosition,
            blocks: run.firstUnit...run.lastUnit)
    }

    private mutating func keepReady(_ writer: inout ArchiveWriter) throws(LogError) {
        for row in run?.ready ?? [] { try writer.keep(row) }
        run?.ready.removeAll(keepingCapacity: true)
    }

    private mutating func keepDeleted(
        before id: RunID?, _ writer: inout ArchiveWriter
    ) throws(LogError) {
        while let (name, row) = deletions.rows.first, id.map({ name <= $0 }) ?? true {
            deletions.rows.removeFirst()
            guard name != id else { continue }
            let last = run?.lastUnit ?? 0
            try writer.keep(row, of: name, positions: 0..<0, blocks: last...last)
        }
    }
}
