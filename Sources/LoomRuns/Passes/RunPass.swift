internal import LoomFormat
internal import LoomModel

/// Sees the accepted events of a run, each twice: before its change, with the state that the
/// present step reads, and after it.
protocol RunVisitor {
    mutating func before(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition) throws
    mutating func after(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition) throws
}

extension RunVisitor {
    mutating func before(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) {}
    mutating func after(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) {}
}

/// A visitor that wants the position alone.
struct NoVisitor: RunVisitor {}

/// Where a read of one run stands: its step, and its state when it was asked for.
struct RunPosition {
    let run: RunID
    /// Judges every event of a read from the run's start on; what begins behind that reads a run of
    /// which all events were accepted, and judges none.
    private(set) var fold: ReadFold?
    /// The step that comes next.
    private(set) var stepIndex: UInt64
    /// The position of the next event.
    private(set) var nextPosition: UInt64
    private var track = StateTrack()
    private let followsStates: Bool
    /// Whether a visitor has been shown the next event before its change.
    private var isShown = false

    init(_ run: RunID, _ start: RunStart, keepsValues: Bool, followsStates: Bool) {
        (self.run, self.followsStates) = (run, followsStates)
        fold = start.isWholeRun ? ReadFold(keepsValues: keepsValues) : nil
        (stepIndex, nextPosition) = (start.stepIndex, start.position)
    }

    /// Takes an event from before the start, from which on states are followed.
    mutating func followState(_ stored: StoredEvent) throws(RunReadError) {
        if let event = try stored.event() { try follow(event, stored) }
    }

    /// Applies one stored event, and shows it to a visitor.
    mutating func visit(_ stored: StoredEvent, _ visitor: inout some RunVisitor) throws {
        let event = fold == nil ? try stored.event() : try fold?.accept(stored)
        nextPosition = fold?.nextPosition ?? stored.place.position &+ 1
        guard let event else { return }
        if !isShown { try visitor.before(event, at: stored.place, &self) }
        isShown = true
        _ = try fold?.take(event, stored)
        nextPosition = fold?.nextPosition ?? nextPosition
        if case .stepCommitted = event.content { stepIndex &+= 1 }
        if followsStates { try follow(event, stored) }
        isShown = false
        try visitor.after(event, at: stored.place, &self)
    }

    /// Goes on where another has met an event that it could not apply.
    mutating func takeOver(from failed: RunPosition) { isShown = failed.isShown }

    private mutating func follow(
        _ event: RunEvent, _ stored: StoredEvent
    ) throws(RunReadError) {
        do throws(FormatError) {
            try track.apply(event)
        } catch {
            throw .unreadable(stored, error)
        }
    }

    /// The state that the present step reads.
    mutating func state() throws(RunReadError) -> [UInt8] {
        do {
            return try track.present()
        } catch {
            throw .corrupt(run, "its state: \(error)")
        }
    }
}

/// A pass over the events of one run, in order, in constant memory.
///
/// States are stored as differences, and a rewrite leaves out those that policies hide: a pass that
/// has read some from live segments may not be able to apply what follows in an archive. Then it
/// reads the run anew from its creation on, and goes on with the event that it came to.
struct RunPass {
    private var events: any RunEventCursor
    var position: RunPosition
    /// Positions, rows and values as they were when the pass began.
    private let makeEvents: (_ first: UInt64) throws -> any RunEventCursor
    private let makePosition: () -> RunPosition
    private let start: RunStart
    /// How many events from the start on were taken, and at which the pass began anew.
    private var count = 0
    private var restart: Int?
    /// The position that the pass ends before.
    private var end: UInt64

    /// - Parameters:
    ///   - outline: The run as far as it is to be read: a second pass sees what the first one saw.
    ///   - start: Where the pass begins.
    init(
        _ source: any RunSource, _ run: RunID, _ outline: RunOutline, from start: RunStart = .run,
        keepsValues: Bool = false, followsStates: Bool
    ) throws {
        (self.start, end) = (start, outline.summary.nextPosition)
        let first = followsStates ? min(start.wholeState, start.position) : start.position
        // What cannot follow has a position, too: only a fold tells where the run has come to.
        let last = outline.violations.isEmpty ? end : .max
        makeEvents = { try source.events([RunPart(run, from: $0, before: last)]) }
        makePosition = {
            RunPosition(run, start, keepsValues: keepsValues, followsStates: followsStates)
        }
        (events, position) = (try makeEvents(first), makePosition())
    }

    /// Applies the run's next event. Returns whether there was one.
    mutating func next(_ visitor: inout some RunVisitor) throws -> Bool {
        while true {
            do {
                return try apply(&visitor)
            } catch let error as RunReadError {
                // Where the same event fails again, the run is damaged.
                guard restart != count else { throw error }
                try beginAnew()
            }
        }
    }

    private mutating func apply(_ visitor: inout some RunVisitor) throws -> Bool {
        while position.nextPosition < end, let stored = try events.next() {
            if !start.isWholeRun, stored.place.position < start.position {
                try position.followState(stored)
                continue
            }
            try position.visit(stored, &visitor)
            count += 1
            return true
        }
        return false
    }

    /// Reads the run from its creation on, up to the event that could not be applied.
    private mutating func beginAnew() throws {
        let (wanted, failed) = (count, position)
        (events, position, count, restart) = (try makeEvents(0), makePosition(), 0, wanted)
        var visitor = NoVisitor()
        while count < wanted, try apply(&visitor) {}
        position.takeOver(from: failed)
    }

    /// Ends the pass before a position.
    mutating func end(before position: UInt64) { end = min(end, position) }

    /// Goes on to the end of the run.
    mutating func readOn() throws {
        var visitor = NoVisitor()
        while try next(&visitor) {}
    }
}
