public import LoomFormat
public import LoomModel

/// A state of a run: what the step of its index reads.
public struct HistoryRow: Hashable, Sendable {
    /// The step that reads it.
    public let step: UInt64
    /// The state as stored.
    public let state: [UInt8]
}

/// One call of the step function.
public struct AttemptRow: Hashable, Sendable {
    /// How it stands.
    public enum Status: String, Hashable, Sendable {
        /// It runs, or its end was not recorded yet.
        case started
        /// It led to the next state or to the result.
        case completed
        /// It threw.
        case failed
        /// A crash, a cancellation or a pause cut it.
        case interrupted
    }

    /// The step and the try.
    public let id: AttemptID
    /// How it stands.
    public internal(set) var status = Status.started
    /// The identity of the state that it read; `nil` where the policy does not keep that state.
    public internal(set) var inputHash: ContentHash?
    /// When it began.
    public let started: EventTime
    /// When it ended.
    public internal(set) var finished: EventTime?
    /// What it led to: the next state or the result, as stored.
    public internal(set) var output: [UInt8]?
    /// Whether the output is the result of the run.
    public internal(set) var isResult = false
    /// Why it failed.
    public internal(set) var failure: Failure?
}

/// One managed tool call.
public struct ToolCallRow: Hashable, Sendable {
    /// How it stands.
    public enum Status: String, Hashable, Sendable {
        /// It was started, and nobody knows whether it happened.
        case started
        /// It returned.
        case completed
        /// It threw.
        case failed
        /// It is known not to have happened.
        case didNotHappen = "did_not_happen"
    }

    /// Its identity: the position of its start in the run.
    public let position: UInt64
    /// What was asked.
    public let start: ToolStart
    /// When it began.
    public let started: EventTime
    /// How it stands.
    public internal(set) var status = Status.started
    /// When it ended.
    public internal(set) var finished: EventTime?
    /// What it returned, as stored.
    public internal(set) var result: [UInt8]?
    /// Why it failed.
    public internal(set) var failure: Failure?
    /// How often a later attempt was answered from it.
    public internal(set) var reuseCount: UInt64 = 0
}

/// Everything that the events of one run say, as rows: built by one scan, for one answer.
struct RunRows {
    private(set) var fold = RunFold()
    private(set) var history: [HistoryRow] = []
    private(set) var attempts: [AttemptRow] = []
    private(set) var calls: [ToolCallRow] = []
    private(set) var violations: [RunFold.Violation] = []
    private(set) var policies = PolicyView()
    private var track = StateTrack()
    private var finishes: [UInt64: Int] = [:]

    mutating func apply(_ event: RunEvent, at place: RunFold.Place) throws(FormatError) {
        let interrupts = fold.summary.openAttempt
        do throws(RunFold.Violation) {
            try fold.apply(event, at: place)
        } catch {
            violations.append(error)
            return
        }
        try track.apply(event)
        let time = event.time
        switch event.content {
        case .created(let creation):
            policies.change(to: creation.policy, at: 0)
            history.append(HistoryRow(step: 0, state: creation.state))
        case .attemptStarted(let id):
            interrupt(interrupts, time)
            let hash = InputHash.of(state: try track.materialise())
            attempts.append(AttemptRow(id: id, inputHash: hash, started: time))
        case .attemptFailed(_, let failure, _):
            endAttempt(.failed, time) { $0.failure = failure }
        case .stepCommitted(let id, _):
            let state = try track.materialise()
            endAttempt(.completed, time) { $0.output = state }
            history.append(HistoryRow(step: id.step + 1, state: state))
        case .runCompleted(_, let result):
            endAttempt(.completed, time) {
                $0.output = result
                $0.isResult = true
            }
        case .toolStarted(let start):
            calls.append(ToolCallRow(position: place.position, start: start, started: time))
        case .toolFinished(let finish): endCall(finish, time, at: place.position)
        case .toolReused(_, let finish):
            if let index = finishes[finish] { calls[index].reuseCount += 1 }
        case .paused, .resumed, .cancelled: interrupt(interrupts, time)
        case .policyChanged(let policy):
            policies.change(to: policy, at: fold.summary.stepIndex)
        case .snapshot, .failed, .retried, .labelled, .migrated: break
        }
    }

    private mutating func interrupt(_ open: AttemptID?, _ time: EventTime) {
        guard open != nil else { return }
        endAttempt(.interrupted, time) { _ in }
    }

    private mutating func endAttempt(
        _ status: AttemptRow.Status, _ time: EventTime, _ change: (inout AttemptRow) -> Void
    ) {
        guard let last = attempts.indices.last, attempts[last].status == .started else { return }
        attempts[last].status = status
        attempts[last].finished = time
        change(&attempts[last])
    }

    private mutating func endCall(_ finish: ToolFinish, _ time: EventTime, at position: UInt64) {
        guard let index = calls.lastIndex(where: { $0.position == finish.start }) else { return }
        calls[index].finished = time
        finishes[position] = index
        switch finish.outcome {
        case .completed(let result):
            calls[index].status = .completed
            calls[index].result = result
        case .failed(let failure):
            calls[index].status = .failed
            calls[index].failure = failure
        case .didNotHappen: calls[index].status = .didNotHappen
        }
    }

    /// The states that the run's policy shows.
    var shownHistory: [HistoryRow] { history.filter { policies.showsState($0.step) } }

    /// The attempts that the run's policy shows, without what it does not keep of them.
    var shownAttempts: [AttemptRow] {
        attempts.compactMap { row in
            let isOrdinary = row.id.attempt == 0 && [.completed, .started].contains(row.status)
            if isOrdinary && !policies.showsOrdinaryAttempt(row.id.step) { return nil }
            var row = row
            if !policies.showsState(row.id.step) { row.inputHash = nil }
            if !row.isResult && !policies.showsState(row.id.step + 1) { row.output = nil }
            return row
        }
    }

    /// The present state, as stored.
    mutating func state() throws(FormatError) -> [UInt8] { try track.materialise() }
}
