internal import LoomFormat
internal import LoomStorage

/// The events of one run, in order: from archives, then from live segments.
///
/// What it reads may be archived or merged meanwhile: it goes on in what took its place.
package struct LogRunCursor {
    private let index: LogIndex
    private let run: RunID
    private let positions: Range<UInt64>
    /// The position that the next event has in a run as a runner writes it.
    private var expected: UInt64
    /// Events of this and lower epochs are passed over.
    private let epoch: UInt64?
    private var archived: ArchiveSetEvents?
    private var live: LiveEvents?
    private var isOver = false
    /// The sequence of the last event, and whether every one so far was the next of the run.
    private var last: UInt64 = 0
    private var isDense = true
    /// Whether it goes on by itself where events were archived; if not, it says so.
    private let goesOn: Bool
    /// Looks in a row that did not find what is left.
    private var vainLooks = 0

    private static let vainLooksMax = 100

    /// - Parameter start: The position of the first event that is wanted, where others were read.
    init(
        _ view: LogView, _ run: RunID, _ positions: Range<UInt64>, above epoch: UInt64?,
        startingAt start: UInt64? = nil
    ) throws(LogError) {
        (index, self.run, self.epoch, goesOn) = (view.index, run, epoch, true)
        (expected, self.positions) = (start ?? positions.lowerBound, positions)
        archived = try view.archivedEvents(of: run, at: positions, startingAt: start)
        live = try LiveEvents(view, run, from: expected)
    }

    /// All events in archives.
    init(_ view: LogView, archivedOf run: RunID) throws(LogError) {
        (index, self.run, expected, positions) = (view.index, run, 0, 0..<UInt64.max)
        (epoch, goesOn) = (nil, false)
        archived = try view.archivedEvents(of: run, at: positions)
    }

    /// - Parameter position: The position of the first event behind the mark.
    init?(
        _ view: LogView, _ run: RunID, behind mark: LogView.Live.Mark, at position: UInt64,
        _ units: UnitReader?
    ) throws(LogError) {
        (index, self.run, expected, positions) = (view.index, run, position, 0..<UInt64.max)
        (epoch, goesOn) = (nil, false)
        guard let events = try LiveEvents(view, run, behind: mark, units) else {
            return nil
        }
        live = events
    }

    /// All events in the live segments, the first of which is at a position.
    init(
        _ view: LogView, _ run: RunID, liveAt position: UInt64, _ units: UnitReader?
    ) throws(LogError) {
        (index, self.run, expected, positions) = (view.index, run, position, 0..<UInt64.max)
        (epoch, goesOn) = (nil, false)
        live = try LiveEvents(view, run, from: 0, units)
    }

    /// How far it reads the live part of the run, whatever the log has got since.
    package var liveMark: LogView.Live.Mark? { live?.mark }

    /// Fetches the next event; `nil` behind the last one that was asked for.
    package mutating func next() throws(LogError) -> LogEvent? {
        while !isOver {
            guard let event = try fetch() else { break }
            if event.sequence <= last { continue }
            last = event.sequence
            if let epoch, event.epoch <= epoch { continue }
            if event.position == expected {
                expected &+= 1
            } else if positions.contains(event.position) {
                isDense = false
            }
            if positions.contains(event.position) { return event }
            // As in archives: only where nothing is missing is the rest known to be behind the end.
            if expected >= positions.upperBound { break }
        }
        isOver = true
        return nil
    }

    /// Calls `body` with all events that are left, of which no bytes are copied, until it returns
    /// `false`: for a cursor of the live segments alone.
    package mutating func forEach(
        _ body: (_ epoch: UInt64, _ position: UInt64, RawSpan, LogPlace) throws -> Bool
    ) throws {
        var wantsMore = true
        while wantsMore {
            guard archived == nil, live?.isScan == false else {
                guard let event = try next() else { return }
                let place = LogPlace(segmentID: event.segmentID, offset: event.offset)
                wantsMore = try body(event.epoch, event.position, event.body.rawSpan, place)
                continue
            }
            var failure: (any Error)?
            let step = try live?.eachOfNextUnit { epoch, position, bytes, place in
                guard wantsMore, failure == nil else { return }
                if position == expected { expected &+= 1 }
                do { wantsMore = try body(epoch, position, bytes, place) } catch { failure = error }
            }
            if let failure { throw failure }
            switch step {
            case .unit?: continue
            case nil, .end?: return
            case .gone?: self = try newer()
            }
        }
    }

    private mutating func fetch() throws(LogError) -> LogEvent? {
        if let (event, archive) = try archived?.next() {
            return LogEvent(
                sequence: event.sequence, run: run, epoch: event.epoch, position: event.position,
                body: event.body, segmentID: archive, offset: event.offset)
        }
        archived = nil
        switch try live?.next() {
        case nil: return nil
        case .event(let event):
            vainLooks = 0
            return event
        case .end: return nil
        case .gone:
            // What is left has been archived: a newer look finds it.
            self = try newer()
            return try fetch()
        }
    }
}

extension LogRunCursor {
    /// What is left, as a newer look finds it.
    ///
    /// - Throws: ``LogError`` with code `rewritten` where the cursor does not go on by itself: an
    ///   archive may have left out what deletes the run.
    private func newer() throws(LogError) -> LogRunCursor {
        index.distrust()
        guard goesOn else {
            throw LogError(.rewritten, "the log was rewritten while it was read")
        }
        // Each archive takes a while: what is gone after so many looks is gone for good.
        guard vainLooks < Self.vainLooksMax else {
            throw LogError(
                .corrupt, "a segment that the manifest lists is missing",
                path: index.log.directory.segments)
        }
        // Where an event has a position that no runner gives, positions do not tell what is left.
        // What is left may begin with such a one, too, below the one that is due.
        let start = isDense ? expected : positions.lowerBound
        var rest = try index.withView { view throws(LogError) in
            try LogRunCursor(view, run, positions, above: epoch, startingAt: start)
        }
        (rest.last, rest.isDense, rest.vainLooks) = (last, isDense, vainLooks + 1)
        return rest
    }
}

/// The events of a run in the live segments.
private struct LiveEvents {
    enum Next {
        case event(LogEvent)
        case end
        /// They are not live any more.
        case gone
    }

    private let index: LogIndex
    private let run: RunID
    private let serial: Int
    private var unit: Int
    private let end: Int
    private var places: ArraySlice<LogPlace> = []
    private let reader: UnitReader
    private var ready: ArraySlice<LogEvent> = []
    /// Reads everything up to a sequence, where units hold events of other runs, too.
    private var scan: (cursor: LogCursor, end: UInt64)?
    /// Where the first unit stands that the scan is to give.
    private var first: LogPlace?

    /// `nil` when there are none.
    init?(
        _ view: LogView, _ run: RunID, from position: UInt64, _ units: UnitReader? = nil
    ) throws(LogError) {
        guard let live = try view.index.live(run, view.snapshot),
            let first = try view.index.unit(at: position, of: run, view.snapshot)
        else { return nil }
        try self.init(view, run, live, from: first, units)
    }

    init?(
        _ view: LogView, _ run: RunID, behind mark: LogView.Live.Mark, _ units: UnitReader?
    ) throws(LogError) {
        guard let live = try view.index.live(run, view.snapshot), live.serial == mark.serial,
            mark.unit >= live.units.lowerBound
        else { return nil }
        try self.init(view, run, live, from: mark.unit, units)
    }

    private init(
        _ view: LogView, _ run: RunID, _ live: LogIndex.Live, from unit: Int, _ units: UnitReader?
    ) throws(LogError) {
        (index, self.run, serial) = (view.index, run, live.serial)
        (self.unit, end) = (max(unit, live.units.lowerBound), live.units.upperBound)
        reader = units ?? UnitReader(view.index.log)
        guard live.isMixed else { return }
        let places = try index.places(of: run, serial, from: self.unit, before: end)
        if let place = places?.first {
            first = place
            let start = view.snapshot.firstLiveSequence
            // The same moment as that of the units' end: a view may be older.
            scan = (try view.index.log.cursor(from: start), live.logEnd)
        }
    }

    enum Step {
        /// A unit was gone through.
        case unit
        case end
        case gone
    }

    var isScan: Bool { scan != nil }
    var mark: LogView.Live.Mark { LogView.Live.Mark(serial: serial, unit: end) }

    /// Goes through the next unit without copying anything.
    mutating func eachOfNextUnit(
        _ body: (_ epoch: UInt64, _ position: UInt64, RawSpan, LogPlace) -> Void
    ) throws(LogError) -> Step {
        guard try fetchPlaces() else { return .gone }
        guard let place = places.popFirst() else { return .end }
        do throws(LogError) {
            let isThere = try reader.each(place, of: run) { _, epoch, position, bytes in
                body(epoch, position, bytes, place)
            }
            guard isThere else { throw try lost(place) }
        } catch {
            if error.isMissingFile { return .gone }
            throw error
        }
        return .unit
    }

    /// Fetches the places of the next units. Returns whether they are live still.
    private mutating func fetchPlaces() throws(LogError) -> Bool {
        guard places.isEmpty, unit < end else { return true }
        guard let more = try index.places(of: run, serial, from: unit, before: end) else {
            return false
        }
        places = more[...]
        unit += more.count
        return true
    }

    /// Why a unit is not where it was: its segment was archived, or damaged.
    private func lost(_ place: LogPlace) throws(LogError) -> LogError {
        // Opened before it went, or another file by now.
        let path = index.log.directory.segment(place.segmentID)
        let storage = index.log.storage
        try storing("opening a segment") { () throws(StorageError) in
            try storage.open(path, for: .reading).close()
        }
        return LogError(
            .corrupt, "a unit that was read before is not there any more", path: path,
            offset: place.offset)
    }

    mutating func next() throws(LogError) -> Next {
        while true {
            if let event = ready.popFirst() { return .event(event) }
            if scan != nil {
                guard try scanOn() else { return .end }
                continue
            }
            guard try fetchPlaces() else { return .gone }
            guard let place = places.popFirst() else { return .end }
            var events: [LogEvent] = []
            do throws(LogError) {
                guard try reader.add(place, of: run, to: &events) else { throw try lost(place) }
            } catch {
                if error.isMissingFile { return .gone }
                throw error
            }
            ready = events[...]
        }
    }

    /// Reads the next unit of the scan. Returns whether there was one.
    private mutating func scanOn() throws(LogError) -> Bool {
        guard var cursor = scan?.cursor, let end = scan?.end,
            let events = try cursor.nextUnit(of: run)
        else { return false }
        scan?.cursor = cursor
        let first = first
        ready =
            events.filter { event in
                guard event.sequence < end, let first else { return event.sequence < end }
                return event.segmentID != first.segmentID || event.offset >= first.offset
            }[...]
        return cursor.position.nextSequence <= end
    }
}
