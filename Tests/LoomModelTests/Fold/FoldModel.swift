import LoomFormat
import LoomModel

/// A run as the plain array of its events: every answer is found by looking through all of them.
/// Written from the documentation alone, to be compared with `RunFold`.
struct FoldModel {
    /// The accepted events; the kinds stand beside them, as most answers need no more.
    private(set) var events: [RunEvent] = []
    private(set) var kinds: [ContentKind] = []
    private(set) var epoch: UInt64 = 0

    /// What an event meets.
    enum Verdict: Equatable {
        case accepted
        case refused
    }

    /// The epoch of the last run of this name that was deleted.
    private(set) var deletedEpoch: UInt64?

    mutating func append(_ event: RunEvent, at place: RunFold.Place) {
        if case .deleted = event.content {
            (events, kinds, epoch, deletedEpoch) = ([], [], place.epoch, place.epoch)
            return
        }
        events.append(event)
        kinds.append(ContentKind(event.content))
        epoch = place.epoch
    }

    private var positions: Range<Int> { kinds.indices }

    private func last(_ wanted: [ContentKind]) -> Int? { kinds.lastIndex { wanted.contains($0) } }

    private func count(_ wanted: ContentKind) -> UInt64 {
        UInt64(kinds.count { $0 == wanted })
    }

    private func attempt(at index: Int) -> AttemptID? {
        if case .attemptStarted(let id) = events[index].content { id } else { nil }
    }

    func toolStart(at index: Int) -> ToolStart? {
        if case .toolStarted(let start) = events[index].content { start } else { nil }
    }

    private func toolFinish(at index: Int) -> ToolFinish? {
        if case .toolFinished(let finish) = events[index].content { finish } else { nil }
    }
}

// Where the run stands.
extension FoldModel {
    private static let statusKinds: [ContentKind] = [
        .created, .paused, .resumed, .runCompleted, .failed, .cancelled, .retried,
    ]

    var status: RunStatus {
        switch last(Self.statusKinds).map({ kinds[$0] }) {
        case .paused, .retried: .paused
        case .runCompleted: .completed
        case .failed: .failed
        case .cancelled: .cancelled
        default: .running
        }
    }

    var pauseReason: PauseReason? {
        guard let index = last(Self.statusKinds) else { return nil }
        return switch events[index].content {
        case .paused(.unknownOutcome(let call, _)) where isFinished(call, after: index):
            .requested("call \(call) is settled")
        case .paused(.unknownOutcome(let call, let cause)):
            .unknownOutcome(call: call, cause: cause ?? self.cause(of: call, before: index))
        case .paused(let reason): reason
        case .retried: .requested("opened again by retry")
        default: nil
        }
    }

    /// Why the outcome of a call that was open at an event was unknown before: the word of a pause
    /// for it, or else what its body threw.
    private func cause(of call: UInt64, before index: Int) -> Failure? {
        guard isOpen(call, stepEnds: [.stepCommitted, .runCompleted]) else { return nil }
        var (cause, thrown): (Failure?, Failure?)
        for event in events[..<index] {
            switch event.content {
            case .paused(.unknownOutcome(call, let word?)): cause = word
            case .toolThrew(call, let word): thrown = word
            default: break
            }
        }
        return cause ?? thrown
    }

    private func isFinished(_ call: UInt64, after index: Int) -> Bool {
        events[(index + 1)...].contains { event in
            if case .toolFinished(let finish) = event.content {
                finish.start == call
            } else {
                false
            }
        }
    }

    var failure: Failure? {
        guard let index = last([.failed, .retried]) else { return nil }
        if case .failed(let failure) = events[index].content { return failure }
        return nil
    }

    var result: [UInt8]? {
        guard let index = last([.runCompleted]) else { return nil }
        if case .runCompleted(_, let result) = events[index].content { return result }
        return nil
    }

    var labels: [ByteString: String] {
        var labels: [ByteString: String] = [:]
        for index in positions where [.created, .labelled].contains(kinds[index]) {
            let set: [Label] =
                switch events[index].content {
                case .created(let creation): creation.labels
                case .labelled(let labels): labels
                default: []
                }
            for label in set {
                labels[ByteString(label.name)] = label.value == "" ? nil : label.value
            }
        }
        return labels
    }

    var policy: CheckpointPolicy {
        guard let index = last([.created, .policyChanged]) else { return .full }
        return switch events[index].content {
        case .created(let creation): creation.policy
        case .policyChanged(let policy): policy
        default: .full
        }
    }

    var payloads: PayloadPolicy {
        guard !events.isEmpty, case .created(let creation) = events[0].content else {
            return .whole
        }
        return creation.payloads
    }

    var stateVersion: UInt64 {
        guard let index = last([.created, .migrated]) else { return 0 }
        return switch events[index].content {
        case .created(let creation): creation.stateVersion
        case .migrated(let version, _): version
        default: 0
        }
    }

    var holder: String {
        guard let index = last([.resumed]) else { return "" }
        if case .resumed(let holder) = events[index].content { return holder }
        return ""
    }
}

// Steps and attempts.
extension FoldModel {
    private static let attemptEnds: [ContentKind] = [
        .attemptStarted, .attemptFailed, .stepCommitted, .runCompleted, .paused, .resumed,
        .cancelled,
    ]
    /// What cuts an attempt, when it comes before the attempt's own end.
    private static let cuts: [ContentKind] = [.attemptStarted, .paused, .resumed, .cancelled]

    var stepIndex: UInt64 { count(.stepCommitted) }
    var attemptCount: UInt64 { count(.attemptStarted) }
    var failedAttemptCount: UInt64 { count(.attemptFailed) }
    var toolCallCount: UInt64 { count(.toolStarted) }

    var retryCount: UInt64 {
        UInt64(
            positions.count {
                kinds[$0] == .attemptStarted && (attempt(at: $0)?.attempt ?? 0) > 0
            })
    }

    var openAttempt: AttemptID? { last(Self.attemptEnds).flatMap { attempt(at: $0) } }

    /// The index that the next attempt has: as many as the step had.
    var nextAttempt: UInt64 {
        let begin = (last([.stepCommitted]) ?? -1) + 1
        return UInt64(kinds[begin...].count { $0 == .attemptStarted })
    }

    /// The places of the events that cut an attempt.
    private var interruptions: [Int] {
        let ends = positions.filter { Self.attemptEnds.contains(kinds[$0]) }
        return zip(ends, ends.dropFirst()).compactMap { begin, end in
            kinds[begin] == .attemptStarted && Self.cuts.contains(kinds[end]) ? end : nil
        }
    }

    var interruptedAttemptCount: UInt64 { UInt64(interruptions.count) }

    var failuresOfStep: UInt64 {
        let begin = (last([.stepCommitted, .retried]) ?? -1) + 1
        return UInt64(kinds[begin...].count { $0 == .attemptFailed })
    }

    /// Counted anew also from a pause for too many of them: who resumes has looked.
    var interruptionsOfStep: UInt64 {
        let begin = positions.last { index in
            [.stepCommitted, .retried].contains(kinds[index])
                || events[index].content == .paused(.interruptedTooOften)
        }
        return UInt64(
            interruptions.count { index in
                // A pause for word of a call is no cut.
                if case .paused(.unknownOutcome) = events[index].content { return false }
                return index > begin ?? -1
            })
    }

    var lastFailureCategory: FailureCategory? {
        guard let index = last([.attemptFailed]) else { return nil }
        if case .attemptFailed(_, let failure, _) = events[index].content {
            return failure.category
        }
        return nil
    }
}

// Tool calls.
extension FoldModel {
    private static func isSameCall(_ a: ToolStart, _ b: ToolStart) -> Bool {
        guard case .occurrence = a.key else { return a.key == b.key }
        return a.key == b.key && a.name == b.name && a.request == b.request
    }

    /// Whether what is known of a call at `index` still matters: a default key dies with its step.
    private func isAlive(_ start: ToolStart, at index: Int, stepEnds: [ContentKind]) -> Bool {
        guard case .occurrence = start.key else { return true }
        return !kinds[index...].contains { stepEnds.contains($0) }
    }

    /// The start of the last call under the key of `start` that matters.
    private func known(_ start: ToolStart) -> Int? {
        positions.last { index in
            guard kinds[index] == .toolStarted, let other = toolStart(at: index) else {
                return false
            }
            return Self.isSameCall(start, other)
                && isAlive(other, at: index, stepEnds: [.stepCommitted, .runCompleted])
        }
    }

    private func finish(of index: Int) -> (place: Int, outcome: ToolFinish.Outcome)? {
        // The last word holds.
        for later in kinds[index...].indices.reversed() where kinds[later] == .toolFinished {
            if let finish = toolFinish(at: later), finish.start == UInt64(index) {
                return (later, finish.outcome)
            }
        }
        return nil
    }

    private func isOpen(_ position: UInt64, stepEnds: [ContentKind]) -> Bool {
        guard let index = Int(exactly: position), index < kinds.count,
            let start = toolStart(at: index), finish(of: index) == nil
        else { return false }
        let isMadeAgain = kinds[(index + 1)...].indices.contains { later in
            toolStart(at: later).map { Self.isSameCall(start, $0) } ?? false
        }
        return !isMadeAgain && isAlive(start, at: index, stepEnds: stepEnds)
    }

    var openCalls: [UInt64] {
        positions.filter { kinds[$0] == .toolStarted }.map { UInt64($0) }
            .filter { isOpen($0, stepEnds: [.stepCommitted, .runCompleted]) }
    }

    /// What is known under a key, by places in the array.
    enum Lookup: Equatable {
        case none
        case completed(finish: UInt64, result: [UInt8])
        case unknown(ToolStart)
        case mismatch(ToolStart)
    }

    func look(up start: ToolStart) -> Lookup {
        guard let index = known(start), let older = toolStart(at: index) else { return .none }
        guard older.name == start.name, older.request == start.request else {
            return .mismatch(older)
        }
        guard let (place, outcome) = finish(of: index) else { return .unknown(older) }
        guard case .completed(let result) = outcome else { return .none }
        return .completed(finish: UInt64(place), result: result)
    }

    /// The same of a fold, to compare.
    static func lookup(_ start: ToolStart, in fold: RunFold) -> Lookup {
        switch fold.calls.look(up: start) {
        case .none: .none
        case .completed(let call): .completed(finish: call.position, result: call.result)
        case .unknown(let call): .unknown(call.start)
        case .mismatch(let call): .mismatch(call.start)
        }
    }

    /// Whether a call may be started, by what is known under its key.
    fileprivate func verdict(ofStart start: ToolStart) -> Verdict {
        switch look(up: start) {
        case .none: .accepted
        case .unknown(let older): older.safety == .once ? .refused : .accepted
        case .completed, .mismatch: .refused
        }
    }

    fileprivate func verdict(of finish: ToolFinish) -> Verdict {
        let ends: [ContentKind] = [.stepCommitted, .runCompleted]
        if isOpen(finish.start, stepEnds: ends) {
            return finish.author == .correction ? .refused : .accepted
        }
        guard status == .paused || status == .failed, let index = Int(exactly: finish.start),
            index < kinds.count, let start = toolStart(at: index), known(start) == index,
            let author = author(of: index)
        else { return .refused }
        return finish.author == .person && author == .tool ? .refused : .accepted
    }

    /// Whose word the end of a call is: of an end without an author, the tool's if it is the first.
    private func author(of index: Int) -> ToolFinish.Author? {
        let ends = kinds.indices.compactMap { toolFinish(at: $0) }.filter {
            $0.start == UInt64(index)
        }
        guard let last = ends.last else { return nil }
        return ends.count > 1 && last.author == .tool ? .person : last.author
    }

    /// Whether the place is that of an answer that the present step may use.
    func isAnswer(_ position: UInt64) -> Bool {
        guard let index = Int(exactly: position), index < kinds.count,
            let finish = toolFinish(at: index), let start = toolStart(at: Int(finish.start)),
            case .completed(let answer, _) = look(up: start)
        else { return false }
        return answer == position
    }
}

// Acceptance.
extension FoldModel {
    func verdict(of content: RunEvent.Content, at place: RunFold.Place) -> Verdict {
        guard place.position == UInt64(kinds.count), place.epoch >= epoch else { return .refused }
        if let deletedEpoch, place.epoch <= deletedEpoch { return .refused }
        func when(_ isAllowed: Bool, _ verdict: Verdict = .accepted) -> Verdict {
            isAllowed ? verdict : .refused
        }
        if case .created(let creation) = content {
            return when(kinds.isEmpty, creation.policy == .interval(0) ? .refused : .accepted)
        }
        guard !kinds.isEmpty else { return .refused }
        let isRunning = status == .running
        let isResumable = isRunning || status == .paused
        switch content {
        case .created, .labelled, .asked: return .accepted
        case .policyChanged(let policy): return policy == .interval(0) ? .refused : .accepted
        case .snapshot(let step, _): return when(step == stepIndex)
        case .paused, .resumed, .cancelled: return when(isResumable)
        case .retried: return when(status == .failed)
        case .deleted: return when(!isResumable)
        case .failed, .migrated: return when(isRunning && openAttempt == nil)
        case .attemptStarted(let id):
            return when(isRunning && id == AttemptID(step: stepIndex, attempt: nextAttempt))
        case .attemptFailed(let id, _, _), .stepCommitted(let id, _), .runCompleted(let id, _):
            return when(isRunning && id == openAttempt)
        case .toolStarted(let start):
            return when(isRunning && start.attempt == openAttempt, verdict(ofStart: start))
        case .toolFinished(let finish): return verdict(of: finish)
        case .toolThrew(let start, _):
            let ends: [ContentKind] = [.stepCommitted, .runCompleted]
            return when(isRunning && isOpen(start, stepEnds: ends))
        case .toolReused(let id, let finish):
            return when(
                isRunning && id == openAttempt, isAnswer(finish) ? .accepted : .refused)
        }
    }
}
