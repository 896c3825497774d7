import LoomFormat
import LoomModel
import LoomRunner
import LoomTesting
import Synchronization
import Testing

/// What tool calls cost when there are many: measured as a ratio of one size to a larger one.
@Suite(.serialized) struct CallCostTests {
    let run: RunID
    var options: RunnerOptions { .testing }

    init() throws { run = try RunID("demo") }

    /// The shortest of three times of `body`, in seconds.
    private func shortest(_ body: () async throws -> Duration) async throws -> Double {
        var best = Double.infinity
        for _ in 0..<3 {
            let (seconds, attoseconds) = try await body().components
            best = min(best, Double(seconds) + Double(attoseconds) / 1e18)
        }
        return best
    }

    /// Drives one step with so many `.once` calls in flight at once.
    private func callsInFlight(_ count: Int) async throws -> Duration {
        let pay = Tool<Int, Int>("pay", safety: .once) { number, _ in
            // Nobody ends before the others had a chance to begin.
            for _ in 0..<4 { await Task.yield() }
            return number
        }
        let runner = Runner("pay", store: MemoryRunStore(), options: options) {
            (_: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<count { group.addTask { try await context.call(pay, number) } }
                return try await group.reduce(0, +)
            }
            return .complete(sum)
        }
        let clock = ContinuousClock()
        let start = clock.now
        #expect(try await runner.start(run, state: 0).output == count * (count - 1) / 2)
        return clock.now - start
    }

    /// Each call looked at all the others: 4,000 took 4 s.
    @Test("a `.once` call in flight costs the same beside any number of others")
    func inFlight() async throws {
        let few = try await shortest { try await callsInFlight(400) }
        let many = try await shortest { try await callsInFlight(8_000) }
        // 20 times as many: 20 where the cost is linear, 400 where it is quadratic.
        #expect(many < few * 80, "\(few) s for 400, \(many) s for 8,000")
    }

    /// The time of many steps after one in which so many calls were cut, and left open.
    private func stepsAfterCut(calls: Int, safety: ToolSafety) async throws -> Duration {
        let cut = Tool<Int, Int>("fetch", safety: safety) { _, _ in throw CancellationError() }
        let again = Tool<Int, Int>("note", safety: .pure) { number, _ in number }
        let clock = ContinuousClock()
        let start = Mutex(clock.now)
        let runner = Runner("fetch", store: MemoryRunStore(), options: options) {
            (step: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            if step == 0 {
                for number in 0..<calls {
                    _ = try? await context.call(cut, number, key: "key-\(number)")
                }
            }
            if step == 1 { start.withLock { $0 = clock.now } }
            _ = try await context.call(again, step)
            return step < 300 ? .continue(step + 1) : .complete(step)
        }
        #expect(try await runner.start(run, state: 0).status == .completed)
        return start.withLock { clock.now - $0 }
    }

    /// 4,000 of them added 1 ms to every later step.
    @Test("a call that was cut and left open costs later steps nothing")
    func leftOpen() async throws {
        let few = try await shortest { try await stepsAfterCut(calls: 10, safety: .idempotent) }
        let many = try await shortest {
            try await stepsAfterCut(calls: 10_000, safety: .idempotent)
        }
        #expect(many < few * 10, "\(few) s beside 10, \(many) s beside 10,000")
    }

    /// The fold of a run with so many open calls, in the first attempt of step 0.
    private func fold(openCalls: Int, _ key: (Int) -> ToolKey) throws -> RunFold {
        var fold = RunFold()
        func add(_ content: RunEvent.Content) throws {
            try fold.apply(
                RunEvent(time: EventTime(microseconds: 1), content),
                at: .init(position: fold.summary.nextPosition, epoch: 1))
        }
        try add(.created(RunCreation(loop: "l", state: [])))
        try add(.resumed(holder: "me"))
        try add(.attemptStarted(AttemptID(step: 0, attempt: 0)))
        for index in 0..<openCalls {
            try add(
                .toolStarted(
                    ToolStart(
                        attempt: AttemptID(step: 0, attempt: 0), name: "pay", safety: .once,
                        key: key(index), request: Array("\(index)".utf8))))
        }
        return fold
    }

    /// All open calls were sorted to find the oldest.
    @Test("the oldest open `.once` call of a step is found at once, from either end")
    func oldestOpen() throws {
        func time(_ count: Int) throws -> Double {
            var fold = try fold(openCalls: count) { .explicit("key-\($0)") }
            let clock = ContinuousClock()
            var oldest: UInt64 = 3
            let taken = try clock.measure {
                for position in 3..<UInt64(203) {
                    // One is over, and another is the oldest.
                    #expect(fold.calls.unsettled(ofStep: 0)?.position == oldest)
                    try fold.apply(
                        RunEvent(
                            time: EventTime(microseconds: 1),
                            .toolFinished(ToolFinish(start: position, outcome: .didNotHappen))),
                        at: .init(position: fold.summary.nextPosition, epoch: 1))
                    oldest += 1
                }
            }
            return Double(taken.components.attoseconds) / 1e18
        }
        let few = try (0..<3).map { _ in try time(300) }.min() ?? 0
        let many = try (0..<3).map { _ in try time(30_000) }.min() ?? 0
        #expect(many < few * 10, "\(few) s of 300, \(many) s of 30,000")
    }
}
