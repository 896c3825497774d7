package import LoomFormat

/// What a log holds, from its start to the end that it had at one moment.
///
/// - Note: What it says of live segments throws ``LogError`` with code `rewritten` once some of
///   them were archived: then a newer view has to be asked.
package struct LogView: Sendable {
    let index: LogIndex
    let snapshot: LogSnapshot
    /// The sequence behind its last event.
    package let end: UInt64

    /// Tells it from a view of other archives.
    package var generation: UInt64 { snapshot.generation }

    init(_ index: LogIndex, _ snapshot: LogSnapshot, end: UInt64) {
        (self.index, self.snapshot, self.end) = (index, snapshot, end)
    }

    /// What the archives know of a run; `nil` when they have nothing of it. Of a run that was
    /// deleted they know the last epoch.
    package func archived(_ run: RunID) throws(LogError) -> RunTableRow? {
        try index.reading { () throws(LogError) in try snapshot.archives.row(of: run)?.row }
    }

    /// What the live segments hold of a run.
    package struct Live: Hashable, Sendable {
        /// The epoch of its last event.
        package let epoch: UInt64
        /// The position behind its last event.
        package let position: UInt64
        /// Whether an event of theirs may delete the run: they may hold several of its name.
        package let mayBeDeleted: Bool
        /// Tells what was read of the run from what came since, and from another run of the name.
        package let mark: Mark

        /// How far a run was read.
        package struct Mark: Hashable, Sendable {
            let serial: Int
            let unit: Int
        }
    }

    /// What the live segments hold of a run; `nil` when nothing.
    package func live(_ run: RunID) throws(LogError) -> Live? {
        try index.live(run, snapshot).map {
            Live(
                epoch: $0.epoch, position: $0.position, mayBeDeleted: $0.mayBeDeleted,
                mark: .init(serial: $0.serial, unit: $0.units.upperBound))
        }
    }

    /// The runs of which the live segments hold something and whose names begin so, in order.
    package func liveRuns(prefix: String) throws(LogError) -> [RunID] {
        try index.liveRuns(prefix: prefix, snapshot)
    }

    /// The runs in archives that pass a filter, by name.
    package func heads(_ filter: RunHeadFilter) throws(LogError) -> RunHeads {
        try index.reading { () throws(LogError) in
            try RunHeads(snapshot.archives, filter, index)
        }
    }

    /// When runs in archives were created that pass a filter: those of every 32nd leaf of a table,
    /// each as often as it is met.
    package func sampleOfCreated(_ filter: RunHeadFilter) throws(LogError) -> [UInt64] {
        try snapshot.archives.sampleOfCreated(filter, each: 32)
    }

    /// The events of a run at some positions, in order.
    ///
    /// - Parameter epoch: Only events of higher epochs: those of lower ones are of a run of that
    ///   name that was deleted.
    package func events(
        of run: RunID, at positions: Range<UInt64> = 0..<UInt64.max, above epoch: UInt64? = nil
    ) throws(LogError) -> LogRunCursor {
        try LogRunCursor(self, run, positions, above: epoch)
    }

    /// The events of a run in the live segments, behind what was read before; `nil` when that is
    /// not known any more, as it was archived meanwhile.
    ///
    /// - Parameters:
    ///   - position: The position of the first of them.
    ///   - units: Reads them; `nil` for a reader of their own.
    package func events(
        of run: RunID, behind mark: Live.Mark, at position: UInt64, with units: UnitReader? = nil
    ) throws(LogError) -> LogRunCursor? {
        try LogRunCursor(self, run, behind: mark, at: position, units)
    }

    /// Reads units of many runs, one after another.
    package var units: UnitReader { UnitReader(index.log) }

    func archivedEvents(
        of run: RunID, at positions: Range<UInt64>, startingAt start: UInt64? = nil
    ) throws(LogError) -> ArchiveSetEvents {
        try index.reading { () throws(LogError) in
            try snapshot.archives.events(of: run, at: positions, startingAt: start)
        }
    }

    /// All events of a run in archives.
    package func archivedEvents(of run: RunID) throws(LogError) -> LogRunCursor {
        try LogRunCursor(self, archivedOf: run)
    }

    /// All events of a run in the live segments.
    ///
    /// - Parameters:
    ///   - position: The position of the first of them, as archives tell it.
    ///   - units: Reads them; `nil` for a reader of their own.
    package func liveEvents(
        of run: RunID, at position: UInt64, with units: UnitReader? = nil
    ) throws(LogError) -> LogRunCursor {
        try LogRunCursor(self, run, liveAt: position, units)
    }

    /// A place in a run with the counts of its rows before it.
    package struct Place: Hashable, Sendable {
        /// The position.
        package let position: UInt64
        /// The counts before it.
        package let counts: RowCountVector
        /// The position of the last whole state before it, where the index knows one.
        package let wholeState: UInt64?
        /// The row of the part of the run before the one that the place is in.
        package let earlier: RunTableRow?
    }

    /// The last place in an archive that the index knows, of which `isAtOrBefore` holds.
    package func place(
        in run: RunID, _ isAtOrBefore: (RowCountVector) -> Bool
    ) throws(LogError) -> Place? {
        try index.reading { () throws(LogError) in
            try snapshot.archives.place(in: run, isAtOrBefore).map { place throws(LogError) in
                var earlier: RunTableRow?
                if place.wholeState == nil, place.position > 0 {
                    earlier = try snapshot.archives.row(of: run, before: place.index)?.row
                }
                return Place(
                    position: place.position, counts: place.counts,
                    wholeState: place.wholeState, earlier: earlier)
            }
        }
    }

    /// The calls in archives that have a key of this fingerprint, newest first, each with its end
    /// as the newest archive tells it.
    package func calls(of key: KeyFingerprint, in run: RunID) throws(LogError) -> [ArchivedRun.Call]
    {
        try index.reading { () throws(LogError) in try snapshot.archives.calls(of: key, in: run) }
    }
}
