import LoomFormat
import LoomModel
import LoomTesting

@testable import LoomRuns

/// Deals the events of a run at random, as a runner and people may write them: with states whose
/// deltas fit, tool calls of every key, retries, corrections, migrations and changes of policy.
struct RandomRun {
    /// What a run may have that no runner of this version writes.
    struct Oddities: OptionSet {
        let rawValue: Int
        static let strayEvents = Oddities(rawValue: 1)
        static let unknownKinds = Oddities(rawValue: 2)
        static let extraSnapshots = Oddities(rawValue: 4)
        /// States so large that an archive has many blocks of the run.
        static let largeStates = Oddities(rawValue: 8)
        /// Deltas that do not fit the state: the run cannot be read any further.
        static let unreadable = Oddities(rawValue: 16)
    }

    var random: SeededGenerator
    let run: RunID
    private(set) var events: [StoredEvent] = []
    private var fold = OutlineFold()
    private var track = StateTrack()
    private var time: UInt64 = 1_000_000
    private var epoch: UInt64 = 1
    private let oddities: Oddities
    private let loop: String
    /// Starts and ends of calls so far.
    private var starts: [UInt64] = []
    private var ends: [UInt64] = []

    init(
        _ name: String, seed: UInt64, count: Int, oddities: Oddities = [], loop: String = "dealt"
    ) throws {
        random = SeededGenerator(seed)
        run = try RunID(name)
        (self.oddities, self.loop) = (oddities, loop)
        var tries = 0
        while events.count < count, tries < count * 20 {
            tries += 1
            deal()
        }
    }

    var outline: RunOutline { fold.outline }
    private var summary: RunSummary { fold.summary }

    mutating func chance(_ outOf: Int) -> Bool { Int.random(in: 0..<outOf, using: &random) == 0 }

    private mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &random)]
    }

    /// Appends an event if it can come next.
    @discardableResult
    mutating func add(_ content: RunEvent.Content) -> Bool {
        if chance(3) { time += UInt64.random(in: 0...5000, using: &random) }
        let place = RunFold.Place(position: summary.nextPosition, epoch: epoch)
        let event = RunEvent(time: EventTime(microseconds: time), content)
        guard (try? fold.apply(event, at: place)) != nil else { return false }
        events.append(StoredEvent(run: run, place: place, body: event.encoded()))
        switch content {
        case .toolStarted: starts.append(place.position)
        case .toolFinished: ends.append(place.position)
        default: break
        }
        return true
    }

    private mutating func deal() {
        if fold.nextPosition == 0 {
            let state = nextState()
            track = StateTrack(initial: state)
            add(
                .created(
                    RunCreation(
                        loop: loop, policy: policy(),
                        labels: [Label(name: "team", value: run.rawValue)], state: state)))
            add(.resumed(holder: "h"))
            return
        }
        if oddities.contains(.strayEvents), chance(60) { return addStray() }
        if oddities.contains(.unknownKinds), chance(40) { return addUnknown() }
        if oddities.contains(.unreadable), chance(50) { return addUnreadable() }
        if chance(40) { add(.policyChanged(policy())) }
        if chance(60) { add(.labelled([Label(name: pick(["a", "b"]), value: pick(["", "1"]))])) }
        if oddities.contains(.extraSnapshots), chance(15) {
            add(.snapshot(step: summary.stepIndex, state: track.bytes))
        }
        switch summary.status {
        case .running where summary.openAttempt == nil: dealBetweenAttempts()
        case .running: dealInAttempt()
        case .paused, .failed: dealAtRest()
        case .completed, .cancelled: if chance(3) { add(.policyChanged(policy())) }
        }
    }

    private mutating func dealBetweenAttempts() {
        switch Int.random(in: 0..<40, using: &random) {
        case 0: add(.failed(failure()))
        case 1: add(.paused(.budget))
        case 2:
            let state = nextState()
            if add(.migrated(stateVersion: summary.stateVersion + 1, state: state)) {
                track = StateTrack(initial: state)
            }
        case 3 where chance(4): add(.cancelled(reason: "enough"))
        default:
            add(.attemptStarted(AttemptID(step: summary.stepIndex, attempt: summary.nextAttempt)))
        }
    }

    private mutating func dealInAttempt() {
        guard let open = summary.openAttempt else { return }
        switch Int.random(in: 0..<80, using: &random) {
        case 0..<12: add(.toolStarted(start(open)))
        case 12..<26: endCall(by: .tool)
        case 26..<29: if !ends.isEmpty { add(.toolReused(open, finish: pick(ends))) }
        case 29..<31: if !starts.isEmpty { add(.toolThrew(start: pick(starts), failure())) }
        case 31..<36: add(.attemptFailed(open, failure(), chance(3) ? .fail : .retry(delay: 5)))
        case 36..<38: pause()
        case 38..<40:
            epoch += 1
            add(.resumed(holder: "h\(epoch)"))
        case 40 where chance(3): add(.runCompleted(open, result: nextState()))
        default: commit(open)
        }
    }

    private mutating func dealAtRest() {
        switch Int.random(in: 0..<12, using: &random) {
        case 0..<3: endCall(by: pick([.tool, .person, .correction]))
        case 3 where chance(6): add(.cancelled(reason: "enough"))
        case 4: pause()
        default:
            if summary.status == .failed {
                if chance(3) { add(.retried) }
            } else {
                epoch += 1
                add(.resumed(holder: "h\(epoch)"))
            }
        }
    }

    private mutating func commit(_ open: AttemptID) {
        let next = nextState()
        var copy = track
        let change = copy.commit(next, pauses: false)
        guard add(.stepCommitted(open, delta: change.delta)) else { return }
        track = copy
        if let state = change.snapshot { add(.snapshot(step: summary.stepIndex, state: state)) }
        // What every step of a run that goes on begins with.
        if !chance(8) { add(.attemptStarted(AttemptID(step: summary.stepIndex, attempt: 0))) }
    }

    private mutating func nextState() -> [UInt8] {
        var text = track.bytes.count < 40 ? Array("{\"log\":\"\"}".utf8) : track.bytes
        if chance(12) { text = Array("{\"log\":\"anew\"}".utf8) }
        var size = chance(20) ? 700 : Int.random(in: 0..<30, using: &random)
        if oddities.contains(.largeStates), chance(2) { size += 4000 }
        let words = (0..<size).map { _ in UInt8.random(in: 97...122, using: &random) }
        let place = chance(3) ? 2 : min(text.count, 8) / 2 + 2
        text.insert(contentsOf: words, at: text.count - place)
        return text
    }

    private mutating func start(_ attempt: AttemptID) -> ToolStart {
        let key: ToolKey = pick([
            .explicit("a"), .explicit("b"), .explicit("\(summary.stepIndex)"), .shared("a"),
            .occurrence(0), .occurrence(1),
        ])
        return ToolStart(
            attempt: attempt, name: "tool", safety: pick([.once, .idempotent, .pure]), key: key,
            request: chance(4) ? [0x31] : [0x32])
    }

    private mutating func endCall(by author: ToolFinish.Author) {
        let open = fold.fold.calls.unfinishedPositions
        let calls = open.isEmpty || chance(4) ? starts : open
        guard !calls.isEmpty else { return }
        let outcome: ToolFinish.Outcome = pick([
            .completed(result: Array("\(time)".utf8)), .failed(failure()), .didNotHappen,
        ])
        add(.toolFinished(ToolFinish(start: pick(calls), outcome: outcome, by: author)))
    }

    private mutating func pause() {
        let call = fold.fold.calls.unfinishedPositions.first
        let cause = chance(2) ? nil : failure()
        add(
            .paused(
                pick([
                    .interrupted, .requested("r"), .interruptedTooOften,
                    call.map { .unknownOutcome(call: $0, cause: cause) } ?? .budget,
                ])))
    }

    private mutating func policy() -> CheckpointPolicy {
        pick([.full, .full, .interval(2), .interval(7), .interval(1000), .compact])
    }

    private mutating func failure() -> Failure {
        Failure(message: "E\(time)", category: pick(FailureCategory.allCases), isRetryable: true)
    }

    /// An event that cannot follow: it is passed over.
    private mutating func addStray() {
        let place = RunFold.Place(
            position: chance(4)
                ? 0 : UInt64.random(in: 0...(summary.nextPosition + 9), using: &random),
            epoch: UInt64.random(in: 0...epoch, using: &random))
        let content: RunEvent.Content = pick([
            .retried, .stepCommitted(AttemptID(step: 7, attempt: 9), delta: []),
            .toolFinished(ToolFinish(start: 1, outcome: .didNotHappen)),
        ])
        let event = RunEvent(time: EventTime(microseconds: time), content)
        guard let violation = fold.refusal(of: event, at: place) else { return }
        fold.note(violation)
        events.append(StoredEvent(run: run, place: place, body: event.encoded()))
    }

    private mutating func addUnknown() {
        let place = RunFold.Place(position: summary.nextPosition, epoch: epoch)
        guard (try? fold.skip(at: place)) != nil else { return }
        events.append(StoredEvent(run: run, place: place, body: [200, 1, 2]))
    }

    /// What ends every read of the run; what follows is as if it had not been there.
    private mutating func addUnreadable() {
        let bodies: [[UInt8]] = [
            [1, 2, 3], [],
            RunEvent(
                time: EventTime(microseconds: time),
                .stepCommitted(
                    AttemptID(step: summary.stepIndex, attempt: summary.openAttempt?.attempt ?? 0),
                    delta: StateDelta.encode(from: [0x30], to: [0x31]))
            ).encoded(),
        ]
        let place = RunFold.Place(position: summary.nextPosition, epoch: epoch)
        events.append(StoredEvent(run: run, place: place, body: pick(bodies)))
    }
}
