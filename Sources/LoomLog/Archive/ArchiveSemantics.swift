package import LoomFormat

/// What the layer above knows of events, as whoever makes an archive needs it. The log knows none
/// of it: to the log an event is a place and bytes, a summary is bytes, a count is a number.
package protocol ArchiveSemantics: Sendable {
    /// Names the version of summaries and counts; a table of another one is as if it were not
    /// there.
    var summaryVersion: UInt32 { get }

    /// Begins the part of a run that one archive will hold.
    ///
    /// - Parameters:
    ///   - past: What older archives hold of the run; `nil` when none has anything of it.
    ///   - newest: The newest summary of the run that newer archives have, which says what may be
    ///     hidden by now; of a part that is the newest, its own summary where that is known. Only
    ///     what is durable.
    ///   - own: The summary behind the part's last event: with it, bytes that no read shows may be
    ///     left out. Tables of later parts may name the whole state that it names: that one stays.
    ///     `nil` where it is not known: then all bytes stay.
    func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?, rewriting own: [UInt8]?
    ) throws(LogError) -> any ArchiveSlice

    /// Whether bytes of a run's events may be left out, or events of it, by a summary of it.
    func leavesOut(_ summary: [UInt8]) -> Bool

    /// Whether an event may let some be left out that stand before it, or in the same part.
    func letsLeaveOut(_ body: RawSpan) -> Bool

    /// Whether some event that begins with this byte does: asked once, where all events are looked
    /// at.
    func letsLeaveOut(kind: UInt8) -> Bool

    /// Whether the stored events of a run's part may be moved as they are: nothing of them is
    /// hidden that is still stored, and the row stays right.
    ///
    /// - Parameters:
    ///   - row: The row of the part.
    ///   - newest: As for ``begin(_:after:newest:rewriting:)``.
    func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool

    /// What stands behind the last event of a run's part, as its row tells it; `nil` where the row
    /// does not tell. Then the part is gone through again.
    func end(of row: RunTableRow) -> ArchivedEnd?
}

extension ArchiveSemantics {
    /// Begins a part of which it is not known what its events say in the end.
    package func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?
    ) throws(LogError) -> any ArchiveSlice {
        try begin(run, after: past, newest: newest, rewriting: nil)
    }

    /// Of a run that is not deleted everything stays.
    package func leavesOut(_ summary: [UInt8]) -> Bool { false }

    /// Only a deletion does.
    package func letsLeaveOut(_ body: RawSpan) -> Bool {
        var reader = ByteReader(body)
        return (try? reader.readUInt8()).map(letsLeaveOut(kind:)) ?? false
    }

    /// Only a deletion does.
    package func letsLeaveOut(kind: UInt8) -> Bool { kind == EventHead.deletion }
}

/// What is known at the end of a run's part of an archive: for the block table.
package struct ArchivedEnd: Hashable, Sendable {
    /// Rows of the run up to there, over its whole life.
    package var counts: RowCountVector
    /// The position of its last event up to there that carries a whole state.
    package var wholeState: UInt64?

    /// Creates what is known.
    package init(counts: RowCountVector, wholeState: UInt64?) {
        self.counts = counts
        self.wholeState = wholeState
    }
}

/// What older archives hold of a run.
package protocol ArchivedPast: Sendable {
    /// The newest row of the run in them. Without a summary, or with one of another version, the
    /// run is to be folded anew from its first event.
    var row: RunTableRow { get }

    /// Calls `body` with the events at these positions, in order, until it returns `false`.
    func events(
        _ positions: Range<UInt64>,
        _ body: (_ epoch: UInt64, _ position: UInt64, RawSpan) throws(LogError) -> Bool
    ) throws(LogError)

    /// The calls that have this key, by their starts, newest first: each once, with its end as the
    /// newest archive that has a row of it tells it. Two keys may have one fingerprint.
    func calls(of key: KeyFingerprint) throws(LogError) -> [ArchivedRun.Call]
}

/// Goes through the events of one run's part of an archive, in order, and says what is stored in
/// their place: as many events at the same positions, with the bytes of those left out that no read
/// shows; or none at all of a run that is deleted.
///
/// Run twice it gives the same bytes.
package protocol ArchiveSlice {
    /// Stores an event, with what the block table keeps of the place behind it.
    typealias Give = (
        _ epoch: UInt64, _ position: UInt64, _ sequence: UInt64, RawSpan, ArchiveProgress
    ) throws(LogError) -> Void

    /// The epoch up to which it leaves events out, as they are of a run that was deleted; `nil`
    /// where it leaves none out, or all.
    var deletedEpoch: UInt64? { get }

    /// Takes the next event; gives those that are decided. It may hold events back until it knows
    /// more, never beyond the commit of the next step.
    mutating func take(
        epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
    ) throws(LogError)

    /// Takes the next event if it is stored as it is and nothing is held back, as nearly every one
    /// is: this costs less than ``take(epoch:position:sequence:_:give:)``.
    ///
    /// - Returns: Whether it carries a whole state. If `nil`, nothing has changed.
    mutating func pass(
        epoch: UInt64, position: UInt64, _ head: EventHead, _ body: RawSpan
    ) -> Bool?

    /// Rows of the run up to the event that was passed last, over its whole life.
    var counts: RowCountVector { get }

    /// Gives what was held back.
    ///
    /// - Returns: What the run table keeps; `nil` where it keeps nothing of the run.
    mutating func finish(give: Give) throws(LogError) -> ArchivedRun?
}

extension ArchiveSlice {
    /// Of a run that was never deleted.
    package var deletedEpoch: UInt64? { nil }

    /// None is passed.
    package mutating func pass(
        epoch: UInt64, position: UInt64, _ head: EventHead, _ body: RawSpan
    ) -> Bool? { nil }

    /// None was passed.
    package var counts: RowCountVector { RowCountVector() }
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
