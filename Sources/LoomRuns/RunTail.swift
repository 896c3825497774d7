public import LoomFormat
public import LoomModel

/// Follows the events of a log, of one run or of all, as they are written.
///
/// ```swift
/// var tail = try reader.tail(RunID("demo"))
/// while let rows = try tail.next() { … }      // nil at the present end; call again later
/// ```
///
/// It holds the events of one commit.
public struct RunTail {
    private var events: any RunEventTail

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

    fileprivate init(_ events: any RunEventTail) { self.events = events }

    /// The events of the next unit; empty for a unit of other runs, `nil` at the present end.
    ///
    /// - Throws: What the source throws; ``RunReadError/corrupt(_:_:)`` or
    ///   ``RunReadError/newerVersion(_:_:)`` for an event that cannot be read. The next call goes
    ///   on behind its unit.
    public mutating func next() throws -> [Row]? {
        guard let unit = try events.next() else { return nil }
        var rows: [Row] = []
        for (sequence, stored) in unit {
            guard let event = try stored.event() else { continue }
            rows.append(
                Row(sequence: sequence, run: stored.run, place: stored.place, event: event))
        }
        return rows
    }
}

extension RunReader {
    /// Follows the events of a run, or of all, from the first on.
    public func tail(_ run: RunID? = nil) throws -> RunTail {
        RunTail(try source.tail(of: run, last: nil))
    }

    /// Follows the events of a run, or of all, from the last `count` of the present ones on.
    ///
    /// In a log this counts the events first, which reads the log once; then it reads on from the
    /// segment that holds the first of them. ``RunTail/next()`` is `nil` first where the counted
    /// ones end.
    ///
    /// - Throws: ``RunReadError/unknownRun(_:)`` when there is no event of the run.
    public func tail(_ run: RunID? = nil, last count: Int) throws -> RunTail {
        RunTail(try source.tail(of: run, last: count))
    }
}
