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

/// Where a read of one run stands: its fold, and its state when it was asked for.
struct RunPosition {
    let run: RunID
    private(set) var fold: ReadFold
    private var track = StateTrack()
    private let followsStates: Bool

    init(_ run: RunID, keepsValues: Bool, followsStates: Bool) {
        self.run = run
        self.followsStates = followsStates
        fold = ReadFold(keepsValues: keepsValues)
    }

    /// Applies one stored event, and shows it to a visitor.
    mutating func visit(_ stored: StoredEvent, _ visitor: inout some RunVisitor) throws {
        guard let event = try fold.accept(stored) else { return }
        try visitor.before(event, at: stored.place, &self)
        try fold.apply(event, stored)
        if followsStates {
            do throws(FormatError) {
                try track.apply(event)
            } catch {
                throw RunReadError.unreadable(stored, error)
            }
        }
        try visitor.after(event, at: stored.place, &self)
    }

    /// The state that the present step reads.
    mutating func state() throws(RunReadError) -> [UInt8] {
        do {
            return try track.materialise()
        } catch {
            throw .corrupt(run, "its state: \(error)")
        }
    }
}

/// A pass over the events of one run, in order, in constant memory.
struct RunPass {
    private var events: any RunEventCursor
    var position: RunPosition
    /// The position that the pass ends before.
    private var end = UInt64.max

    /// - Parameter end: The position to end before: a second pass sees what the first one saw.
    init(
        _ source: any RunSource, _ run: RunID, before end: UInt64 = .max,
        keepsValues: Bool, followsStates: Bool
    ) throws {
        events = try source.events([RunPart(run, before: end)])
        position = RunPosition(run, keepsValues: keepsValues, followsStates: followsStates)
    }

    /// Applies the run's next event. Returns whether there was one.
    mutating func next(_ visitor: inout some RunVisitor) throws -> Bool {
        guard position.fold.nextPosition < end, let stored = try events.next() else {
            return false
        }
        try position.visit(stored, &visitor)
        return true
    }

    /// Ends the pass before a position.
    mutating func end(before position: UInt64) { end = min(end, position) }

    /// Goes on to the end of the run.
    mutating func readOn() throws {
        var visitor = NoVisitor()
        while try next(&visitor) {}
    }
}
