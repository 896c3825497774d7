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
        self.run = run
        present = PresentEvents(source: source)
        guard let run else {
            let view = try source.index.view()
            pastEnd = view.end
            guard let count else {
                cursor = try source.log.cursor()
                return
            }
            (cursor, skipped) = try Self.start(
                of: UInt64(clamping: max(0, count)), before: view.end, source.log, &present)
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
        of count: UInt64, before end: UInt64, _ log: LogReader, _ present: inout PresentEvents
    ) throws -> (LogCursor, skipped: UInt64) {
        var distance = count
        while true {
            let first = end > distance ? max(1, end - distance) : 1
            var (probe, known) = (try log.cursor(from: first), UInt64(0))
            while probe.position.nextSequence < end, let events = try probe.nextUnit() {
                for event in events where try present.has(event) { known += 1 }
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
        let epoch = try source.deletedEpoch(of: run)
        // Of a name that was used before, positions do not tell how many events there are; nor of
        // a run with events at positions that no runner gives.
        let isPlain = try count != nil && source.row(of: run)?.isPlain == true
        return try source.looking { view in
            guard let count else {
                return (try view.events(of: run, above: epoch), view.end, 0)
            }
            let live = try view.live(run)
            let archived = try view.archived(run)
            guard let end = live?.position ?? archived?.endPosition, end > 0 else {
                throw RunReadError.unknownRun(run)
            }
            let wanted = UInt64(clamping: max(0, count))
            var distance = epoch == nil && isPlain ? wanted : .max
            while true {
                let first = end > distance ? end - distance : 0
                let events = try view.events(of: run, at: first..<UInt64.max, above: epoch)
                var (probe, known, isFound) = (events, UInt64(0), epoch == nil)
                while let event = try probe.next(), event.sequence < view.end {
                    isFound = true
                    if RunEvent.isKnown(event.body.rawSpan) { known += 1 }
                }
                guard isFound else { throw RunReadError.unknownRun(run) }
                if known >= wanted || first == 0 {
                    return (events, view.end, known - min(known, wanted))
                }
                distance = max(distance * 2, 64)
            }
        }
    }

    mutating func next() throws -> [(sequence: UInt64, event: StoredEvent)]? {
        if past != nil {
            if let event = try past?.next(), event.sequence < pastEnd {
                return try take([event])
            }
            past = nil
        }
        if let end, cursor.position.nextSequence >= end {
            self.end = nil
            return nil
        }
        return try cursor.nextUnit(of: run).map { events throws in try take(events) }
    }

    private mutating func take(
        _ events: [LogEvent]
    ) throws -> [(sequence: UInt64, event: StoredEvent)] {
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

extension StoredEvent {
    /// An event of a log.
    package init(_ event: LogEvent) {
        self.init(
            run: event.run, place: .init(position: event.position, epoch: event.epoch),
            body: event.body, origin: LogPlace(segmentID: event.segmentID, offset: event.offset))
    }
}

extension RunRow {
    /// Whether every event of the run is at the position that follows, as far as that is known.
    fileprivate var isPlain: Bool { readError == nil && outline.violations.isEmpty }
}
