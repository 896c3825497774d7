internal import LoomFormat
package import LoomLog
internal import LoomModel
internal import Synchronization

/// Where the events of runs begin and end in a log, as far as rows were read: later reads begin and
/// end there.
///
/// 56 bytes for each run of the last rows. The index of archives takes its place.
final class RunSegments: Sendable {
    /// The sequences of a run's first event, and of the last event that carries a whole state; how
    /// far its row goes.
    struct Start {
        var first: UInt64
        var wholeState: UInt64
        var wholeStatePosition: UInt64 = 0
        /// The position behind the events of the row, and the sequence of the last one.
        var end: UInt64 = 0
        var lastSequence: UInt64 = 0

        init(_ event: LogEvent) { (first, wholeState) = (event.sequence, event.sequence) }

        /// Takes an event in, when the fold that saw it goes on with `end` and has the whole state
        /// at `position`.
        mutating func see(_ event: LogEvent, end: UInt64, wholeStateAt position: UInt64) {
            if end != self.end { (self.end, lastSequence) = (end, event.sequence) }
            guard position == event.position, position > wholeStatePosition else { return }
            (wholeState, wholeStatePosition) = (event.sequence, position)
        }
    }

    private let starts = Mutex<[RunID: Start]>([:])

    func keep(_ starts: [RunID: Start]) { self.starts.withLock { $0 = starts } }
    func keep(_ start: Start?, of run: RunID) { starts.withLock { $0[run] = start } }

    /// The sequence of the last event that a part can have, where the run's row went as far. A
    /// position does not tell it: what cannot follow and is passed over has one, too.
    func lastSequence(of part: RunPart) -> UInt64? {
        starts.withLock { starts in
            guard let start = starts[part.run], part.positions.upperBound <= start.end else {
                return nil
            }
            return start.lastSequence
        }
    }

    /// The sequence to begin at to find all the parts; `nil` for the first of the log.
    func start(of parts: [RunPart]) -> UInt64? {
        starts.withLock { starts in
            var least: UInt64?
            for part in parts {
                guard let start = starts[part.run] else { return nil }
                let isBehind = part.positions.lowerBound >= start.wholeStatePosition
                least = min(least ?? .max, isBehind ? start.wholeState : start.first)
            }
            return least
        }
    }
}

/// The events of one run of a log, or of all, one at a time, up to its end.
struct LogEvents {
    private var cursor: LogCursor
    private let run: RunID?
    private var unit: [LogEvent] = []
    private var index = 0

    /// - Parameter sequence: The event to begin with; what lies before it is passed over.
    init(_ log: LogReader, run: RunID?, from sequence: UInt64? = nil) throws(LogError) {
        cursor = try log.cursor(from: sequence ?? 1)
        self.run = run
    }

    /// The sequence behind everything that was read.
    var nextSequence: UInt64 { cursor.position.nextSequence }

    /// The next event, or `nil` at the end; called again at the present end of the log, it returns
    /// what was written in the meantime.
    mutating func next() throws(LogError) -> LogEvent? {
        while true {
            if index < unit.count {
                defer { index += 1 }
                return unit[index]
            }
            guard let next = try cursor.nextUnit(of: run) else { return nil }
            (unit, index) = (next, 0)
        }
    }
}

/// The events of parts of runs: one pass over the log, which ends with the last event of any row
/// that goes as far as its part, else with the log.
struct LogPartEvents: RunEventCursor {
    private var events: LogEvents
    /// What is still to come of each run, and the sequence that it ends with.
    private var left: [RunID: (positions: Range<UInt64>, last: UInt64)]

    init(_ log: LogReader, _ parts: [RunPart], _ segments: RunSegments) throws(LogError) {
        left = [:]
        for part in parts where !part.positions.isEmpty {
            left[part.run] = (part.positions, segments.lastSequence(of: part) ?? .max)
        }
        events = try LogEvents(
            log, run: left.count == 1 ? left.keys.first : nil, from: segments.start(of: parts))
    }

    mutating func next() throws -> StoredEvent? {
        while !left.isEmpty, let event = try events.next() {
            guard let (positions, last) = left[event.run] else { continue }
            if event.sequence >= last { left[event.run] = nil }
            guard positions.contains(event.position) else { continue }
            return StoredEvent(event)
        }
        return nil
    }
}

/// The events of a log as they come in.
struct LogTail: RunEventTail {
    private var cursor: LogCursor
    private let run: RunID?
    /// Events of the past that were not asked for.
    private var skipped: UInt64 = 0
    /// The present end, as it was when those events were counted.
    private var end: UInt64?

    init(_ log: LogReader, _ run: RunID?, last count: Int?) throws {
        self.run = run
        guard let count else {
            cursor = try log.cursor()
            return
        }
        var tally = EventTally()
        try tally.read(log, run)
        if let run, !tally.isFound { throw RunReadError.unknownRun(run) }
        let (first, skipped) = tally.start(last: UInt64(max(0, count)))
        cursor = try log.cursor(from: first ?? 1)
        (self.skipped, end) = (skipped, tally.end)
    }

    mutating func next() throws -> [(sequence: UInt64, event: StoredEvent)]? {
        if let end, cursor.position.nextSequence >= end {
            self.end = nil
            return nil
        }
        guard let events = try cursor.nextUnit(of: run) else { return nil }
        var rows: [(UInt64, StoredEvent)] = []
        for stored in events where RunEvent.isKnown(stored.body.rawSpan) {
            if skipped > 0 {
                skipped -= 1
                continue
            }
            rows.append((stored.sequence, StoredEvent(stored)))
        }
        return rows
    }
}

/// Counts events by segment, so that the last ones can be found again without holding any. The
/// first one's sequence stands for the segment, which may be archived before it is looked for.
private struct EventTally {
    private var segment: UInt64?
    private var counts: [(first: UInt64, count: UInt64)] = []
    private(set) var isFound = false
    private(set) var end: UInt64 = 0

    mutating func read(_ log: LogReader, _ run: RunID?) throws(LogError) {
        var events = try LogEvents(log, run: run)
        while let event = try events.next() {
            isFound = true
            guard RunEvent.isKnown(event.body.rawSpan) else { continue }
            if segment != event.segmentID {
                segment = event.segmentID
                counts.append((event.sequence, 0))
            }
            counts[counts.count - 1].count += 1
        }
        end = events.nextSequence
    }

    /// An event from which on there are the last `count` ones, and how many before them.
    func start(last count: UInt64) -> (first: UInt64?, skipped: UInt64) {
        var left = count
        for (first, found) in counts.reversed() {
            if found >= left { return (first, found - left) }
            left -= found
        }
        return (nil, 0)
    }
}

extension StoredEvent {
    /// An event of a log.
    package init(_ event: LogEvent) {
        self.init(
            run: event.run, place: .init(position: event.position, epoch: event.epoch),
            body: event.body, origin: LogPlace(segmentID: event.segmentID, offset: event.offset))
    }
}
