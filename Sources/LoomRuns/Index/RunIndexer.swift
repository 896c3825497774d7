package import LoomFormat
package import LoomLog
internal import LoomModel

/// What archives keep of runs: the fold of their events, as everybody else reads them.
package struct RunIndexer: ArchiveSemantics {
    /// That of ``RunOutline``'s bytes.
    package var summaryVersion: UInt32 { UInt32(RunOutline.version) }

    /// Creates the indexer.
    package init() {}

    /// See ``ArchiveSemantics/begin(_:after:newest:)``.
    package func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?
    ) throws(LogError) -> any ArchiveSlice {
        try RunSlice(run, after: past)
    }

    /// See ``ArchiveSemantics/movesWhole(_:newest:)``.
    package func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool { true }

    /// See ``ArchiveSemantics/end(of:)``.
    package func end(of row: RunTableRow) -> ArchivedEnd? {
        guard let outline = try? RunOutline(decoding: row.summary.rawSpan) else { return nil }
        return ArchivedEnd(
            counts: outline.rowCounts,
            wholeState: outline.isBegun ? outline.state.wholeState : nil)
    }
}
