import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// Calls that must not happen twice.
extension EdgeTests {
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

    /// A loop whose step catches what its call throws, and makes it again.
    private func insisting(
        _ charge: Tool<Int, Int>, _ options: RunnerOptions
    ) -> Runner<ClosureLoop<Int, Int>> {
        Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            for _ in 0..<3 {
                if let receipt = try? await context.call(charge, 100) { return .complete(receipt) }
            }
            return .complete(-1)
        }
    }

    /// The call that a run was paused for.
    private func unknownCall(in result: RunResult<ClosureLoop<Int, Int>>) throws -> UInt64 {
        guard case .unknownOutcome(let call, _)? = result.pauseReason else {
            throw StepFailure("no call of unknown outcome: \(result)")
        }
        return call
    }

    /// Each call of the loop got a number of its own, and was made.
    @Test("a step that tries a `.once` call again by itself does not get it made again")
    func onceInLoop() async throws {
        let made = Counter()
        let charge = brokenCharge(made)
        let runner = insisting(charge, options)
        let result = try await runner.start(run, state: 7)
        #expect(made.value == 1 && result.status == .paused)
        #expect(result.state == 7)
        _ = try unknownCall(in: result)
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
        let runner = insisting(charge, options)
        let result = try await runner.start(run, state: 0)
        #expect(made.value == 1 && result.status == .paused)
    }

    /// The attempt's end by a timeout freed it to call again.
    @Test("a `.once` call that was cut by a timeout is not made again in its attempt")
    func onceCut() async throws {
        let made = Counter()
        let charge = Tool<Int, Int>("charge", safety: .once, reconcile: { _, _ in .happened(1) }) {
            _, _ in
            made.add()
            try await Task.sleep(for: .seconds(3600))
            return 1
        }
        var options = RunnerOptions.testing
        options.clock = SystemRunClock()
        options.attemptTimeout = .milliseconds(100)
        options.retry.attemptsMax = 1
        let runner = insisting(charge, options)
        let result = try await runner.start(run, state: 0)
        #expect(made.value == 1 && result.status == .paused && result.output == nil)
        // The next attempt asks, and is answered.
        #expect(try await runner.resume(run).output == 1)
        #expect(made.value == 1)
    }

    /// Each resume paused again, although the tool could find out.
    @Test("a call that was cut is reconciled also when the step comes to another one first")
    func reconciledInOtherOrder() async throws {
        let (made, asked, attempts) = (Counter(), Counter(), Counter())
        let task = Mutex<Task<RunResult<ClosureLoop<Int, Int>>, any Error>?>(nil)
        let charge = Tool<String, String>(
            "charge", safety: .once,
            reconcile: { who, _ in
                asked.add()
                #expect(who == "b")
                return .happened(who)
            }
        ) { who, _ in
            if made.add() == 2 {
                while task.withLock({ $0 }) == nil { await Task.yield() }
                task.withLock { $0?.cancel() }
                throw CancellationError()
            }
            return who
        }
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let order = attempts.add() == 1 ? ["a", "b", "c"] : ["c", "b", "a"]
            for who in order { _ = try await context.call(charge, who, key: "charge-\(who)") }
            return .complete(1)
        }
        let run = run
        let first = Task { try await runner.start(run, state: 0) }
        task.withLock { $0 = first }
        #expect(try await first.value.pauseReason == .interrupted)
        #expect(try await runner.resume(run).status == .completed)
        #expect(made.value == 3 && asked.value == 1)
    }

    /// The key stayed unknown for ever, whatever was said of it.
    @Test("a run that could not reconcile a shared call may speak of it")
    func sharedUnreconciled() async throws {
        let made = Counter()
        let charge = Tool<Int, Int>(
            "charge", safety: .once, reconcile: { _, _ in throw StepFailure("no word") }
        ) { _, _ in
            if made.add() == 1 { throw StepFailure("the connection broke") }
            return 1
        }
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let receipt = try? await context.call(charge, 1, key: "k", scope: .store)
            return .complete(receipt ?? -1)
        }
        _ = try await runner.start(run, state: 0)
        let other = try RunID("other")
        let paused = try await runner.start(other, state: 0)
        let call = try unknownCall(in: paused)
        try await runner.resolve(other, call: call, as: .didNotHappen)
        #expect(try await runner.resume(other).output == 1)
        #expect(made.value == 2)
    }

    /// It waited for its own end for ever.
    @Test("a tool that asks for its own call can be cancelled")
    func ownCall() async throws {
        let begun = AsyncStream.makeStream(of: Void.self)
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let inner = Tool<Int, Int>("t", safety: .pure) { _, _ in 1 }
            let outer = Tool<Int, Int>("t", safety: .pure) { number, _ in
                begun.continuation.finish()
                return try await context.call(inner, number, key: "k")
            }
            return .complete(try await context.call(outer, 1, key: "k"))
        }
        let run = run
        let task = Task { try await runner.start(run, state: 0) }
        for await _ in begun.stream {}
        task.cancel()
        #expect(try await task.value.pauseReason == .interrupted)
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
        let call = try unknownCall(in: first)
        #expect(try await runner.resume(run).pauseReason?.unknownCall == call)
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
        let call = try unknownCall(in: second)
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

    /// Whoever had to resolve the call could not see it.
    @Test("what a call of unknown outcome threw is in the log")
    func thrown() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let charge = brokenCharge(Counter())
        let runner = Runner("l", store: store, options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(charge, 1))
        }
        _ = try await runner.start(run, state: 0)
        let reader = try log.reader()
        let call = try #require(try reader.explain(run).unfinishedCalls.first)
        #expect(call.thrown?.message == "StepFailure: the connection broke")
        let row = try #require(try reader.toolCalls(run).first)
        #expect(row.status == .started && row.failure == call.thrown)
        try store.close()
    }

    /// One slip of the fingers, and the run could never go on.
    @Test("what was said of a call can be corrected")
    func resolveAgain() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let charge = brokenCharge(Counter())
        let runner = Runner("l", store: store, options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(charge, 1))
        }
        let paused = try await runner.start(run, state: 0)
        let call = try unknownCall(in: paused)
        try await runner.resolve(run, call: call, as: .completed(result: Array(#""7""#.utf8)))
        let failed = try await runner.resume(run)
        #expect(failed.failure?.message.contains("resolve can correct") == true)
        try await runner.retry(run)
        try await runner.resolve(run, call: call, as: .completed(result: Array("7".utf8)))
        #expect(try await runner.resume(run).output == 7)
        // Of a step that is over nothing can be said any more.
        await #expect(throws: RunnerError.self) {
            try await runner.resolve(run, call: call, as: .didNotHappen)
        }
        let rows = try log.reader().toolCalls(run)
        #expect(rows.map(\.status) == [.completed] && rows[0].result == Array("7".utf8))
        #expect(try log.reader().verify(run).isValid)
        try store.close()
    }

    /// It was refused, and the key settled all the same.
    @Test("a resolution that is refused settles nothing")
    func resolveHeld() async throws {
        let store = MemoryRunStore()
        let made = Counter()
        let runner = sharedCharge(made, store)
        let paused = try await runner.start(run, state: 0)
        let call = try unknownCall(in: paused)
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
        let (older, seen) = try (unknownCall(in: first), unknownCall(in: second))
        #expect(made.value == 1)
        // The second run was paused for the first one's call, and may speak of it.
        try await runner.resolve(other, call: seen, as: .didNotHappen)
        let again = try await runner.resume(other)
        #expect(made.value == 2 && again.status == .paused)
        try await runner.resolve(run, call: older, as: .didNotHappen)
        #expect(try await runner.resume(other).status == .paused)
        #expect(made.value == 2)
    }
}
