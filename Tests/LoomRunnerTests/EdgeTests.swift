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
    let run: RunID
    var options: RunnerOptions { .testing }

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

    private struct Big: StepLoop {
        let name = "big"
        let byteCount: Int
        var stateCodec: ValueCodec<[UInt8]> {
            ValueCodec(name: "bytes", encode: { $0 }, decode: { $0 })
        }
        var outputCodec: ValueCodec<Int> { .json }

        func step(_ state: [UInt8], _ context: StepContext) async throws -> Outcome<[UInt8], Int> {
            .continue([UInt8](repeating: 1, count: byteCount))
        }
    }

    /// Delta and snapshot of its step did not fit into one unit, at each resume again.
    @Test("a state that cannot be stored fails its step, and the run has the one before")
    func bigState() async throws {
        let store = MemoryRunStore()
        let big = Runner(Big(byteCount: 127 << 20 + 1), store: store, options: options)
        let result = try await big.start(run, state: [7])
        #expect(result.status == .failed && result.failure?.category == .validation)
        #expect(result.state == [7])
        try await big.retry(run)
        let small = Runner(Big(byteCount: 3), store: store, options: options)
        #expect(try await small.resume(run, stepsMax: 1).state == [1, 1, 1])
    }

    /// A store that refuses to append when it is told to.
    private final class FullStore: RunStoreWrapper {
        let base: any RunStore = MemoryRunStore()
        let isFull = Mutex(false)

        func append(
            _ unit: RecordUnit, outline: () -> RunOutline
        ) throws(RunStoreError) -> Appending {
            if isFull.withLock({ $0 }) { throw .unavailable("no space left") }
            return try base.append(unit, outline: outline)
        }
    }

    /// The pause could not be recorded, the run was let go, and its step begun beside the first.
    @Test("a step that outlives its timeout keeps its run, also on a full disk")
    func stuckOnFullDisk() async throws {
        let store = FullStore()
        let (gate, opens) = AsyncStream.makeStream(of: Void.self)
        var options = options
        options.clock = SystemRunClock()
        (options.attemptTimeout, options.timeoutGrace) = (.milliseconds(20), .milliseconds(20))
        let runner = Runner("l", store: store, options: options) {
            (_: Int, _) async throws -> Outcome<Int, Int> in
            store.isFull.withLock { $0 = true }
            // Deaf to cancellation.
            await Task { for await _ in gate {} }.value
            return .complete(1)
        }
        await #expect(throws: RunnerError.self) { try await runner.start(self.run, state: 0) }
        store.isFull.withLock { $0 = false }
        do {
            _ = try await runner.resume(run)
            Issue.record("two steps of one run at once")
        } catch RunnerError.held {}
        opens.finish()
    }
}
