internal import LoomFormat

/// Folds the events of one run, in order of position, into its summary and its open tool calls.
///
/// Pure: no I/O, no clock. The same fold runs while a run is written and when it is read, so that
/// the two cannot disagree. Memory is that of the present step and of the explicit tool keys; it
/// does not grow with the number of steps.
///
/// ```swift
/// var fold = RunFold()
/// for (event, place) in events { try fold.apply(event, at: place) }
/// print(fold.summary.status, fold.summary.stepIndex)
/// ```
public struct RunFold: Sendable {
    /// What is known so far.
    public private(set) var summary = RunSummary()
    /// Tool calls that a resumed attempt may be answered from, or must decide about.
    public internal(set) var calls = ToolCallTable()
    /// The result of a completed run.
    public private(set) var result: [UInt8]?

    /// Creates the fold of no event.
    public init() {}

    /// The fold of the events of an outline, which does not know their values.
    init(resuming outline: RunOutline) {
        summary = outline.summary
        if outline.isBegun { calls.gaps = CallGaps(outline) }
    }

    /// Where an event stands in its run.
    public struct Place: Hashable, Sendable {
        /// Its number in the run.
        public var position: UInt64
        /// The epoch of the holder that wrote it.
        public var epoch: UInt64

        /// Creates a place.
        public init(position: UInt64, epoch: UInt64) {
            self.position = position
            self.epoch = epoch
        }
    }

    /// Why an event cannot follow those before it: the log holds what no runner writes.
    public struct Violation: Error, Hashable, Sendable, CustomStringConvertible {
        /// The event's place.
        public var place: Place
        /// What is wrong.
        public var description: String
    }

    /// Why an event cannot come next, or `nil` when it can.
    public func refusal(of event: RunEvent, at place: Place) -> Violation? {
        refusal(of: event.content, at: place).map { Violation(place: place, description: $0) }
    }

    /// Applies the next event. When it throws, the fold is as it was before.
    public mutating func apply(_ event: RunEvent, at place: Place) throws(Violation) {
        if let violation = refusal(of: event, at: place) { throw violation }
        take(event, at: place)
    }

    /// Applies an event that is not refused.
    mutating func take(_ event: RunEvent, at place: Place) {
        advance(to: place, time: event.time)
        switch event.content {
        case .created(let creation): create(creation, time: event.time)
        case .attemptStarted(let id): start(id)
        case .attemptFailed(_, let failure, _): failAttempt(failure)
        case .toolStarted(let start):
            summary.toolCallCount += 1
            calls.start(start, at: place.position)
        case .toolFinished(let finish):
            calls.finish(finish, at: place.position)
            // What the run waits for is known.
            if case .unknownOutcome(finish.start, _)? = summary.pauseReason {
                summary.pauseReason = .requested("call \(finish.start) is settled")
            }
        case .toolReused: break
        case .stepCommitted: commitStep(at: place.position)
        case .runCompleted(_, let result):
            self.result = result
            calls.endStep()
            end(.completed, at: place.position)
        case .snapshot: break
        case .paused(let reason): pause(reason, at: place.position)
        case .resumed(let holder):
            interruptOpenAttempt()
            summary.holder = holder
            run()
        case .failed(let failure):
            summary.failure = failure
            end(.failed, at: place.position)
        case .cancelled:
            interruptOpenAttempt()
            end(.cancelled, at: place.position)
        case .retried: reopen()
        case .labelled(let labels): label(labels)
        case .policyChanged(let policy): summary.policy = policy
        case .migrated(let version, _): summary.stateVersion = version
        case .toolThrew(let start, let failure): calls.note(failure, of: start, at: place.position)
        case .deleted: delete(at: place)
        case .asked: break
        }
    }

    /// Passes over an event of a kind that this version does not know: its position is taken.
    public mutating func skip(at place: Place) throws(Violation) {
        var reason = refusal(at: place)
        if place.position == 0 { reason = reason ?? "the first event is not a creation" }
        if let reason { throw Violation(place: place, description: reason) }
        summary.nextPosition = place.position + 1
        summary.epoch = place.epoch
    }

    /// Applies an advance: as its events one by one. When it throws, the fold is as it was before.
    public mutating func apply(_ advance: StepAdvance, at place: Place) throws(Violation) {
        guard place.position == summary.nextPosition, place.epoch >= summary.epoch,
            summary.status == .running, summary.openAttempt == advance.attempt
        else {
            // The single events say what is wrong, and change nothing that is kept.
            var copy = self
            for (index, event) in advance.events.enumerated() {
                let place = Place(position: place.position + UInt64(index), epoch: place.epoch)
                try copy.apply(event, at: place)
            }
            self = copy
            return
        }
        commitStep(at: place.position)
        start(advance.next)
        summary.nextPosition += UInt64(advance.eventCount)
        summary.epoch = place.epoch
        summary.updated = advance.time
    }

    /// Whether an attempt can be committed next, or started, without a look at anything else.
    func isNext(_ id: AttemptID, at place: Place, commits: Bool) -> Bool {
        guard place.position == summary.nextPosition, place.epoch >= summary.epoch,
            place.position > 0, summary.status == .running
        else { return false }
        if commits { return id == summary.openAttempt && calls.needOfStepEnd == nil }
        return id.step == summary.stepIndex && id.attempt == summary.nextAttempt
    }

    /// Commits or starts an attempt that is next.
    mutating func takeNext(_ id: AttemptID, at place: Place, time: EventTime, commits: Bool) {
        advance(to: place, time: time)
        if commits { commitStep(at: place.position) } else { start(id) }
    }

    /// As if there had been no event; but the epoch stays, so that old holders stay fenced.
    private mutating func delete(at place: Place) {
        self = RunFold()
        (summary.epoch, summary.deletedEpoch) = (place.epoch, place.epoch)
    }

    private mutating func advance(to place: Place, time: EventTime) {
        summary.nextPosition = place.position + 1
        summary.epoch = place.epoch
        summary.updated = time
    }

    private mutating func create(_ creation: RunCreation, time: EventTime) {
        summary.loop = creation.loop
        summary.stateVersion = creation.stateVersion
        summary.codec = creation.codec
        summary.policy = creation.policy
        summary.payloads = creation.payloads
        summary.created = time
        label(creation.labels)
        run()
    }

    private mutating func label(_ labels: [Label]) {
        for label in labels {
            summary.labels[ByteString(label.name)] = label.value.isEmpty ? nil : label.value
        }
    }

    private mutating func run() {
        summary.status = .running
        summary.pauseReason = nil
    }

    private mutating func start(_ id: AttemptID) {
        interruptOpenAttempt()
        summary.openAttempt = id
        summary.nextAttempt = id.attempt + 1
        summary.attemptCount += 1
        if id.attempt > 0 { summary.retryCount += 1 }
    }

    private mutating func failAttempt(_ failure: Failure) {
        summary.openAttempt = nil
        summary.failuresOfStep += 1
        summary.failedAttemptCount += 1
        summary.lastFailureCategory = failure.category
    }

    /// An attempt that neither failed nor committed was cut: by a crash, a cancellation, a pause.
    private mutating func interruptOpenAttempt() {
        guard summary.openAttempt != nil else { return }
        summary.openAttempt = nil
        summary.interruptionsOfStep += 1
        summary.interruptedAttemptCount += 1
    }

    private mutating func commitStep(at position: UInt64) {
        summary.stepIndex += 1
        summary.stepStart = position + 1
        summary.openAttempt = nil
        summary.nextAttempt = 0
        summary.failuresOfStep = 0
        summary.interruptionsOfStep = 0
        calls.endStep()
    }

    private mutating func pause(_ reason: PauseReason, at position: UInt64) {
        let interruptions = summary.interruptionsOfStep
        interruptOpenAttempt()
        summary.status = .paused
        summary.pauseReason = reason
        switch reason {
        case .unknownOutcome(let call, let cause):
            // Waiting for word of a call is no cut, however often it is looked at again; and what
            // made its outcome unknown stays known.
            summary.interruptionsOfStep = interruptions
            if let cause { calls.note(cause: cause, of: call, at: position) }
            summary.pauseReason = .unknownOutcome(call: call, cause: cause ?? calls.cause(of: call))
        case .interruptedTooOften:
            // Whoever resumes it after that has looked: the count starts again.
            summary.interruptionsOfStep = 0
        case .budget, .requested, .interrupted, .restored: break
        }
    }

    private mutating func end(_ status: RunStatus, at position: UInt64) {
        summary.status = status
        summary.end = position
        summary.openAttempt = nil
        summary.pauseReason = nil
    }

    /// `retry`: open again from the last committed state, with fresh counts of what went wrong.
    private mutating func reopen() {
        summary.status = .paused
        summary.pauseReason = .requested("opened again by retry")
        (summary.failure, summary.end) = (nil, nil)
        summary.failuresOfStep = 0
        summary.interruptionsOfStep = 0
    }
}

extension RunFold {
    /// What has to be looked up before the event can be judged; `nil` for nothing.
    func need(of content: RunEvent.Content) -> CallNeed? {
        if calls.gaps == nil { return nil }
        return switch content {
        case .toolStarted(let start): calls.need(ofKey: start)
        case .toolFinished(let finish):
            isAtRest ? calls.need(ofCall: finish.start) : calls.need(ofOpen: finish.start)
        case .toolReused(_, let finish): calls.need(ofEnd: finish)
        case .toolThrew(let start, _): calls.need(ofOpen: start)
        case .paused(.unknownOutcome(let call, _)): calls.need(ofOpen: call)
        case .stepCommitted, .runCompleted: calls.needOfStepEnd
        default: nil
        }
    }

    /// Why `content` cannot come at `place`, or `nil` when it can: the transition table of a run.
    func refusal(of content: RunEvent.Content, at place: Place) -> String? {
        if let reason = refusal(at: place) { return reason }
        if case .created(let creation) = content {
            return place.position == 0 ? refusal(of: creation.policy) : "created twice"
        }
        guard place.position > 0 else { return "the first event is not a creation" }
        switch content {
        case .created, .labelled, .asked: return nil
        case .policyChanged(let policy): return refusal(of: policy)
        case .toolFinished(let finish): return refusal(of: finish)
        case .retried:
            return summary.status == .failed ? nil : "a run that is \(summary.status) is retried"
        case .deleted:
            return summary.status == .running || summary.status == .paused
                ? "a run that is \(summary.status) is deleted" : nil
        case .resumed, .paused, .cancelled:
            return summary.status.isResumable
                ? nil : "a run that is \(summary.status) goes on or stops"
        case .snapshot(let step, _):
            return step == summary.stepIndex ? nil : "a snapshot of step \(step)"
        default:
            guard summary.status == .running else {
                return "a step of a run that is \(summary.status)"
            }
            return refusalWhileRunning(of: content)
        }
    }

    /// Why a call cannot end so: the tool ends it once, and what was said of it may be said anew by
    /// a person while nobody drives the run; against the tool's word, only by a correction.
    private func refusal(of finish: ToolFinish) -> String? {
        if calls.isOpen(finish.start) {
            return finish.author == .correction
                ? "a correction of the call at \(finish.start), which has no end" : nil
        }
        guard isAtRest, let ended = calls.ended(at: finish.start) else {
            return "no tool call is open at \(finish.start)"
        }
        switch (finish.author, ended.author) {
        case (.person, .tool): return "what the tool ended at \(finish.start) is said anew"
        // Without an author, as earlier versions wrote it, a later end is a person's.
        case (.tool, _), (.person, _), (.correction, _): return nil
        }
    }

    var isAtRest: Bool { summary.status == .paused || summary.status == .failed }

    private func refusal(at place: Place) -> String? {
        guard place.position == summary.nextPosition else {
            return "position \(place.position) where \(summary.nextPosition) was due"
        }
        guard place.epoch >= summary.epoch else {
            return "epoch \(place.epoch) after \(summary.epoch)"
        }
        if let deleted = summary.deletedEpoch, place.epoch <= deleted {
            return "epoch \(place.epoch) of a run that was deleted"
        }
        return nil
    }

    private func refusal(of policy: CheckpointPolicy) -> String? {
        policy.isValid ? nil : "a checkpoint interval of 0"
    }

    private func refusalWhileRunning(of content: RunEvent.Content) -> String? {
        switch content {
        case .attemptStarted(let id):
            guard id.step == summary.stepIndex else { return "an attempt at step \(id.step)" }
            return id.attempt == summary.nextAttempt ? nil : "attempt \(id.attempt) out of turn"
        case .attemptFailed(let id, _, _), .stepCommitted(let id, _), .runCompleted(let id, _):
            return id == summary.openAttempt ? nil : "attempt \(id.attempt) is not open"
        case .toolReused(let id, let finish):
            guard id == summary.openAttempt else { return "attempt \(id.attempt) is not open" }
            return calls.isCompleted(by: finish) ? nil : "no tool call completed at \(finish)"
        case .toolStarted(let start):
            guard start.attempt == summary.openAttempt else { return "a call outside its attempt" }
            return calls.refusal(of: start)
        case .toolThrew(let start, _):
            return calls.isOpen(start) ? nil : "no tool call is open at \(start)"
        case .failed:
            return summary.openAttempt == nil ? nil : "a failure while an attempt is open"
        case .migrated:
            return summary.openAttempt == nil ? nil : "a migration while an attempt is open"
        default: return nil
        }
    }
}
