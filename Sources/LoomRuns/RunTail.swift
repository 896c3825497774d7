public import LoomFormat
internal import LoomLog
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
    private var cursor: LogCursor
    private let run: RunID?
    /// Events of the past that were not asked for.
    private var skipped: UInt64 = 0
    /// The present end, as it was when those events were counted.
    private var end: UInt64?

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

    fileprivate init(_ log: LogReader, _ run: RunID?, last count: Int) throws {
        var tally = EventTally()
        try tally.read(log, run)
        if let run, !tally.isFound { throw RunReadError.unknownRun(run) }
        let (segment, skipped) = tally.start(last: UInt64(max(0, count)))
        cursor = try log.cursor(fromSegment: segment)
        self.run = run
        (self.skipped, end) = (skipped, tally.end)
    }

    /// The events of the next unit; empty for a unit of other runs, `nil` at the present end.
    ///
    /// - Throws: `LogError`; ``RunReadError/corrupt(_:_:)`` or ``RunReadError/newerVersion(_:_:)``
    ///   for an event that cannot be read. The next call goes on behind its unit.
    public mutating func next() throws -> [Row]? {
        if let end, cursor.position.nextSequence >= end {
            self.end = nil
            return nil
        }
        guard let events = try cursor.nextUnit(of: run) else { return nil }
        var rows: [Row] = []
        for stored in events where RunEvent.isKnown(stored.body.rawSpan) {
            if skipped > 0 {
                skipped -= 1
                continue
            }
            if let row = try Row(stored) { rows.append(row) }
        }
        return rows
    }
}

extension RunTail.Row {
    fileprivate init?(_ stored: LogEvent) throws(RunReadError) {
        do throws(FormatError) {
            guard let event = try RunEvent(decoding: stored.body.rawSpan) else { return nil }
            self.init(
                sequence: stored.sequence, run: stored.run, place: stored.place, event: event)
        } catch {
            throw .unreadable(stored, error)
        }
    }
}

/// Counts events by segment, so that the last ones can be found again without holding any.
private struct EventTally {
    private var counts: [(segment: UInt64, count: UInt64)] = []
    private(set) var isFound = false
    private(set) var end: UInt64 = 0

    mutating func read(_ log: LogReader, _ run: RunID?) throws(LogError) {
        var events = try EventCursor(log, run: run)
        while let event = try events.next() {
            isFound = true
            guard RunEvent.isKnown(event.body.rawSpan) else { continue }
            if counts.last?.segment != event.segmentID { counts.append((event.segmentID, 0)) }
            counts[counts.count - 1].count += 1
        }
        end = events.nextSequence
    }

    /// The segment in which the last `count` events begin, and how many before them it has.
    func start(last count: UInt64) -> (segment: UInt64?, skipped: UInt64) {
        var left = count
        for (segment, found) in counts.reversed() {
            if found >= left { return (segment, found - left) }
            left -= found
        }
        return (nil, 0)
    }
}

extension RunReader {
    /// Follows the events of a run, or of all, from the first on.
    public func tail(_ run: RunID? = nil) throws -> RunTail {
        RunTail(try log.cursor(), run: run)
    }

    /// Follows the events of a run, or of all, from the last `count` of the present ones on.
    ///
    /// Counts the events first, which reads the log once; then it reads on from the segment that
    /// holds the first of them. ``RunTail/next()`` is `nil` first where the counted ones end.
    ///
    /// - Throws: ``RunReadError/unknownRun(_:)`` when the log has no event of the run.
    public func tail(_ run: RunID? = nil, last count: Int) throws -> RunTail {
        try RunTail(log, run, last: count)
    }
}
