internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import Synchronization

/// The folds of the runs of which the live segments of a log hold something, kept from read to
/// read: each goes on from the archived outline of its run, and then with what was appended.
final class LiveFolds: Sendable {
    /// A run as far as it was read.
    struct Seen {
        var fold = ReadFold(keepsValues: false)
        /// What the fold looks up, where it goes on from an outline.
        var past: SourcePast?
        var readError: RunReadError?
        private(set) var marks = LiveMarks()
        /// How far the live segments were read; `nil` where they had nothing of the run.
        fileprivate(set) var mark: LogView.Live.Mark?

        var outline: RunOutline { fold.outline }
        /// Whether there is a run: one that was created, or one that cannot be read.
        var isRun: Bool { fold.isBegun || readError != nil }

        /// Sees an event whose bytes are copied only when they are not those of a plain step.
        mutating func see(
            _ run: RunID, _ place: RunFold.Place, _ body: RawSpan, _ origin: LogPlace
        ) throws {
            if readError == nil, let head = EventHead(body),
                fold.seeOrdinary(head, body, at: place) != nil
            {
                return marks.note(fold)
            }
            try see(
                StoredEvent(
                    run: run, place: place, body: [UInt8](copying: body), origin: origin))
        }

        mutating func see(_ event: StoredEvent) throws {
            guard readError == nil else { return }
            do {
                if let past {
                    try fold.see(event, after: past)
                } else {
                    try fold.see(event)
                }
            } catch let error as RunReadError {
                readError = error
            }
            marks.note(fold)
        }
    }

    /// Places in the live part of a run, some thousand events apart, that a read of some rows can
    /// begin at: the live segments have no table of them.
    struct LiveMarks {
        private struct Mark {
            let position: UInt64
            let counts: RowCountVector
            let wholeState: UInt64
        }

        private var marks: [Mark] = []
        private static let distance: UInt64 = 2048

        /// Notes where a fold has come to, when that is far from the mark before.
        mutating func note(_ fold: ReadFold) {
            let position = fold.nextPosition
            // Another run of the name has begun.
            if let last = marks.last, position < last.position { marks = [] }
            guard position >= (marks.last?.position ?? 0) + Self.distance else { return }
            marks.append(
                Mark(
                    position: position, counts: fold.rowCounts,
                    wholeState: fold.state.wholeState))
        }

        /// The last place before which there are at most `number` rows.
        func place(ofRow number: UInt64, of kind: RowKind) -> RowPlace? {
            var (low, high) = (0, marks.count)
            while low < high {
                let middle = (low + high) / 2
                if kind.count(in: marks[middle].counts) <= number {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            guard low > 0 else { return nil }
            let mark = marks[low - 1]
            return RowPlace(
                position: mark.position, counts: RowKind.counts(mark.counts),
                wholeState: mark.wholeState)
        }
    }

    /// The entries that were used last, and those that were before that many others were.
    private struct Entries {
        private var newer: [RunID: Seen] = [:]
        private var older: [RunID: Seen] = [:]

        mutating func take(_ run: RunID) -> Seen? {
            if newer.isEmpty, older.isEmpty { return nil }
            return newer.removeValue(forKey: run) ?? older.removeValue(forKey: run)
        }

        mutating func keep(_ seen: Seen, of run: RunID) {
            // A whole generation goes at once: taken out one by one in the order of their hashes,
            // they left a table whose one end was full, and every search went through it.
            let half = LiveFolds.keptMax / 2
            if newer.count >= half, newer.count + older.count >= 2 * half {
                (older, newer) = (newer, [:])
            }
            newer[run] = seen
        }
    }

    private let entries = Mutex(Entries())

    /// Runs of which the fold is kept for certain, and up to half as many more, a kilobyte or two
    /// of each: of others it is made anew.
    private static let keptMax = 12_288

    /// What the log holds of a run; `nil` when nothing. Of one that was deleted it knows the epoch.
    ///
    /// - Parameters:
    ///   - source: Where a fold that goes on from an outline looks up what that leaves out.
    ///   - units: Reads the units of a list's runs.
    func fold(
        _ run: RunID, in view: LogView, _ source: LogRunSource, _ units: UnitReader? = nil
    ) throws -> Seen? {
        guard let live = try view.live(run) else {
            _ = entries.withLock { $0.take(run) }
            return try view.archived(run).map { row throws in try archived(row, view, source) }
        }
        // Taken out, so that it is changed in place.
        var known = entries.withLock { $0.take(run) }
        var events: LogRunCursor?
        if let mark = known?.mark, let position = known?.fold.nextPosition {
            events = try view.events(of: run, behind: mark, at: position, with: units)
        }
        var seen: Seen
        if events != nil, let kept = known.take() {
            seen = kept
        } else {
            let row = try view.archived(run)
            seen = try row.map { row throws in try archived(row, view, source) } ?? Seen()
            events = try view.liveEvents(
                of: run, at: seen.fold.nextPosition, with: units)
        }
        try events?.forEach { epoch, position, body, place in
            try seen.see(run, RunFold.Place(position: position, epoch: epoch), body, place)
            return true
        }
        // Not that of the look before: the log may have got more since, which was read as well.
        seen.mark = events?.liveMark ?? live.mark
        entries.withLock { $0.keep(seen, of: run) }
        return seen
    }

    /// A run as its newest archive knows it.
    private func archived(
        _ row: RunTableRow, _ view: LogView, _ source: LogRunSource
    ) throws -> Seen {
        if let outline = row.outline, outline.canBeResumed {
            let cut = outline.summary.nextPosition
            return Seen(
                fold: ReadFold(resuming: outline),
                past: source.archivedPast(of: row.name, before: cut))
        }
        var seen = Seen()
        // Not by position: one that no runner gives may come again in the live segments.
        var events = try view.archivedEvents(of: row.name)
        while let event = try events.next() { try seen.see(StoredEvent(event)) }
        return seen
    }
}
