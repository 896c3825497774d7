import LoomFormat

@testable import LoomLog

/// Counts the events of each run: what they mean is the business of the layer above.
struct CountingSemantics: ArchiveSemantics {
    var summaryVersion: UInt32 = 7
    /// Runs of which nothing is kept but a row.
    var deleted: Set<String> = []
    /// Runs whose parts are gone through again at every rewrite.
    var hidden: Set<String> = []
    /// Runs of whose events a byte is left.
    var blanked: Set<String> = []
    /// Whether most events are passed, as what is stored as it is.
    var passes = true
    /// Of "again" the events up to this epoch are left out.
    var deletedEpoch: UInt64?

    func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?, rewriting own: [UInt8]?
    ) -> any ArchiveSlice {
        if deleted.contains(run.rawValue) { return DeletedSlice() }
        let before = past.flatMap { end(of: $0.row) }
        return Slice(
            name: run.rawValue, isBlanked: blanked.contains(run.rawValue), passes: passes,
            deletedEpoch: run.rawValue == "again" ? deletedEpoch : nil,
            before: before?.counts ?? RowCountVector(),
            count: before?.counts.steps ?? 0, wholeState: before?.wholeState)
    }

    func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool {
        let isDeleted = deleted.contains(row.name.rawValue) && !row.flags.contains(.deleted)
        let isHidden = hidden.union(blanked).contains(row.name.rawValue)
        return !isDeleted && !isHidden
    }

    /// The first number of a summary is the count, the second the place of the last whole state.
    func end(of row: RunTableRow) -> ArchivedEnd? {
        let words = String(decoding: row.summary, as: UTF8.self).split(separator: " ")
        guard words.count == 3, let count = UInt64(words[0]) else { return nil }
        return ArchivedEnd(counts: RowCountVector(steps: count), wholeState: UInt64(words[2]))
    }

    struct Slice: ArchiveSlice {
        let name: String
        let isBlanked: Bool
        let passes: Bool
        let deletedEpoch: UInt64?
        let before: RowCountVector
        var count: UInt64
        var wholeState: UInt64?

        var counts: RowCountVector { RowCountVector(steps: count) }

        /// Not each, so that both ways meet.
        mutating func pass(
            epoch: UInt64, position: UInt64, _ head: EventHead, _ body: RawSpan
        ) -> Bool? {
            guard passes, !isBlanked, epoch > deletedEpoch ?? 0, position % 7 != 3 else {
                return nil
            }
            count += 1
            if count % 10 == 1 { wholeState = position }
            return count % 10 == 1
        }

        mutating func take(
            epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
        ) throws(LogError) {
            if let deletedEpoch, epoch <= deletedEpoch { return }
            count += 1
            if count % 10 == 1 { wholeState = position }
            let progress = ArchiveProgress(
                counts: RowCountVector(steps: count), isWholeState: count % 10 == 1)
            let stored = isBlanked ? body.extracting(0..<min(1, body.byteCount)) : body
            try give(epoch, position, sequence, stored, progress)
        }

        mutating func finish(give: Give) -> ArchivedRun? {
            var row = ArchivedRun()
            (row.status, row.loop) = (UInt8(count % 5), "loop \(count % 3)")
            row.labels = [("name", name)]
            row.countsBefore = before
            row.summary = Array("\(count) events \(wholeState.map { "\($0)" } ?? "none")".utf8)
            // Of a run that is over none are kept.
            if row.status != 3, row.status != 5 {
                let key = KeyFingerprint(kind: 1, key: Array("k".utf8))
                row.calls = [.init(key: key, start: 0, end: nil)]
            }
            return row
        }
    }
}

/// Gives none of the events of a run, and a row that says that it was deleted.
struct DeletedSlice: ArchiveSlice {
    mutating func take(
        epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
    ) throws(LogError) {}

    mutating func finish(give: Give) -> ArchivedRun? {
        var row = ArchivedRun()
        row.flags = .deleted
        return row
    }
}

/// Knows nothing of events.
struct PlainSemantics: ArchiveSemantics {
    var summaryVersion: UInt32 { 7 }

    func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?, rewriting own: [UInt8]?
    ) -> any ArchiveSlice { Slice() }

    func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool { true }

    func end(of row: RunTableRow) -> ArchivedEnd? {
        ArchivedEnd(counts: RowCountVector(), wholeState: nil)
    }

    struct Slice: ArchiveSlice {
        mutating func take(
            epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
        ) throws(LogError) { try give(epoch, position, sequence, body, ArchiveProgress()) }

        mutating func finish(give: Give) -> ArchivedRun? { ArchivedRun() }
    }
}
