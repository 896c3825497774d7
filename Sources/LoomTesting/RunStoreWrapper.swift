package import LoomFormat
package import LoomModel
package import LoomRunner
package import LoomRuns

/// A store over another one, to which it passes everything on that it does not do itself: for
/// stores that fail, forget or remember in tests.
package protocol RunStoreWrapper: RunStore {
    /// The store below.
    var base: any RunStore { get }
}

extension RunStoreWrapper {
    package var writer: String { base.writer }
    package var desk: RequestDesk? { base.desk }

    package func claim(
        _ run: RunID, holder: String
    ) async throws(RunStoreError) -> RunClaim {
        try await base.claim(run, holder: holder)
    }

    package func append(
        _ unit: RecordUnit, outline: () -> RunOutline
    ) throws(RunStoreError) -> Appending {
        try base.append(unit, outline: outline)
    }

    package func release(_ run: RunID, epoch: UInt64) async {
        await base.release(run, epoch: epoch)
    }
}

extension RunStoreWrapper {
    package func row(of run: RunID) throws -> RunRow? { try base.row(of: run) }
    package func heads(_ filter: RunFilter) throws -> any RunHeadCursor { try base.heads(filter) }
    package func events(_ parts: [RunPart]) throws -> any RunEventCursor { try base.events(parts) }

    package func place(
        ofRow number: UInt64, of kind: RowKind, in run: RunID
    ) throws -> RowPlace { try base.place(ofRow: number, of: kind, in: run) }

    package func calls(of key: ToolKey, in run: RunID) throws -> [KeyedCall] {
        try base.calls(of: key, in: run)
    }

    package func tail(of run: RunID?, last count: Int?) throws -> any RunEventTail {
        try base.tail(of: run, last: count)
    }
}
