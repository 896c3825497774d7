package import LoomFormat

/// What the layer above knows of events, as whoever makes an archive needs it. The log knows none
/// of it: to the log an event is a place and bytes, a summary is bytes, a count is a number.
package protocol ArchiveSemantics: Sendable {
    /// Names the version of summaries and counts; a table of another one is as if it were not
    /// there.
    var summaryVersion: UInt32 { get }

    /// Begins the part of a run that one archive will hold.
    func begin(_ run: RunID) -> any ArchiveSlice
}

/// Goes through the events of one run's part of an archive, in order.
package protocol ArchiveSlice {
    /// Takes the next event.
    ///
    /// - Returns: What the block table keeps of the place behind it.
    mutating func take(epoch: UInt64, position: UInt64, _ body: RawSpan) -> ArchiveProgress

    /// What the run table keeps.
    consuming func finish() -> ArchivedRun
}

/// What stands behind an event of an archive: for the block table.
package struct ArchiveProgress: Hashable, Sendable {
    /// Rows of the run up to and with this event, over its whole life.
    package var counts: RowCountVector
    /// Whether the event carries a whole state.
    package var isWholeState: Bool

    /// Creates what is known behind an event.
    package init(counts: RowCountVector = RowCountVector(), isWholeState: Bool = false) {
        self.counts = counts
        self.isWholeState = isWholeState
    }
}
