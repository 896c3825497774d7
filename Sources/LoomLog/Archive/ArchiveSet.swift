internal import LoomFormat

/// Adjacent archives that are read as one, oldest first. Of what several have, the newest holds.
struct ArchiveSet: Sendable {
    let archives: [ArchiveReader]

    /// The row of a run in one of them.
    struct Found: Sendable {
        let row: RunTableRow
        /// Its number in the archive.
        let number: Int
        /// Which of the archives.
        let index: Int
    }

    /// The newest row of a run; `nil` when none has one. Costs a look at a filter for each archive
    /// that has none.
    func row(of run: RunID) throws(LogError) -> Found? {
        try row(of: run, before: archives.count)
    }

    /// The newest row of a run in the archives before one.
    func row(of run: RunID, before end: Int) throws(LogError) -> Found? {
        try row(of: Array(run.rawValue.utf8), before: end)
    }

    private func row(of name: [UInt8], before end: Int) throws(LogError) -> Found? {
        let hash = NameFilter.hash(of: name.rawSpan)
        for index in (0..<end).reversed() {
            guard let (row, number) = try archives[index].row(of: name, hash: hash) else {
                continue
            }
            return Found(row: row, number: number, index: index)
        }
        return nil
    }

    /// Whether an archive behind one has a row of a run.
    func hasRow(of name: [UInt8], behind index: Int) throws(LogError) -> Bool {
        let hash = NameFilter.hash(of: name.rawSpan)
        for index in ((index + 1)..<archives.count).reversed()
        where try archives[index].hasRow(of: name, hash: hash) { return true }
        return false
    }

    /// The parts of a run, newest first, until `body` returns `false`.
    ///
    /// Which part the run begins in is told only where a run of its name was deleted: another may
    /// hold an event at position 0 that no runner gives. So every archive is asked: one look at its
    /// filter each.
    func parts(
        of run: RunID, _ body: (Found) throws(LogError) -> Bool
    ) throws(LogError) {
        let name = Array(run.rawValue.utf8)
        var end = archives.count
        while let found = try row(of: name, before: end) {
            guard !found.row.flags.contains(.deleted), try body(found),
                !found.row.flags.contains(.begunAnew)
            else { return }
            end = found.index
        }
    }

    /// The events of a run at some positions, in order.
    ///
    /// - Parameter start: The position of the first that is wanted, where others were read.
    func events(
        of run: RunID, at positions: Range<UInt64>, startingAt start: UInt64? = nil
    ) throws(LogError) -> ArchiveSetEvents {
        let first = max(positions.lowerBound, start ?? 0)
        var parts: [ArchiveSetEvents.Part] = []
        try self.parts(of: run) { found throws(LogError) in
            let (row, archive) = (found.row, archives[found.index])
            if row.endPosition > first, row.firstPosition < positions.upperBound {
                let events = try archive.events(
                    of: row, from: positions.lowerBound, startingAt: first)
                parts.append((events, archive.entry.segmentID))
            }
            // A newer part may hold an event at 0 that no runner gives; the run begins before it.
            return row.firstPosition > first || first == 0
        }
        return ArchiveSetEvents(parts, at: first..<max(first, positions.upperBound))
    }

    /// The calls of a run that have a key of this fingerprint, newest first, each once, with its
    /// end as the newest archive tells it.
    func calls(of key: KeyFingerprint, in run: RunID) throws(LogError) -> [ArchivedRun.Call] {
        var calls: [ArchivedRun.Call] = []
        var starts: Set<UInt64> = []
        try parts(of: run) { found throws(LogError) in
            for call in try archives[found.index].calls(of: key, runRow: found.number)
            where starts.insert(call.start).inserted {
                calls.append(.init(key: key, start: call.start, end: call.end))
            }
            return true
        }
        return calls.sorted { $0.start > $1.start }
    }
}

/// The events of one run in several archives, oldest first.
struct ArchiveSetEvents {
    /// A part, and the archive that it is in.
    typealias Part = (events: ArchiveEvents, archive: UInt64)

    /// The parts, the next one last.
    private var parts: [Part]
    private let end: UInt64
    /// The position that the next event has in a run as a runner writes it.
    private var expected: UInt64

    init(_ newestFirst: [Part], at positions: Range<UInt64>) {
        (parts, end, expected) = (newestFirst, positions.upperBound, positions.lowerBound)
    }

    /// Fetches the next event; `nil` behind the last one that was asked for.
    mutating func next() throws(LogError) -> (event: ArchivedEvent, archive: UInt64)? {
        while !parts.isEmpty {
            let archive = parts[parts.count - 1].archive
            guard let event = try parts[parts.count - 1].events.next() else {
                parts.removeLast()
                continue
            }
            if event.position == expected { expected &+= 1 }
            if event.position < end { return (event, archive) }
            // What no runner writes may stand before its time: only where nothing is missing is
            // what follows known to be behind the end.
            if expected >= end { parts.removeAll() }
        }
        return nil
    }
}

// Counted rows.
extension ArchiveSet {
    /// A place in a run, with the counts of its rows before it.
    struct Place: Hashable, Sendable {
        let position: UInt64
        let counts: RowCountVector
        /// The position of the last whole state before it, where the archive knows one.
        let wholeState: UInt64?
        /// Which of the archives it is in.
        let index: Int
    }

    /// The last place that the index knows, of which `isAtOrBefore` holds; `nil` when it holds of
    /// none, or the run is not there.
    ///
    /// - Parameter isAtOrBefore: Holds of the counts of a place; once it does not, it does of no
    ///   later place.
    func place(
        in run: RunID, _ isAtOrBefore: (RowCountVector) -> Bool
    ) throws(LogError) -> Place? {
        var place: Place?
        try parts(of: run) { found throws(LogError) in
            guard isAtOrBefore(found.row.countsBefore) else { return true }
            place = try self.place(in: found, isAtOrBefore)
            return false
        }
        return place
    }

    private func place(
        in found: Found, _ isAtOrBefore: (RowCountVector) -> Bool
    ) throws(LogError) -> Place {
        let (row, archive) = (found.row, archives[found.index])
        let first = Int(row.firstBlock)
        let block = try archive.firstBlock(among: first...(first + Int(row.blocksMore))) {
            !isAtOrBefore($0.counts)
        }
        guard block.number > first else {
            return Place(
                position: row.firstPosition, counts: row.countsBefore, wholeState: nil,
                index: found.index)
        }
        let before = try archive.blockRow(block.number - 1).row
        let since = before.eventsSinceWholeState
        return Place(
            position: before.endPosition, counts: before.counts,
            wholeState: since > 0 ? before.endPosition &- since : nil, index: found.index)
    }
}
