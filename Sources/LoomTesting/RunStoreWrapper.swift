package import LoomFormat
package import LoomModel
package import LoomRunner

/// A store over another one, to which it passes everything on that it does not do itself: for
/// stores that fail, forget or remember in tests.
package protocol RunStoreWrapper: RunStore {
    /// The store below.
    var base: any RunStore { get }
}

extension RunStoreWrapper {
    package var writer: String { base.writer }

    package func claim(
        _ run: RunID, holder: String
    ) async throws(RunStoreError) -> RunClaim {
        try await base.claim(run, holder: holder)
    }

    package func append(_ unit: RecordUnit) throws(RunStoreError) -> Appending {
        try base.append(unit)
    }

    package func read(
        _ run: RunID, from position: UInt64,
        _ body: (RunEvent?, RunFold.Place) throws -> Void
    ) async throws { try await base.read(run, from: position, body) }

    package func release(_ run: RunID, epoch: UInt64) async {
        await base.release(run, epoch: epoch)
    }
}
