internal import LoomFormat
package import LoomLog
internal import LoomModel

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

/// The events of parts of runs, one part after the other.
struct LogPartEvents: RunEventCursor {
    private var parts: ArraySlice<RunPart>
    private let open: (RunPart) throws -> LogRunCursor
    private var events: LogRunCursor?

    init(_ parts: [RunPart], _ open: @escaping (RunPart) throws -> LogRunCursor) {
        (self.parts, self.open) = (parts[...], open)
    }

    mutating func next() throws -> StoredEvent? {
        while true {
            if let event = try events?.next() { return StoredEvent(event) }
            guard let part = parts.popFirst() else { return nil }
            events = part.positions.isEmpty ? nil : try open(part)
        }
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
