internal import LoomFormat
internal import LoomStorage

/// Reads an archive back before anything relies on it: every hash, every block unpacked, the same
/// events as were written, and tables that tell of them and of nothing else.
struct ArchiveVerification {
    private let reader: ArchiveReader
    private let semantics: any ArchiveSemantics
    private let written: ArchiveTally
    private let pace: ArchivePace
    private var found = ArchiveTally()
    private var walk: ArchiveWalk
    private var unit = ArchiveUnitEvents()
    private var unitNumber = 0
    private var moved: ArraySlice<Range<Int>>
    private var runRows: ArchiveRows<RunTableRow>
    private var blockRows: ArchiveRows<BlockTableRow>
    private var names: [UInt64] = []
    private var run: SeenRun?
    private var lastRow: BlockTableRow?
    private var lastRunOfBlock: RunID?

    /// What was seen of a run's events.
    private struct SeenRun {
        let row: RunTableRow
        let firstUnit: Int
        var lastUnit: Int
        var firstPosition = UInt64.max
        var endPosition: UInt64 = 0
    }

    /// Begins with an archive and what was written into it.
    init(
        _ reader: ArchiveReader, _ written: ArchiveTally, _ semantics: any ArchiveSemantics,
        _ pace: ArchivePace = ArchivePace()
    ) throws(LogError) {
        self.pace = pace
        (self.reader, self.written, self.semantics) = (reader, written, semantics)
        walk = reader.walk()
        moved = written.moved[...]
        runRows = ArchiveRows(reader)
        blockRows = ArchiveRows(reader)
    }

    /// Reads everything.
    ///
    /// - Throws: ``LogError`` with code `corrupt` and the offset of what is not as it was written.
    mutating func verify() throws(LogError) {
        var start: Int?
        while let (header, offset) = try walk.advance() {
            try pace.pass(header.totalLength)
            guard header.kind == .events else {
                // Whoever reads the tables unpacks them.
                continue
            }
            try take(header, at: offset)
            let first = start ?? offset
            start = first
            guard !header.flags.contains(.continues) else { continue }
            try refusing(reader.path, at: first, "unit refused") { () throws(FormatError) in
                try unit.read(header)
            }
            try checkUnit(from: first, to: offset + header.totalLength)
            unit.removeAll()
            unitNumber += 1
            start = nil
        }
        try endRun(at: Int(reader.seal.directoryOffset))
        try skipRows(to: nil, at: Int(reader.seal.directoryOffset))
        let end = Int(reader.seal.directoryOffset)
        let seal = reader.seal
        try expect(found.eventCount == written.eventCount, at: end)
        try expect(found.eventSum == written.eventSum, at: end)
        try expect(found.blockSum == written.blockSum, at: end)
        try expect(seal.eventCount == written.eventCount, at: end)
        try expect(unitNumber == seal.blockCount && names.count == seal.runCount, at: end)
        try expect(try blockRows.next() == nil, at: end)
        try checkKeys()
        try checkFilter()
    }

    private func expect(_ isSo: Bool, at offset: Int) throws(LogError) {
        guard isSo else {
            throw LogError(
                .corrupt, "the archive does not read back to what was written", path: reader.path,
                offset: offset)
        }
    }

    /// Takes a block of events into account.
    private mutating func take(_ header: BlockHeader, at offset: Int) throws(LogError) {
        while let range = moved.first, range.upperBound <= unitNumber { moved.removeFirst() }
        let walk = self.walk
        if moved.first?.contains(unitNumber) ?? false {
            found.add(header, stored: walk.stored(header, at: offset), ofUnit: unitNumber)
        }
        try refusing(reader.path, at: offset, "block refused") { () throws(FormatError) in
            try unit.append(header, walk.stored(header, at: offset))
        }
    }

    private mutating func checkUnit(from start: Int, to end: Int) throws(LogError) {
        let isMoved = moved.first?.contains(unitNumber) ?? false
        let unit = self.unit
        for part in unit.parts {
            try begin(part.run, at: start)
            guard var run, let name = names.last else { return }
            run.lastUnit = unitNumber
            let covered = reader.seal.firstSequence..<reader.seal.endSequence
            var isCovered = true
            for group in unit.groups[part.groups] {
                let last = UInt64(group.eventCount - 1)
                let positions = group.position.addingReportingOverflow(last)
                let sequences = group.sequence.addingReportingOverflow(last)
                run.firstPosition = min(
                    run.firstPosition, positions.overflow ? 0 : group.position)
                run.endPosition = max(
                    run.endPosition,
                    positions.overflow ? .max : ArchiveWriter.end(of: positions.partialValue))
                isCovered =
                    isCovered && !sequences.overflow && covered.contains(group.sequence)
                    && covered.contains(sequences.partialValue)
            }
            self.run = run
            // Not event by event: a call would copy all that is known.
            try expect(isCovered, at: start)
            if isMoved { continue }
            for group in unit.groups[part.groups] { found.add(unit.events(of: group), group, name) }
        }
        try checkBlockRow(from: start, to: end)
    }

    /// Goes on to the run of a part, unless it is at hand.
    private mutating func begin(_ id: RunID, at offset: Int) throws(LogError) {
        guard run?.row.name != id else { return }
        try endRun(at: offset)
        try skipRows(to: id, at: offset)
        guard let row = try nextRow() else { return try expect(false, at: offset) }
        run = SeenRun(row: row, firstUnit: unitNumber, lastUnit: unitNumber)
    }

    private mutating func nextRow() throws(LogError) -> RunTableRow? {
        guard let row = try runRows.next() else { return nil }
        names.append(NameFilter.hash(of: Array(row.name.rawValue.utf8).rawSpan))
        return row
    }

    /// Passes the rows of runs without events.
    private mutating func skipRows(to id: RunID?, at offset: Int) throws(LogError) {
        while let row = try runRows.peek(), row.name != id {
            try expect(!row.hasEvents && (id.map { row.name < $0 } ?? true), at: offset)
            _ = try nextRow()
        }
    }

    /// Compares the row of the run at hand with its events.
    private mutating func endRun(at offset: Int) throws(LogError) {
        guard let run else { return }
        self.run = nil
        let row = run.row
        try expect(
            row.firstPosition == run.firstPosition && row.endPosition == run.endPosition
                && Int(row.firstBlock) == run.firstUnit
                && Int(row.blocksMore) == run.lastUnit - run.firstUnit, at: offset)
        // The last block's row is that of the run that ends there.
        guard lastRunOfBlock == row.name, run.lastUnit == unitNumber - 1, let lastRow,
            let end = semantics.end(of: row)
        else { return }
        try expect(lastRow.counts == end.counts, at: offset)
    }

    private mutating func checkBlockRow(from start: Int, to end: Int) throws(LogError) {
        guard let row = try blockRows.next(), let run else { return try expect(false, at: start) }
        let name = run.row.name
        try expect(
            row.byteCount == end - start && Int(row.eventCount) == unit.eventCount
                && row.endPosition == run.endPosition
                && row.isOfAnotherRun == (lastRunOfBlock != name)
                && row.eventsSinceWholeState <= row.endPosition, at: start)
        let before = row.isOfAnotherRun ? run.row.countsBefore : lastRow?.counts
        try expect(before.map { row.counts.isAtLeast($0) } ?? true, at: start)
        (lastRow, lastRunOfBlock) = (row, name)
    }

    /// Every key is one of a run in the table, of a call before the end of the run.
    private func checkKeys() throws(LogError) {
        var keys = ArchiveRows<KeyTableRow>(reader)
        var runs = ArchiveRows<RunTableRow>(reader)
        var (number, end) = (-1, UInt64(0))
        while let key = try keys.next() {
            while number < Int(key.runRow), let row = try runs.next() {
                (number, end) = (number + 1, row.endPosition)
            }
            try expect(
                number == Int(key.runRow) && max(key.start, key.end ?? 0) < end,
                at: Int(reader.seal.directoryOffset))
        }
    }

    /// The filter has every name and no other bit.
    private func checkFilter() throws(LogError) {
        guard !names.isEmpty else { return }
        var filter = NameFilterWriter(runCount: names.count)
        for name in names { filter.add(name) }
        let end = Int(reader.seal.directoryOffset)
        try expect(reader.directory.leafCount(of: .filter) == filter.leafCount, at: end)
        for index in 0..<filter.leafCount {
            let place = reader.directory.leaf(index, of: .filter)
            try expect(
                try reader.payload(of: place) == filter.leaf(at: index).payload, at: place.offset)
        }
    }
}

extension RowCountVector {
    fileprivate func isAtLeast(_ other: RowCountVector) -> Bool {
        steps >= other.steps && attempts >= other.attempts
            && remarkableAttempts >= other.remarkableAttempts && toolCalls >= other.toolCalls
    }
}
