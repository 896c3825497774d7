package import LoomFormat
package import LoomModel
package import LoomRunner
internal import LoomRuns

// For tests that write and read events themselves.

extension RunStore {
    /// Appends a unit to a store that does not ask for outlines, and waits for the answer.
    package func commit(_ unit: RecordUnit) async throws(RunStoreError) -> AppendAnswer {
        try await commit(unit) { RunOutline() }
    }

    /// Calls `body` with the events of a run from a position on, in order; with `nil` for one of a
    /// kind that this version does not know.
    package func read(
        _ run: RunID, from position: UInt64,
        _ body: (RunEvent?, RunFold.Place) throws -> Void
    ) async throws {
        var events = try events([RunPart(run, from: position)])
        while let stored = try events.next() { try body(try stored.event(), stored.place) }
    }
}
