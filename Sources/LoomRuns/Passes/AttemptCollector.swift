internal import LoomFormat
internal import LoomModel

/// Makes the rows of the attempts of a run that its policies show, with what they keep of each.
struct AttemptCollector: RowCollector {
    private let policies: PolicyView
    private let step: UInt64?
    private var window: RowWindow
    var ready = RowQueue<AttemptRow>()
    /// The attempt that began last, until its end is known.
    private var open: AttemptRow?
    /// The row of the commit that is being applied, when it was asked for.
    private var committed: AttemptRow?
    private var isPast = false

    init(policies: PolicyView, step: UInt64?, window: RowWindow) {
        (self.policies, self.step, self.window) = (policies, step, window)
    }

    var isDone: Bool { committed == nil && (window.isFull || isPast) }

    /// Before an event: the state is the one that the open attempt reads.
    mutating func before(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) throws {
        switch event.content {
        case .attemptFailed(_, let failure, _):
            try end(.failed, event.time, &position) { $0.failure = failure }
        case .runCompleted(_, let result):
            try end(.completed, event.time, &position) {
                $0.output = result
                $0.isResult = true
            }
        case .stepCommitted:
            committed = try ended(.completed, event.time, &position) { _ in }
        case .paused(.unknownOutcome(_, let cause)):
            try end(.interrupted, event.time, &position) { $0.failure = cause }
        case .attemptStarted, .paused, .resumed, .cancelled:
            try end(.interrupted, event.time, &position) { _ in }
        default: break
        }
        if case .attemptStarted(let id) = event.content {
            open = AttemptRow(id: id, inputHash: nil, started: event.time)
            if let step, id.step > step { isPast = true }
        }
    }

    /// After a commit: the state is what the attempt led to.
    mutating func after(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) throws {
        guard var row = committed else { return }
        committed = nil
        if policies.showsState(row.id.step + 1) { row.output = try position.state() }
        ready.append(row)
    }

    /// At the end of the run: an attempt that runs, or whose end was not recorded.
    mutating func finish(_ position: inout RunPosition) throws {
        guard let row = open else { return }
        open = nil
        if let row = try taken(row, &position) { ready.append(row) }
    }

    private mutating func end(
        _ status: AttemptRow.Status, _ time: EventTime, _ position: inout RunPosition,
        _ change: (inout AttemptRow) -> Void
    ) throws {
        if let row = try ended(status, time, &position, change) { ready.append(row) }
    }

    /// The open attempt with its end, when its row was asked for.
    private mutating func ended(
        _ status: AttemptRow.Status, _ time: EventTime, _ position: inout RunPosition,
        _ change: (inout AttemptRow) -> Void
    ) throws -> AttemptRow? {
        guard var row = open else { return nil }
        open = nil
        row.status = status
        row.finished = time
        change(&row)
        return try taken(row, &position)
    }

    private mutating func taken(
        _ row: AttemptRow, _ position: inout RunPosition
    ) throws -> AttemptRow? {
        if let step, row.id.step != step { return nil }
        let isOrdinary = row.id.attempt == 0 && [.completed, .started].contains(row.status)
        if isOrdinary && !policies.showsOrdinaryAttempt(row.id.step) { return nil }
        guard window.takes() else { return nil }
        var row = row
        if policies.showsState(row.id.step) {
            row.inputHash = InputHash.of(state: try position.state())
        }
        return row
    }
}
