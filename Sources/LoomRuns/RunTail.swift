public import LoomFormat
internal import LoomLog
public import LoomModel

/// Follows the events of a log, of one run or of all, as they are written.
///
/// ```swift
/// var tail = try reader.tail(RunID("demo"))
/// while let rows = try tail.next() { … }      // nil at the present end; call again later
/// ```
public struct RunTail {
    private var cursor: LogCursor
    private let run: RunID?

    /// One event with its place.
    public struct Row: Sendable {
        /// Its number in the log.
        public let sequence: UInt64
        /// The run.
        public let run: RunID
        /// Its number in the run, and the epoch of whoever wrote it.
        public let place: RunFold.Place
        /// The event.
        public let event: RunEvent
    }

    init(_ cursor: LogCursor, run: RunID?) {
        self.cursor = cursor
        self.run = run
    }

    /// The events of the next unit; empty for a unit of other runs, `nil` at the present end.
    public mutating func next() throws -> [Row]? {
        guard let events = try cursor.nextUnit(of: run) else { return nil }
        return try events.compactMap { stored in
            guard let event = try RunEvent(decoding: stored.body.rawSpan) else { return nil }
            return Row(
                sequence: stored.sequence, run: stored.run,
                place: .init(position: stored.position, epoch: stored.epoch), event: event)
        }
    }
}

extension RunReader {
    /// The events of a run, or of all, from the first on.
    public func tail(_ run: RunID? = nil) throws -> RunTail {
        RunTail(try log.cursor(), run: run)
    }
}
