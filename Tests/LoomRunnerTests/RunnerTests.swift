import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import LoomTesting
import Synchronization
import SystemPackage
import Testing

/// Counts what really ran, beside what the log says.
final class Tally: Sendable {
    private let counts = Mutex<[String: Int]>([:])
    func add(_ name: String) { counts.withLock { $0[name, default: 0] += 1 } }
    subscript(_ name: String) -> Int { counts.withLock { $0[name, default: 0] } }
}

struct Counter: StepLoop {
    struct State: Codable, Sendable, Equatable {
        var current: Int
        var target: Int
    }
    let name = "counter"
    let tally: Tally
    /// Steps at which the first attempts throw, and how often.
    var failures: [Int: Int] = [:]
    var category = FailureCategory.transient

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
        tally.add("step \(state.current)")
        let add = Tool<Int, Int>("add", safety: .once) { value, _ in
            tally.add("add \(value)")
            return value + 1
        }
        if state.current >= state.target { return .complete(state.current) }
        let next = try await context.call(add, state.current)
        if tally["step \(state.current)"] <= failures[state.current] ?? 0 {
            throw StepFailure("after the side effect", category: category)
        }
        return .continue(State(current: next, target: state.target))
    }
}

@Suite struct RunnerTests {
    let folder: FilePath
    let tally = Tally()

    init() throws {
        folder = FilePath(NSTemporaryDirectory()).appending("loomrun-\(UUID().uuidString)")
    }

    private func withStore<Result>(
        _ body: (LogRunStore, RunReader) async throws -> Result
    ) async throws -> Result {
        let store = try LogRunStore(path: folder)
        let result = try await body(store, try RunReader(path: folder))
        try store.close()
        return result
    }

    private var options: RunnerOptions { .testing }

    @Test("a run pauses at its budget, resumes in another process's place, and completes")
    func pauseAndResume() async throws {
        let run = try RunID("demo")
        try await withStore { store, reader in
            let runner = Runner(Counter(tally: tally), store: store, options: options)
            let paused = try await runner.start(
                run, state: .init(current: 0, target: 10), stepsMax: 5)
            #expect(paused.status == .paused)
            #expect(paused.stepIndex == 5)
            #expect(paused.state == .init(current: 5, target: 10))
            #expect(try reader.get(run).state == Array(#"{"current":5,"target":10}"#.utf8))
        }
        try await withStore { store, reader in
            let runner = Runner(Counter(tally: tally), store: store, options: options)
            let done = try await runner.resume(run, stepsMax: 100)
            #expect(done.status == .completed)
            #expect(done.output == 10)
            #expect(done.stepIndex == 10)
            #expect(try reader.history(run).map(\.step) == Array(0...10))
            #expect(try reader.history(run, limit: 2, offset: 2).map(\.step) == [2, 3])
            #expect(try reader.attempts(run).count == 11)
            #expect(try reader.toolCalls(run).count == 10)
            #expect(try reader.explain(run).notes == [])
            #expect(throws: RunReadError.negative("limit", -1)) {
                try reader.history(run, limit: -1)
            }
        }
        for step in 0..<10 { #expect(tally["add \(step)"] == 1) }
    }

    @Test("a retried step is answered from the log: its tool call is not made again")
    func retry() async throws {
        let run = try RunID("flaky")
        try await withStore { store, reader in
            let loop = Counter(tally: tally, failures: [1: 2])
            let runner = Runner(loop, store: store, options: options)
            let done = try await runner.start(run, state: .init(current: 0, target: 3))
            #expect(done.status == .completed)
            let attempts = try reader.attempts(run, step: 1)
            #expect(attempts.map(\.status) == [.failed, .failed, .completed])
            #expect(attempts.first?.failure?.message == "StepFailure: after the side effect")
            #expect(Set(attempts.map(\.inputHash)).count == 1)
            #expect(try reader.toolCalls(run, step: 1).map(\.reuseCount) == [2])
        }
        #expect(tally["add 1"] == 1)
    }

    @Test("a run fails when its failures are used up or not worth a retry; retry opens it again")
    func failure() async throws {
        let run = try RunID("bad")
        try await withStore { store, reader in
            let loop = Counter(tally: tally, failures: [1: 1], category: .validation)
            let runner = Runner(loop, store: store, options: options)
            let failed = try await runner.start(run, state: .init(current: 0, target: 3))
            #expect(failed.status == .failed)
            #expect(failed.failure?.category == .validation)
            let error = await #expect(throws: RunnerError.self) { try await runner.resume(run) }
            #expect(error?.description == "run bad is failed")
            try await runner.retry(run)
            let done = try await runner.resume(run)
            #expect(done.status == .completed)
            #expect(try reader.get(run).summary.failedAttemptCount == 1)
        }
    }

    @Test("errors name what is wrong and change nothing")
    func errors() async throws {
        let run = try RunID("demo")
        try await withStore { store, reader in
            let runner = Runner(Counter(tally: tally), store: store, options: options)
            await #expect(throws: RunnerError.self) { try await runner.resume(run) }
            await #expect(throws: RunnerError.self) {
                try await runner.start(run, state: .init(current: 0, target: 1), stepsMax: -1)
            }
            #expect(throws: RunReadError.unknownRun(run)) { try reader.get(run) }
            _ = try await runner.start(run, state: .init(current: 0, target: 1), stepsMax: 0)
            await #expect(throws: RunnerError.self) {
                try await runner.start(run, state: .init(current: 0, target: 1))
            }
            _ = try await runner.resume(run)
            await #expect(throws: RunnerError.self) { try await runner.resume(run) }
            #expect(try reader.list().map(\.run) == [run])
        }
    }

    @Test("of two tasks that drive one run, one wins and the other is told")
    func twoTasks() async throws {
        let run = try RunID("shared")
        try await withStore { store, reader in
            let runner = Runner(Counter(tally: tally), store: store, options: options)
            _ = try await runner.start(run, state: .init(current: 0, target: 2000), stepsMax: 0)
            let results = await withTaskGroup(of: String.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        do {
                            return try await runner.resume(run).status.rawValue
                        } catch RunnerError.held(_, let holder) {
                            return "held by \(holder)"
                        } catch { return "\(error)" }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(results.contains("completed"))
            // The other was held, or came when all was over.
            #expect(try reader.explain(run).notes == [])
        }
        for step in 0..<2000 where tally["add \(step)"] != 1 { Issue.record("add \(step)") }
    }

    @Test("a cancelled task leaves a run that can be resumed")
    func cancellation() async throws {
        let run = try RunID("long")
        try await withStore { store, reader in
            let runner = Runner(Counter(tally: tally), store: store, options: options)
            let task = Task {
                try await runner.start(run, state: .init(current: 0, target: 1_000_000))
            }
            while tally["step 20"] == 0 { await Task.yield() }
            task.cancel()
            let paused = try await task.value
            #expect(paused.status == .paused)
            #expect(paused.pauseReason == .interrupted)
            let more = try await runner.resume(run, stepsMax: 3)
            #expect(more.stepIndex == paused.stepIndex + 3)
        }
    }

    /// A run whose step was cut ten times stayed paused for ever, as every resume paused it again:
    /// found by killing docs-agent in its longest step.
    @Test("a step that is cut too often pauses the run once, and the next resume tries again")
    func interruptedTooOften() async throws {
        let run = try RunID("cut")
        try await withStore { store, reader in
            let loop = Counter(tally: tally)
            let runner = Runner(loop, store: store, options: options)
            _ = try await runner.start(run, state: .init(current: 0, target: 1), stepsMax: 0)
            for epoch in 0..<10 {
                let claim = try await store.claim(run, holder: "one that dies")
                let attempt = AttemptID(step: 0, attempt: UInt64(epoch))
                let events: [RunEvent.Content] = [.resumed(holder: "x"), .attemptStarted(attempt)]
                var unit = RecordUnit(run: run, epoch: claim.epoch, position: claim.position)
                for event in events {
                    unit.append(RunEvent(time: .init(microseconds: 1), event).encoded())
                }
                #expect(try await store.commit(unit) == .ok)
                await store.release(run, epoch: claim.epoch)
            }
            let paused = try await runner.resume(run)
            #expect(paused.pauseReason == .interruptedTooOften)
            let done = try await runner.resume(run)
            #expect(done.status == .completed)
            #expect(try reader.get(run).summary.interruptedAttemptCount == 10)
        }
    }

    private struct NotANumber: StepLoop {
        let name = "nan"
        func step(_ state: Double, _ context: StepContext) async throws -> Outcome<Double, Double> {
            state < 2 ? .continue(state + 1) : .continue(.nan)
        }
    }

    /// A state without a canonical form was thrown past the log: the run said `running` for ever.
    @Test("a state that cannot be stored fails the run, with the reason")
    func unencodable() async throws {
        let run = try RunID("nan")
        try await withStore { store, reader in
            let runner = Runner(NotANumber(), store: store, options: options)
            let failed = try await runner.start(run, state: 0)
            #expect(failed.status == .failed)
            #expect(failed.failure?.message.contains("nan has no place in JSON") == true)
            #expect(try reader.get(run).state == Array("2".utf8))
        }
    }

    private struct SameKey: StepLoop {
        let name = "same-key"
        let tally: Tally
        var crashes = false

        func step(_ state: Int, _ context: StepContext) async throws -> Outcome<Int, [String]> {
            let charge = Tool<String, String>(
                "charge", safety: .once,
                reconcile: { _, _ in
                    tally.add("reconciled")
                    await Task.yield()
                    return .happened("paid before")
                }
            ) { _, _ in
                tally.add("charged")
                if crashes { throw StepFailure("the connection broke") }
                await Task.yield()
                return "paid"
            }
            async let first = context.call(charge, "order 7", key: "order-7")
            async let second = context.call(charge, "order 7", key: "order-7")
            return .complete(try await [first, second])
        }
    }

    /// Two tasks that found the same call unfinished both settled it, and the run was called
    /// damaged.
    @Test("two concurrent calls with one key happen once, and are settled once")
    func sameKey() async throws {
        try await withStore { store, reader in
            let runner = Runner(SameKey(tally: tally), store: store, options: options)
            let done = try await runner.start(try RunID("a"), state: 0)
            #expect(done.output == ["paid", "paid"])
            #expect(tally["charged"] == 1)
            let broken = SameKey(tally: tally, crashes: true)
            let run = try RunID("b")
            let cut = try await Runner(broken, store: store, options: options).start(run, state: 0)
            #expect(cut.status == .paused || cut.status == .completed)
            let settled =
                cut.status == .completed ? cut : try await runner.resume(run)
            #expect(settled.output == ["paid before", "paid before"])
            #expect(tally["charged"] == 2)
            #expect(tally["reconciled"] == 1)
            #expect(try reader.verify(run).isValid)
        }
    }

    /// Such a run said `running` for ever: the misuse was thrown as if the store had failed.
    @Test("a key that is misused by a cancelled step leaves the run paused")
    func misuseWhileCancelled() async throws {
        let run = try RunID("misused")
        try await withStore { store, reader in
            let tool = Tool<Int, Int>("add", safety: .pure) { value, _ in value + 1 }
            let runner = Runner("misuse", store: store, options: options) {
                [tally] (state: Int, context: StepContext) async throws -> Outcome<Int, Int> in
                _ = try await context.call(tool, 1, key: "k")
                tally.add("called")
                while !Task.isCancelled { await Task.yield() }
                return .complete(try await context.call(tool, 2, key: "k"))
            }
            let task = Task { try await runner.start(run, state: 0) }
            while tally["called"] == 0 { await Task.yield() }
            task.cancel()
            let stopped = try await task.value
            #expect(stopped.pauseReason == .interrupted)
            #expect(try reader.get(run).status == "paused")
        }
    }
}
