import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// What two reviewers broke: each test failed before its fix.
@Suite struct EdgeTests {
    private let run: RunID
    private var options: RunnerOptions {
        var options = RunnerOptions()
        options.clock = VirtualRunClock()
        return options
    }

    init() throws { run = try RunID("demo") }

    /// A word of the other side trapped the process, at each resume again.
    @Test("durations without end are waited for, not trapped on")
    func longDurations() async throws {
        let failures = Mutex(0)
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (state: Int, _) async throws -> Outcome<Int, Int> in
            guard
                failures.withLock({
                    $0 += 1; return $0
                }) > 1
            else {
                throw StepFailure(
                    "busy", category: .transient, retryAfter: .seconds(100_000_000_000_000))
            }
            return .complete(1)
        }
        #expect(try await runner.start(run, state: 0).status == .completed)
        var options = options
        options.clock = SystemRunClock()
        options.attemptTimeout = .seconds(Int64.max)
        let timed = Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, _) async throws -> Outcome<Int, Int> in .complete(1)
        }
        #expect(try await timed.start(run, state: 0).status == .completed)
        let policy = RetryPolicy(
            attemptsMax: 100, delay: .seconds(1 << 60), delayMax: .seconds(30))
        let failure = Failure(message: "x", category: .transient, isRetryable: true)
        let decision = policy.decision(after: failure, count: 90, retryAfter: nil, random: 0)
        #expect(decision == .retry(delay: 30_000_000))
    }

    private struct JSONLoop: StepLoop {
        let name = "json"
        let next: @Sendable (JSONValue) -> JSONValue
        var stateCodec: ValueCodec<JSONValue> { .anyJSON }

        func step(
            _ state: JSONValue, _ context: StepContext
        ) async throws -> Outcome<JSONValue, Int> { .continue(next(state)) }
    }

    /// It was committed, and the run could never be read again.
    @Test("JSON that could not be read again fails its step", arguments: [true, false])
    func unreadableJSON(isDeep: Bool) async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let loop = JSONLoop { isDeep ? .array([$0]) : .object(["mean": .double(.nan)]) }
        let runner = Runner(loop, store: store, options: options)
        let result = try await runner.start(run, state: .null, stepsMax: 600)
        #expect(result.status == .failed)
        #expect(result.stepIndex == (isDeep ? 512 : 0))
        try await runner.retry(run)
        #expect(try await runner.resume(run, stepsMax: 1).status == .failed)
        try store.close()
    }

    /// The run was told to be damaged, and left as running.
    @Test("a call that outlives its step has no place in the log, and harms nobody")
    func strayCalls() async throws {
        let gate = AsyncStream.makeStream(of: Void.self)
        let (said, says) = AsyncStream.makeStream(of: (any Error)?.self)
        let tool = Tool<Int, Int>("t", safety: .pure) { number, _ in
            if number == 1 { for await _ in gate.stream {} }
            return number
        }
        let log = try TemporaryLog()
        let store = try log.open()
        let runner = Runner("l", store: store, options: options) {
            (state: Int, context) async throws -> Outcome<Int, Int> in
            switch state {
            case 0:
                // One that ends too late, and one that begins too late.
                let (begun, begins) = AsyncStream.makeStream(of: Void.self)
                Task {
                    begins.finish()
                    do {
                        _ = try await context.call(tool, 1)
                        _ = says.yield(nil)
                    } catch { _ = says.yield(error) }
                    do {
                        _ = try await context.call(tool, 2)
                        _ = says.yield(nil)
                    } catch { _ = says.yield(error) }
                    says.finish()
                }
                for await _ in begun {}
                for _ in 0..<100 { await Task.yield() }
            case 1:
                gate.continuation.finish()
                for await error in said {
                    guard case .stepIsOver? = error as? RunnerError else {
                        Issue.record("\(error as Any)")
                        continue
                    }
                }
            default: break
            }
            return state == 5 ? .complete(5) : .continue(state + 1)
        }
        #expect(try await runner.start(run, state: 0).status == .completed)
        #expect(try log.reader().verify(run).isValid)
        try store.close()
    }

    /// It was taken for an error of the run's own store, and the run was left as running.
    @Test("what a run of a run throws is a failure of the step")
    func nested() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let child = try RunID("child")
        let inner = Runner("inner", store: store, options: options) {
            (state: Int, _) async throws -> Outcome<Int, Int> in .complete(state)
        }
        let outer = Runner("outer", store: store, options: options) {
            (state: Int, _) async throws -> Outcome<Int, Int> in
            _ = try await inner.start(child, state: 1)
            return .continue(state + 1)
        }
        let result = try await outer.start(run, state: 0)
        #expect(result.status == .failed && result.stepIndex == 1)
        #expect(try log.reader().get(run).status == "failed")
        try store.close()
    }

    /// It was paused before its first attempt.
    @Test("a policy without interruptions makes the first attempt")
    func noInterruptions() async throws {
        var options = options
        options.retry.interruptionsMax = 0
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, _) async throws -> Outcome<Int, Int> in .complete(1)
        }
        #expect(try await runner.start(run, state: 0).status == .completed)
    }

    // MARK: Calls that must not happen twice

    private func brokenCharge(_ made: Counter) -> Tool<Int, Int> {
        Tool("charge", safety: .once) { _, _ in
            made.add()
            throw StepFailure("the connection broke", category: .transient)
        }
    }

    private final class Counter: Sendable {
        private let number = Mutex(0)
        var value: Int { number.withLock { $0 } }
        @discardableResult func add() -> Int {
            number.withLock {
                $0 += 1; return $0
            }
        }
    }

    /// Each call of the loop got a number of its own, and was made.
    @Test("a step that tries a `.once` call again by itself does not get it made again")
    func onceInLoop() async throws {
        let made = Counter()
        let charge = brokenCharge(made)
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            for _ in 0..<3 {
                if let receipt = try? await context.call(charge, 100) { return .complete(receipt) }
            }
            return .complete(-1)
        }
        let result = try await runner.start(run, state: 7)
        #expect(made.value == 1 && result.status == .paused)
        #expect(result.state == 7)
        guard case .unknownOutcome? = result.pauseReason else {
            Issue.record("\(result)")
            return
        }
    }

    /// The closure's own error freed the step to call again.
    @Test("a `.once` call that nobody could reconcile is not made again in its attempt")
    func onceUnreconciled() async throws {
        let made = Counter()
        let charge = Tool<Int, Int>(
            "charge", safety: .once,
            reconcile: { _, _ in throw StepFailure("no word", category: .transient) }
        ) { _, _ in
            made.add()
            throw StepFailure("the connection broke", category: .transient)
        }
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            for _ in 0..<3 {
                if let receipt = try? await context.call(charge, 100) { return .complete(receipt) }
            }
            return .complete(-1)
        }
        let result = try await runner.start(run, state: 0)
        #expect(made.value == 1 && result.status == .paused)
    }

    /// A request with the time in it was another call, and the first one forgotten.
    @Test("a `.once` call of unknown outcome is not forgotten for one with another request")
    func onceOtherRequest() async throws {
        let made = Counter()
        let stamp = Counter()
        let charge = Tool<[String: Int], Int>("charge", safety: .once) { _, _ in
            if made.add() == 1 { throw StepFailure("the connection broke after it was sent") }
            return 1
        }
        let store = MemoryRunStore()
        let runner = Runner("l", store: store, options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(charge, ["cents": 100, "at": stamp.add()]))
        }
        let first = try await runner.start(run, state: 0)
        guard case .unknownOutcome(let call)? = first.pauseReason else {
            Issue.record("\(first)")
            return
        }
        #expect(try await runner.resume(run).pauseReason == .unknownOutcome(call: call))
        #expect(made.value == 1)
        try await runner.resolve(run, call: call, as: .didNotHappen)
        #expect(try await runner.resume(run).status == .completed)
        #expect(made.value == 2)
    }

    /// A step that no longer made the call went on, and nobody ever said what became of it.
    @Test("a step with a `.once` call of unknown outcome is not over")
    func onceLeftOut() async throws {
        let made = Counter()
        let charge = brokenCharge(made)
        let attempts = Counter()
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (state: Int, context) async throws -> Outcome<Int, Int> in
            if attempts.add() == 1 { _ = try await context.call(charge, 1) }
            return state == 1 ? .complete(1) : .continue(1)
        }
        let first = try await runner.start(run, state: 0)
        let second = try await runner.resume(run)
        #expect(first.pauseReason == second.pauseReason && second.stepIndex == 0)
        guard case .unknownOutcome(let call)? = second.pauseReason else {
            Issue.record("\(second)")
            return
        }
        try await runner.resolve(run, call: call, as: .completed(result: [0x37]))
        #expect(try await runner.resume(run).status == .completed)
        #expect(made.value == 1)
    }

    private func sharedCharge(
        _ made: Counter, _ store: MemoryRunStore
    ) -> Runner<ClosureLoop<Int, Int>> {
        let charge = brokenCharge(made)
        return Runner("l", store: store, options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(charge, 1, key: "k", scope: .store))
        }
    }

    /// It was refused, and the key settled all the same.
    @Test("a resolution that is refused settles nothing")
    func resolveHeld() async throws {
        let store = MemoryRunStore()
        let made = Counter()
        let runner = sharedCharge(made, store)
        let paused = try await runner.start(run, state: 0)
        guard case .unknownOutcome(let call)? = paused.pauseReason else {
            Issue.record("\(paused)")
            return
        }
        let claim = try await store.claim(run, holder: "somebody")
        await #expect(throws: RunnerError.self) {
            try await runner.resolve(run, call: call, as: .didNotHappen)
        }
        await store.release(run, epoch: claim.epoch)
        let other = try await runner.start(RunID("other"), state: 0)
        #expect(made.value == 1 && other.status == .paused)
    }

    /// It settled the newer call of another run, which was made again.
    @Test("a resolution is about the call that its run was paused for")
    func resolveOlder() async throws {
        let store = MemoryRunStore()
        let made = Counter()
        let runner = sharedCharge(made, store)
        let other = try RunID("other")
        let first = try await runner.start(run, state: 0)
        let second = try await runner.start(other, state: 0)
        guard case .unknownOutcome(let older)? = first.pauseReason,
            case .unknownOutcome(let seen)? = second.pauseReason
        else {
            Issue.record("\(first), \(second)")
            return
        }
        #expect(made.value == 1)
        // The second run was paused for the first one's call, and may speak of it.
        try await runner.resolve(other, call: seen, as: .didNotHappen)
        let again = try await runner.resume(other)
        #expect(made.value == 2 && again.status == .paused)
        try await runner.resolve(run, call: older, as: .didNotHappen)
        #expect(try await runner.resume(other).status == .paused)
        #expect(made.value == 2)
    }

    // MARK: Reads

    private func write(
        _ bytes: [[UInt8]], as name: RunID, to store: LogRunStore
    ) async throws {
        let claim = try await store.claim(name, holder: store.writer)
        var unit = RecordUnit(run: name, epoch: claim.epoch, position: 0)
        for event in bytes { unit.append(event) }
        #expect(try await store.commit(unit) == .ok)
    }

    private static func event(_ content: RunEvent.Content) -> [UInt8] {
        RunEvent(time: EventTime(microseconds: 1), content).encoded()
    }

    /// The reader trapped on the first, and listed nothing for the second.
    @Test("a run that nobody could have written is noted, and does not hide the others")
    func hostileRuns() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let id = AttemptID(step: 0, attempt: 0)
        let strange = try RunID("strange")
        try await write(
            [
                [200, 1], Self.event(.attemptStarted(id)),
                Self.event(.runCompleted(id, result: [0x31])),
            ], as: strange, to: store)
        try await write([[1, 1, 9]], as: RunID("bad"), to: store)
        let runner = Runner("l", store: store, options: options) {
            (state: Int, _) async throws -> Outcome<Int, Int> in .complete(state)
        }
        _ = try await runner.start(run, state: 0)
        let reader = try log.reader()
        let statuses = try reader.list().map { "\($0.run) \($0.status)" }
        #expect(Set(statuses) == ["demo completed", "bad damaged"])
        #expect(throws: RunReadError.self) { try reader.get(RunID("bad")) }
        #expect(throws: RunReadError.unknownRun(strange)) { try reader.get(strange) }
        try store.close()
    }

    private struct Old: StepLoop {
        let name = "v"
        func step(_ state: Int, _ context: StepContext) async throws -> Outcome<Int, Int> {
            .continue(state + 1)
        }
    }

    private struct New: StepLoop {
        let name = "v"
        var stateVersion: UInt64 { 2 }
        func migrate(_ state: [UInt8], from version: UInt64) throws -> String {
            "v2:" + String(decoding: state, as: UTF8.self)
        }
        func step(_ state: String, _ context: StepContext) async throws -> Outcome<String, Int> {
            .continue(state + "+")
        }
    }

    /// History, show and the input hash had two shapes of it.
    @Test("the state of a step is the one that it read, also when it was migrated")
    func migrated() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        _ = try await Runner(Old(), store: store, options: options)
            .start(run, state: 0, stepsMax: 2)
        let new = Runner(New(), store: store, options: options)
        _ = try await new.resume(run, stepsMax: 0)
        let reader = try log.reader()
        let before = try reader.state(run, at: 2)
        #expect(before.state == Array(#""v2:2""#.utf8))
        #expect(try reader.history(run).last == before)
        _ = try await new.resume(run, stepsMax: 1)
        #expect(try reader.state(run, at: 2) == before)
        #expect(try reader.history(run)[2] == before)
        let attempt = try reader.attempts(run).last { $0.id.step == 2 }
        #expect(attempt?.inputHash == InputHash.of(state: before.state))
        #expect(try reader.history(run).map(\.step) == [0, 1, 2, 3])
        try store.close()
    }

    /// It was shown once, and would be gone with compaction.
    @Test("of a completed run, show has the states that history has")
    func completedInterval() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        var options = options
        options.policy = .interval(2)
        let runner = Runner("l", store: store, options: options) {
            (state: Int, _) async throws -> Outcome<Int, Int> in
            state == 3 ? .complete(state) : .continue(state + 1)
        }
        _ = try await runner.start(run, state: 0)
        let reader = try log.reader()
        let shown = try reader.history(run).map(\.step)
        #expect(shown == [0, 2])
        for step in 0...3 as ClosedRange<UInt64> {
            let state = try? reader.state(run, at: step)
            #expect((state != nil) == shown.contains(step), "step \(step)")
        }
        try store.close()
    }

    /// In a container each process has the same number, and the new one was taken for the old one.
    @Test("a run of a process that died is not taken for one of its successor")
    func sameNumber() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        try await write(
            [
                Self.event(.created(RunCreation(loop: "v", state: [0x31]))),
                Self.event(.resumed(holder: store.writer)),
                Self.event(.attemptStarted(AttemptID(step: 0, attempt: 0))),
            ], as: run, to: store)
        #expect(try log.reader().get(run).status == "running")
        try store.close()
        let second = try log.open()
        #expect(try log.reader().get(run).status == "interrupted")
        try second.close()
    }
}
