internal import LoomFormat
internal import LoomModel

/// Gathers the attempts of a run that its policies show, with what they keep of each.
struct AttemptCollector {
    let policies: PolicyView
    let step: UInt64?
    var window: RowWindow<AttemptRow>
    /// The attempt that began last, until its end is known.
    private var open: AttemptRow?

    init(policies: PolicyView, step: UInt64?, window: RowWindow<AttemptRow>) {
        self.policies = policies
        self.step = step
        self.window = window
    }

    /// Before an event: the state is the one that the open attempt reads.
    mutating func before(_ event: RunEvent, _ track: inout StateTrack) throws {
        switch event.content {
        case .attemptFailed(_, let failure, _):
            try end(.failed, event.time, &track) { $0.failure = failure }
        case .runCompleted(_, let result):
            try end(.completed, event.time, &track) {
                $0.output = result
                $0.isResult = true
            }
        case .stepCommitted: try end(.completed, event.time, &track) { _ in }
        case .paused(.unknownOutcome(_, let cause)):
            try end(.interrupted, event.time, &track) { $0.failure = cause }
        case .attemptStarted, .paused, .resumed, .cancelled:
            try end(.interrupted, event.time, &track) { _ in }
        default: break
        }
        if case .attemptStarted(let id) = event.content {
            open = AttemptRow(id: id, inputHash: nil, started: event.time)
        }
        if let last = lastStep, let step, last > step { throw RunPass.Enough() }
    }

    private var lastStep: UInt64? { open?.id.step }

    /// After a commit: the state is what the attempt led to.
    mutating func after(_ event: RunEvent, _ track: inout StateTrack) throws {
        guard case .stepCommitted(let id, _) = event.content, let index = committed else { return }
        committed = nil
        guard policies.showsState(id.step + 1) else { return }
        let state = try track.materialise()
        window.change(index) { $0.output = state }
    }

    /// At the end of the run: an attempt that runs, or whose end was not recorded.
    mutating func finish(_ track: inout StateTrack) throws {
        guard let row = open else { return }
        open = nil
        try add(row, &track)
    }

    /// The row of the commit that is being applied.
    private var committed: Int?

    private mutating func end(
        _ status: AttemptRow.Status, _ time: EventTime, _ track: inout StateTrack,
        _ change: (inout AttemptRow) -> Void
    ) throws {
        guard var row = open else { return }
        open = nil
        row.status = status
        row.finished = time
        change(&row)
        committed = try add(row, &track)
        if window.isFull && committed == nil { throw RunPass.Enough() }
    }

    @discardableResult
    private mutating func add(_ row: AttemptRow, _ track: inout StateTrack) throws -> Int? {
        if let step, row.id.step != step { return nil }
        let isOrdinary = row.id.attempt == 0 && [.completed, .started].contains(row.status)
        if isOrdinary && !policies.showsOrdinaryAttempt(row.id.step) { return nil }
        return try window.add {
            var row = row
            if policies.showsState(row.id.step) {
                row.inputHash = InputHash.of(state: try track.materialise())
            }
            return row
        }
    }
}
