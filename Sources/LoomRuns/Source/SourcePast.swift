package import LoomFormat
package import LoomModel

/// The events of a run before a position, as a fold that goes on from an outline looks them up in a
/// source.
package struct SourcePast: RunPast, Sendable {
    private let run: RunID
    /// The position of the first event that the outline does not know.
    private let cut: UInt64
    private let events: @Sendable (RunPart) throws -> any RunEventCursor
    private let calls: @Sendable (ToolKey) throws -> [KeyedCall]

    /// What a source holds of a run before a position.
    package init(_ source: any RunSource, _ run: RunID, before cut: UInt64) {
        self.init(
            run, before: cut, events: { part in try source.events([part]) },
            calls: { key in try source.calls(of: key, in: run) })
    }

    init(
        _ run: RunID, before cut: UInt64,
        events: @escaping @Sendable (RunPart) throws -> any RunEventCursor,
        calls: @escaping @Sendable (ToolKey) throws -> [KeyedCall]
    ) {
        (self.run, self.cut, self.events, self.calls) = (run, cut, events, calls)
    }

    /// See `RunPast.events(_:_:)`.
    package func events(
        _ positions: Range<UInt64>, _ body: (RunEvent, RunFold.Place) -> Bool
    ) throws {
        let end = min(cut, positions.upperBound)
        guard positions.lowerBound < end else { return }
        var events = try events(RunPart(run, from: positions.lowerBound, before: end))
        while let stored = try events.next() {
            guard let event = try stored.event() else { continue }
            guard body(event, stored.place) else { return }
        }
    }

    /// See `RunPast.calls(of:)`.
    package func calls(of key: ToolKey) throws -> [PastCall] {
        try calls(key).filter { $0.start < cut }.map { call in
            PastCall(start: call.start, end: call.end.flatMap { $0 < cut ? $0 : nil })
        }
    }
}
