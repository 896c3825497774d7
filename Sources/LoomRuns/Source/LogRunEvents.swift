internal import LoomFormat
package import LoomLog
internal import LoomModel

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

/// The events of a log as they come in: those of one run by its index, and what is appended later,
/// or those of all runs, by their sequence.
struct LogTail: RunEventTail {
    /// The past of one run, up to a sequence.
    private var past: LogRunCursor?
    private let pastEnd: UInt64
    /// What comes after that, or all events.
    private var cursor: LogCursor
    private let run: RunID?
    private var present: PresentEvents
    /// Events of the past that were not asked for.
    private var skipped: UInt64 = 0
    /// The present end, as it was when the last events were counted.
    private var end: UInt64?

    init(_ source: LogRunSource, _ run: RunID?, last count: Int?) throws {
<<<<<<< HEAD
        self.run = run
        guard let run else {
            let view = try source.index.view()
            pastEnd = view.end
            guard let count else {
                cursor = try source.log.cursor()
                return
            }
            (cursor, skipped) = try Self.start(
                of: UInt64(clamping: max(0, count)), before: view.end, source.log)
            end = view.end
            return
        }
        let start = try Self.start(of: run, last: count, source)
        (past, pastEnd, skipped) = (start.events, start.end, start.skipped)
        cursor = try source.log.cursor(from: start.end)
        if count != nil { end = start.end }
    }

    /// The last events of all runs: where to begin, and how many to pass over there.
    private static func start(
        of count: UInt64, before end: UInt64, _ log: LogReader
    ) throws -> (LogCursor, skipped: UInt64) {
        var distance = count
        while true {
            let first = end > distance ? max(1, end - distance) : 1
            var (probe, known) = (try log.cursor(from: first), UInt64(0))
            while probe.position.nextSequence < end, let events = try probe.nextUnit() {
                known += UInt64(events.count { RunEvent.isKnown($0.body.rawSpan) })
            }
            // Some may be of kinds that are not shown, or of runs that were deleted.
            if known >= count || first == 1 {
                return (try log.cursor(from: first), known - min(known, count))
            }
            distance = max(distance * 2, 64)
        }
    }

    /// The last events of one run.
    private static func start(
        of run: RunID, last count: Int?, _ source: LogRunSource
    ) throws -> (events: LogRunCursor, end: UInt64, skipped: UInt64) {
        try source.looking { view in
            guard let count else { return (try view.events(of: run), view.end, 0) }
            let live = try view.live(run)
            let archived = try view.archived(run)
            guard let end = live?.position ?? archived?.endPosition, end > 0 else {
                throw RunReadError.unknownRun(run)
            }
            let wanted = UInt64(clamping: max(0, count))
            var distance = wanted
            while true {
                let first = end > distance ? end - distance : 0
                let events = try view.events(of: run, at: first..<UInt64.max)
                var (probe, known) = (events, UInt64(0))
                while let event = try probe.next(), event.sequence < view.end {
                    if RunEvent.isKnown(event.body.rawSpan) { known += 1 }
                }
                if known >= wanted || first == 0 {
                    return (events, view.end, known - min(known, wanted))
                }
                distance = max(distance * 2, 64)
            }
        }
=======
        let log = source.log
        self.run = run
        present = PresentEvents(source: source)
        guard let count else {
            cursor = try log.cursor()
            return
        }
        var tally = EventTally()
        try tally.read(log, run, &present)
        if let run, !tally.isFound { throw RunReadError.unknownRun(run) }
        let (first, skipped) = tally.start(last: UInt64(max(0, count)))
        cursor = try log.cursor(from: first ?? 1)
        (self.skipped, end) = (skipped, tally.end)
>>>>>>> ae48915 (Runs are deleted: event 19, in every read and in archives)
    }

    mutating func next() throws -> [(sequence: UInt64, event: StoredEvent)]? {
        if past != nil {
            if let event = try past?.next(), event.sequence < pastEnd { return take([event]) }
            past = nil
        }
        if let end, cursor.position.nextSequence >= end {
            self.end = nil
            return nil
        }
        return try cursor.nextUnit(of: run).map { take($0) }
    }

    private mutating func take(
        _ events: [LogEvent]
    ) -> [(sequence: UInt64, event: StoredEvent)] {
        var rows: [(UInt64, StoredEvent)] = []
        for stored in events where try present.has(stored) {
            if skipped > 0 {
                skipped -= 1
                continue
            }
            rows.append((stored.sequence, StoredEvent(stored)))
        }
        return rows
    }
}

<<<<<<< HEAD
=======
/// Tells events that a tail gives from those of runs that were deleted by the time it met the first
/// of them.
private struct PresentEvents {
    let source: LogRunSource
    private var deleted: [RunID: UInt64?] = [:]

    private static let runsMax = 65_536

    init(source: LogRunSource) { self.source = source }

    mutating func has(_ event: LogEvent) throws -> Bool {
        try RunEvent.isKnown(event.body.rawSpan) && !isDeleted(event)
    }

    mutating func isDeleted(_ event: LogEvent) throws -> Bool {
        let isAsked = !RunEvent.isDeletion(event.body.rawSpan)
        let epoch: UInt64?
        if isAsked, let known = deleted[event.run] {
            epoch = known
        } else {
            if deleted.count >= Self.runsMax { deleted.removeAll() }
            epoch = try source.deletedEpoch(of: event.run)
            deleted[event.run] = .some(epoch)
        }
        return epoch.map { event.epoch <= $0 } ?? false
    }
}

/// Counts events by segment, so that the last ones can be found again without holding any. The
/// first one's sequence stands for the segment, which may be archived before it is looked for.
private struct EventTally {
    private var segment: UInt64?
    private var counts: [(first: UInt64, count: UInt64)] = []
    private(set) var isFound = false
    private(set) var end: UInt64 = 0

    mutating func read(
        _ log: LogReader, _ run: RunID?, _ present: inout PresentEvents
    ) throws {
        var events = try LogEvents(log, run: run)
        while let event = try events.next() {
            guard try !present.isDeleted(event) else { continue }
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

>>>>>>> ae48915 (Runs are deleted: event 19, in every read and in archives)
extension StoredEvent {
    /// An event of a log.
    package init(_ event: LogEvent) {
        self.init(
            run: event.run, place: .init(position: event.position, epoch: event.epoch),
            body: event.body, origin: LogPlace(segmentID: event.segmentID, offset: event.offset))
    }
}
