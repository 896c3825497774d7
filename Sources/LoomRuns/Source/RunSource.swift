public import LoomFormat
public import LoomLog
public import LoomModel

/// Where runs are read from: the one narrow seam under every read, and under every claim.
///
/// A log answers from its files, a database from its tables, a store in memory from its arrays. The
/// calls are independent of one another, and an answer is of no moment before the call. A run only
/// grows, so whoever bounds its events by the position that a row told sees what the row saw.
///
/// The calls block until the answer is there. What any implementation must do is said by
/// `RunSourceConformance` in LoomTesting.
public protocol RunSource: Sendable {
    /// The newest row of a run; `nil` when there is no such run. Of a run whose events cannot be
    /// read the row says why.
    func row(of run: RunID) throws -> RunRow?

    /// The runs that a filter may let through, in order of the bytes of their names: all that fit,
    /// and others only where the source cannot tell without reading more.
    func heads(_ filter: RunFilter) throws -> any RunHeadCursor

    /// The events of parts of runs, one part of each; never those of a run that was deleted, also
    /// where its name began anew. Those of one run come in order; how the runs
    /// follow one another is the source's choice, so that one pass can serve many.
    func events(_ parts: [RunPart]) throws -> any RunEventCursor

    /// A place from which on the events of a run are to be read to find a counted row: at or before
    /// the event by which the row begins.
    func place(ofRow number: UInt64, of kind: RowKind, in run: RunID) throws -> RowPlace

    /// The calls of a run that have this key, newest first.
    func calls(of key: ToolKey, in run: RunID) throws -> [KeyedCall]

    /// The events of a run, or of all, in the order in which they came in: from the first on, or
    /// from the last `count` of the present ones on.
    ///
    /// - Throws: ``RunReadError/unknownRun(_:)`` where the last ones of a run are asked for that
    ///   has none.
    func tail(of run: RunID?, last count: Int?) throws -> any RunEventTail
}

/// What is known of a run, and who has it now.
public struct RunRow: Hashable, Sendable {
    /// The run.
    public let run: RunID
    /// The fold of its events.
    public let outline: RunOutline
    /// Who holds the run now, in the holder's words; `nil` when nobody does. A run that says
    /// `running` and has no holder is one whose driver died.
    public let holder: String?
    /// Why the run's events cannot be read further than ``outline`` says.
    public let readError: RunReadError?

    /// Creates a row.
    public init(
        run: RunID, outline: RunOutline, holder: String? = nil, readError: RunReadError? = nil
    ) {
        self.run = run
        self.outline = outline
        self.holder = holder
        self.readError = readError
    }

    /// Whether the run says `running` and nobody has it.
    public var isAbandoned: Bool { outline.summary.status == .running && holder == nil }
}

/// What a list knows of a run before it reads its row.
public struct RunHead: Hashable, Sendable {
    /// The run.
    public let run: RunID
    /// When it was created.
    public let created: EventTime
    /// Whether it is known to fit the filter. Of others the row tells.
    public let fits: Bool

    /// Creates a head.
    public init(run: RunID, created: EventTime, fits: Bool) {
        self.run = run
        self.created = created
        self.fits = fits
    }
}

/// Heads of runs, fetched one at a time.
public protocol RunHeadCursor {
    /// Fetches the next head; `nil` after the last one.
    mutating func next() throws -> RunHead?

    /// Tells that from now on only runs are wanted that were created at these times. A source that
    /// finds them no more quickly than others need not heed it.
    mutating func narrow(toCreated times: ClosedRange<EventTime>)

    /// When some of the runs that may fit were created, some in a hundred of them and from all over
    /// the source: tells whoever wants the newest what not to look at. Empty where it costs as much
    /// as to fetch them.
    func sampleOfCreated() -> [EventTime]
}

extension RunHeadCursor {
    /// Goes on as before.
    public mutating func narrow(toCreated times: ClosedRange<EventTime>) {}

    /// None.
    public func sampleOfCreated() -> [EventTime] { [] }
}

/// A call that has a key of its run or of the store.
public struct KeyedCall: Hashable, Sendable {
    /// The position of its start.
    public let start: UInt64
    /// The position of its newest end, where the source knows it without reading the run.
    public let end: UInt64?

    /// Creates a call.
    public init(start: UInt64, end: UInt64? = nil) {
        self.start = start
        self.end = end
    }
}

/// A stretch of the events of a run.
public struct RunPart: Hashable, Sendable {
    /// The run.
    public let run: RunID
    /// Positions in the run. Those that do not exist have no events.
    public let positions: Range<UInt64>

    /// Creates a part; without bounds, of all events that there are.
    public init(_ run: RunID, from first: UInt64 = 0, before end: UInt64 = .max) {
        self.run = run
        positions = min(first, end)..<end
    }
}

/// An event as it is stored.
public struct StoredEvent: Hashable, Sendable {
    /// The run.
    public let run: RunID
    /// Its number in the run, and the epoch of whoever wrote it.
    public let place: RunFold.Place
    /// Its bytes. See `RunEvent`.
    public let body: [UInt8]
    /// Where its unit begins in a log, for whoever looks for damage; `nil` in other sources.
    public let origin: LogPlace?

    /// Creates an event.
    public init(run: RunID, place: RunFold.Place, body: [UInt8], origin: LogPlace? = nil) {
        self.run = run
        self.place = place
        self.body = body
        self.origin = origin
    }
}

/// Events of runs, fetched one at a time.
public protocol RunEventCursor {
    /// Fetches the next event; `nil` after the last one.
    mutating func next() throws -> StoredEvent?
}

/// Events in the order in which they came in, as they come.
public protocol RunEventTail {
    /// The events of the next unit, each with its number among all events; empty for a unit of
    /// other runs, `nil` at the present end. Where the last events were asked for, it is `nil` once
    /// when those are told.
    mutating func next() throws -> [(sequence: UInt64, event: StoredEvent)]?
}

/// A kind of rows that are counted over the life of a run.
public enum RowKind: Hashable, Sendable, CaseIterable {
    /// Steps that led to a state. Begun by the event that commits them.
    case steps
    /// Attempts.
    case attempts
    /// Attempts of steps that are over, but for those of a step that its first attempt ended:
    /// begun, all of a step at once, by the event that ends it.
    case remarkableAttempts
    /// Managed tool calls.
    case toolCalls
}

/// A place in the events of a run.
public struct RowPlace: Hashable, Sendable {
    /// The position of an event.
    public let position: UInt64
    /// How many rows of each kind have begun before it.
    public let counts: [RowKind: UInt64]
    /// The position of an event before it that holds a whole state, from which on states can be
    /// followed.
    public let wholeState: UInt64

    /// Creates a place.
    public init(position: UInt64, counts: [RowKind: UInt64], wholeState: UInt64 = 0) {
        self.position = position
        self.counts = counts
        self.wholeState = wholeState
    }

    /// The first event of a run.
    public static let start = RowPlace(position: 0, counts: [:])
}

// What a source can do that has no index: it reads the run from its start.
extension RunSource {
    /// See ``RunSource/place(ofRow:of:in:)``. Always the run's start: it is right and not fast.
    public func place(ofRow number: UInt64, of kind: RowKind, in run: RunID) throws -> RowPlace {
        .start
    }

    /// See ``RunSource/calls(of:in:)``. Reads all events of the run.
    public func calls(of key: ToolKey, in run: RunID) throws -> [KeyedCall] {
        try calls(of: key, in: RunPart(run))
    }

    /// The calls of a part of a run that have this key, newest first, with their ends in that part.
    func calls(of key: ToolKey, in part: RunPart) throws -> [KeyedCall] {
        try callsAndEnds(of: key, in: part).calls
    }

    /// The same, with the newest ends in that part by the starts of their calls, whatever key those
    /// have and wherever they began.
    func callsAndEnds(
        of key: ToolKey, in part: RunPart
    ) throws -> (calls: [KeyedCall], ends: [UInt64: UInt64]) {
        var events = try events([part])
        var starts: [UInt64] = []
        var ends: [UInt64: UInt64] = [:]
        while let stored = try events.next() {
            switch try stored.event()?.content {
            case .toolStarted(let start) where start.key == key:
                starts.append(stored.place.position)
            case .toolFinished(let finish): ends[finish.start] = stored.place.position
            default: break
            }
        }
        return (starts.reversed().map { KeyedCall(start: $0, end: ends[$0]) }, ends)
    }
}

extension StoredEvent {
    /// The event; `nil` for one of a kind that only a newer version knows.
    ///
    /// - Throws: ``RunReadError`` with the event's place.
    public func event() throws(RunReadError) -> RunEvent? {
        do throws(FormatError) {
            return try RunEvent(decoding: body.rawSpan)
        } catch {
            throw .unreadable(self, error)
        }
    }
}
