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
        try visitor.before(event, at: stored.place, &self)
        try fold?.apply(event, stored)
        nextPosition = fold?.nextPosition ?? nextPosition
        if case .stepCommitted = event.content { stepIndex &+= 1 }
        if followsStates { try follow(event, stored) }
        try visitor.after(event, at: stored.place, &self)
    }

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
struct RunPass {
    private var events: any RunEventCursor
    var position: RunPosition
    private let start: RunStart
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
        events = try source.events([RunPart(run, from: first, before: last)])
        position = RunPosition(run, start, keepsValues: keepsValues, followsStates: followsStates)
    }

    /// Applies the run's next event. Returns whether there was one.
    mutating func next(_ visitor: inout some RunVisitor) throws -> Bool {
        while position.nextPosition < end, let stored = try events.next() {
            if !start.isWholeRun, stored.place.position < start.position {
                try position.followState(stored)
                continue
            }
            try position.visit(stored, &visitor)
            return true
        }
        return false
    }

    /// Ends the pass before a position.
    mutating func end(before position: UInt64) { end = min(end, position) }

    /// Goes on to the end of the run.
    mutating func readOn() throws {
        var visitor = NoVisitor()
        while try next(&visitor) {}
    }
}
