internal import LoomFormat
internal import LoomLog
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

/// Where a read of one run stands: its outline, and its state when it was asked for.
struct RunPosition {
    let run: RunID
    private(set) var outline: RunOutline
    private var track = StateTrack()
    /// The first event of which the state is followed; `.max` where no state is needed.
    private let followsFrom: UInt64

    /// - Parameters:
    ///   - values: See ``RunOutline``.
    ///   - followsFrom: The position of the event with a whole state from which on states are
    ///     followed; `nil` for none.
    init(_ run: RunID, keeping values: RunOutline.Values, followsFrom: UInt64?) {
        self.run = run
        outline = RunOutline(keeping: values)
        self.followsFrom = followsFrom ?? .max
    }

    /// Applies one stored event, and shows it to a visitor.
    mutating func visit(_ stored: LogEvent, _ visitor: inout some RunVisitor) throws {
        do {
            guard let event = try outline.accept(stored) else { return }
            let place = stored.place
            try visitor.before(event, at: place, &self)
            try outline.apply(event, at: place)
            if place.position >= followsFrom { try track.apply(event) }
            try visitor.after(event, at: place, &self)
        } catch let error as FormatError {
            throw RunReadError.unreadable(stored, error)
        }
    }

    /// The state that the present step reads.
    mutating func state() throws(RunReadError) -> [UInt8] {
        do {
            return try track.materialise()
        } catch {
            throw .corrupt(run, "its state: \(error)")
        }
    }

    /// What the run is now.
    mutating func view(
        isAbandoned: Bool, _ readError: RunReadError? = nil
    ) throws(RunReadError) -> RunView {
        let hidesState = outline.summary.status == .completed || readError != nil
        return RunView(
            run: run, summary: outline.summary, state: hidesState ? nil : try state(),
            isInterrupted: isAbandoned, readError: readError)
    }
}

/// A pass over the events of one run, in order, in constant memory.
struct RunPass {
    private let log: LogReader
    private var events: EventCursor
    var position: RunPosition
    /// Where the run's events were: its first segment, and the sequence of the last one.
    private(set) var span: RunSpan?

    init(
        _ log: LogReader, _ run: RunID, over span: RunSpan? = nil,
        keeping values: RunOutline.Values,
        followsStates: Bool
    ) throws(LogError) {
        self.log = log
        events = try EventCursor(
            log, run: run, from: span?.segment, before: span.map { $0.last + 1 } ?? .max)
        position = RunPosition(
            run, keeping: values, followsFrom: followsStates ? 0 : nil)
    }

    /// Applies the run's next event. Returns whether there was one.
    mutating func next(_ visitor: inout some RunVisitor) throws -> Bool {
        guard let stored = try events.next() else { return false }
        span = RunSpan(span, stored)
        try position.visit(stored, &visitor)
        return true
    }

    /// Ends the pass before a sequence.
    mutating func end(before sequence: UInt64) { events.end = min(events.end, sequence) }

    /// The sequence behind everything that was read, of this run and of others.
    var nextSequence: UInt64 { events.nextSequence }

    /// Goes on to the end of the log.
    mutating func readOn() throws {
        var visitor = NoVisitor()
        while try next(&visitor) {}
    }

    /// Goes on to the end of the log, and finds out whether whoever drove the run is gone.
    ///
    /// A process may end the run and then let the log go, between a look at the log and one at the
    /// lock. So the log is looked at again: whoever was gone before that look has written all that
    /// it ever will.
    mutating func readOnAskingTheLock() throws -> Bool {
        try readOn()
        while position.outline.summary.status == .running {
            let epoch = position.outline.summary.epoch
            guard position.outline.isAbandoned(try log.writer()) else { return false }
            try readOn()
            if position.outline.summary.epoch == epoch {
                return position.outline.summary.status == .running
            }
        }
        return false
    }
}

/// The part of the log that holds the events of a run, as far as a pass went.
struct RunSpan: Hashable, Sendable {
    /// The segment of the first event.
    let segment: UInt64
    /// The sequence of the last event.
    let last: UInt64

    init(_ earlier: RunSpan?, _ event: LogEvent) {
        segment = earlier?.segment ?? event.segmentID
        last = event.sequence
    }
}
