package import LoomFormat
package import LoomLog
internal import LoomModel

/// What archives keep of runs: the fold of their events, as everybody else reads them.
package struct RunIndexer: ArchiveSemantics {
    /// That of ``RunOutline``'s bytes.
    package var summaryVersion: UInt32 { UInt32(RunOutline.version) }

    /// Creates the indexer.
    package init() {}

    /// See ``ArchiveSemantics/begin(_:after:newest:rewriting:)``.
    package func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?, rewriting own: [UInt8]?
    ) throws(LogError) -> any ArchiveSlice {
        try RunSlice(run, after: past, newest: Self.outline(newest), own: Self.outline(own))
    }

    private static func outline(_ summary: [UInt8]?) -> RunOutline? {
        summary.flatMap { try? RunOutline(decoding: $0.rawSpan) }
    }

    /// See ``ArchiveSemantics/leavesOut(_:)``. Of a run without a summary nobody knows.
    package func leavesOut(_ summary: [UInt8]) -> Bool {
        Self.outline(summary)?.hidesStoredBytes ?? true
    }

    /// See ``ArchiveSemantics/letsLeaveOut(_:)``: a creation or a change of the policy that may
    /// hide something, and a deletion.
    package func letsLeaveOut(_ body: RawSpan) -> Bool { RunEvent.hides(body) }

    /// See ``ArchiveSemantics/letsLeaveOut(kind:)``.
    package func letsLeaveOut(kind: UInt8) -> Bool { RunEvent.mayHide(kind: kind) }

    /// See ``ArchiveSemantics/movesWhole(_:newest:)``.
    package func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool {
        if row.flags.contains(.blankingDue) { return false }
        guard let newest = Self.outline(newest) else { return true }
        guard let own = Self.outline(row.summary) else { return false }
        if let deleted = newest.summary.deletedEpoch, own.summary.deletedEpoch ?? 0 < deleted {
            return false
        }
        // Later policies may hide what these do not.
        return !newest.hidesStoredBytes || newest.policies == own.policies
    }

    /// See ``ArchiveSemantics/end(of:)``.
    package func end(of row: RunTableRow) -> ArchivedEnd? {
        guard let outline = Self.outline(row.summary) else { return nil }
        return ArchivedEnd(
            counts: outline.rowCounts,
            wholeState: outline.isBegun ? outline.state.wholeState : nil)
    }
}
