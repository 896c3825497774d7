internal import LoomFormat
internal import LoomModel

/// Where a pass over a run begins: at its start, or at a place that the source has found.
struct RunStart {
    /// The first event that visitors see.
    var position: UInt64 = 0
    /// The position of an event before it that holds a whole state.
    var wholeState: UInt64 = 0
    /// The step that comes next there.
    var stepIndex: UInt64 = 0
    /// Rows that have begun before it, by kind.
    var counts: [RowKind: UInt64] = [:]

    /// The run's first event.
    static let run = RunStart()

    var isWholeRun: Bool { position == 0 }

    init() {}

    init(_ place: RowPlace) {
        (position, wholeState, counts) = (place.position, place.wholeState, place.counts)
        stepIndex = place.counts[.steps] ?? 0
    }

    func count(of kind: RowKind) -> UInt64 { counts[kind] ?? 0 }
}

/// Finds where a read of some rows may begin.
struct RunSeek {
    let source: any RunSource
    let run: RunID
    let outline: RunOutline

    /// At or before the commit of this number, counted from 0 on: the one that ends the step of
    /// this index.
    func start(atCommit number: UInt64) throws -> RunStart {
        try start(atRow: number, of: .steps)
    }

    /// At or before the event by which a row begins.
    func start(atRow number: UInt64, of kind: RowKind) throws -> RunStart {
        // Where events were passed over, only a fold from the start knows which.
        guard number > 0, outline.violations.isEmpty else { return .run }
        let place = try source.place(ofRow: number, of: kind, in: run)
        return place.position < outline.summary.nextPosition ? RunStart(place) : .run
    }

    /// Behind the commit that ends the step before one, where no attempt is open: so that every
    /// attempt of the step is seen from its start on.
    func start(atStep step: UInt64) throws -> RunStart {
        guard step > 0 else { return .run }
        var start = try start(atCommit: step - 1)
        guard !start.isWholeRun else { return .run }
        var events = try source.events([
            RunPart(run, from: start.position, before: outline.summary.nextPosition)
        ])
        while start.stepIndex < step, let stored = try events.next() {
            start.position = stored.place.position + 1
            switch try stored.event()?.content {
            case .attemptStarted: start.counts[.attempts, default: 0] += 1
            case .toolStarted: start.counts[.toolCalls, default: 0] += 1
            case .stepCommitted(let id, _):
                start.stepIndex += 1
                if id.attempt > 0 {
                    start.counts[.remarkableAttempts, default: 0] += id.attempt + 1
                }
            default: break
            }
        }
        return start
    }
}

extension PolicyView {
    /// The kind of attempts that are shown, where it is the same for all steps.
    var shownAttempts: RowKind? {
        let hides = changes.indices.map { !showsOrdinaryAttempts(ofStretch: $0) }
        if !hides.contains(true) { return .attempts }
        return hides.contains(false) ? nil : .remarkableAttempts
    }
}
