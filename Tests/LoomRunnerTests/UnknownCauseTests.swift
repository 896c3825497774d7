import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// What ended an attempt that left a `.once` call of unknown outcome behind, and what people say of
/// such calls.
@Suite struct UnknownCauseTests {
    private let run: RunID

    init() throws { run = try RunID("demo") }

    /// How the step of an open `.once` call ends.
    enum Ending: CaseIterable {
        case thrown
        case timeout
        case cancellation
        case outcome

        var says: String {
            switch self {
            case .thrown: "StepFailure: the connection broke"
            case .timeout: "the attempt took longer than"
            case .cancellation: "CancellationError"
            case .outcome: "is over: a tool call"
            }
        }
    }

    private func runner(
        _ store: LogRunStore, _ ending: Ending, _ asked: Gate, _ mayEnd: Gate
    ) -> Runner<ClosureLoop<Int, Int>> {
        var options = RunnerOptions.testing
        options.clock = SystemRunClock()
        if ending == .timeout { options.attemptTimeout = .milliseconds(100) }
        let charge = Tool<Int, Int>("charge", safety: .once) { _, _ in
            asked.open()
            if ending == .thrown { throw StepFailure("the connection broke") }
            if ending == .outcome {
                await mayEnd.wait()
                throw StepFailure("too late")
            }
            try await Task.sleep(for: .seconds(3600))
            return 1
        }
        return Runner("l", store: store, options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            if ending == .outcome {
                Task { try await context.call(charge, 1) }
                await asked.wait()
                return .complete(-1)
            }
            return .complete(try await context.call(charge, 1))
        }
    }

    /// Nobody was told why: neither by the result, nor by `explain`, nor by the attempts.
    @Test("a pause for an unknown outcome carries its cause", arguments: Ending.allCases)
    func cause(ending: Ending) async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let (asked, mayEnd) = (Gate(), Gate())
        let runner = runner(store, ending, asked, mayEnd)
        let run = run
        let task = Task { try await runner.start(run, state: 0) }
        if ending == .cancellation {
            await asked.wait()
            task.cancel()
        }
        let result = try await task.value
        guard case .unknownOutcome(let call, let cause)? = result.pauseReason else {
            return #expect(Bool(false), "\(result)")
        }
        #expect(cause?.message.contains(ending.says) == true, "\(String(describing: cause))")
        let reader = try log.reader()
        let explanation = try reader.explain(run)
        #expect(explanation.view.summary.pauseReason == result.pauseReason)
        #expect(explanation.unfinishedCalls.map(\.position) == [call])
        #expect(explanation.unfinishedCalls.first?.cause == cause)
        let attempts = try reader.attempts(run)
        #expect(attempts.map(\.status) == [.interrupted] && attempts.first?.failure == cause)
        mayEnd.open()
        guard ending != .outcome else { return }
        // The next attempt is cut by the call itself, and what is known of it stays.
        let again = try await runner.resume(run)
        #expect(again.pauseReason == result.pauseReason)
        #expect(try reader.attempts(run).map(\.failure) == [cause, nil])
        #expect(try reader.verify(run).isValid)
        try store.close()
    }

    private func counting(
        _ store: any RunStore, _ made: Count
    ) -> Runner<ClosureLoop<Int, [Int]>> {
        let charge = Tool<Int, Int>("charge", safety: .once) { cents, _ in
            let count = made.add()
            if count == 2 { throw StepFailure("the connection broke") }
            return count
        }
        return Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, [Int]> in
            .complete([try await context.call(charge, 1), try await context.call(charge, 2)])
        }
    }

    /// It was taken without a word, and the call that had completed was made a second time.
    @Test("what the tool itself said stands, unless it is corrected by name")
    func endedByTool() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let made = Count()
        let runner = counting(store, made)
        let paused = try await runner.start(run, state: 0)
        let reader = try log.reader()
        let rows = try reader.toolCalls(run)
        let (completed, open) = (
            try #require(rows.first?.position), try #require(rows.last?.position)
        )
        #expect(paused.pauseReason?.unknownCall == open)
        do {
            try await runner.resolve(run, call: completed, as: .didNotHappen)
            Issue.record("it was taken")
        } catch RunnerError.endedByTool(let resolved) {
            #expect(resolved.call.start.name == "charge" && resolved.call.start.request == [0x31])
            #expect(resolved.before?.outcome == .completed(result: [0x31]))
            #expect(resolved.before?.author == .tool)
        }
        let first = try await runner.resolve(run, call: open, as: .didNotHappen)
        #expect(first.before == nil && first.author == .person && first.call.thrown != nil)
        // A slip that would have made it again: said anew before anything came of it.
        let second = try await runner.resolve(run, call: open, as: .completed(result: [0x32]))
        #expect(second.before?.outcome == .didNotHappen && second.before?.author == .person)
        #expect(try reader.verify(run).notes == [])
        let third = try await runner.resolve(
            run, call: completed, as: .completed(result: [0x37]), corrects: true)
        #expect(third.author == .correction)
        // After it a person has spoken, and may speak again.
        try await runner.resolve(run, call: completed, as: .completed(result: [0x38]))
        #expect(try await runner.resume(run).output == [8, 2])
        #expect(made.value == 2)
        #expect(try reader.toolCalls(run).map(\.author) == [.person, .person])
        let (isValid, notes) = try reader.verify(run)
        #expect(isValid && notes.count == 1)
        #expect(try reader.explain(run).corrections.map(\.before.call.position) == [completed])
        try store.close()
    }

    /// Its driver had died, so that the run said `running`, and nobody could say it anew.
    @Test("what was said can be said anew of a run whose driver is gone")
    func afterCrash() async throws {
        let simulation = Simulation()
        let store = try simulation.open()
        let charge = Tool<Int, Int>("charge", safety: .once) { _, _ in
            throw StepFailure("the connection broke")
        }
        let attempts = Mutex(0)
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let receipt = try await context.call(charge, 1)
            let count = attempts.withLock { attempts in
                attempts += 1
                return attempts
            }
            if count == 1 { throw simulation.stop() }
            return .complete(receipt)
        }
        let paused = try await runner.start(run, state: 0)
        let call = try #require(paused.pauseReason?.unknownCall)
        try await runner.resolve(run, call: call, as: .completed(result: [0x31]))
        _ = try? await runner.resume(run)
        let later = simulation.restarted()
        let reopened = try later.open()
        let again = Runner(runner.loop, store: reopened, options: .testing)
        #expect(try later.reader().get(run).summary.status == .running)
        try await again.resolve(run, call: call, as: .completed(result: [0x32]))
        #expect(try await again.resume(run).output == 2)
        #expect(try later.reader().verify(run).isValid)
        try reopened.close()
    }

    /// A log of an earlier version has no authors: a later end of a call was a person's, and was
    /// no violation.
    @Test("ends without an author are read as an earlier version wrote them")
    func earlierVersion() throws {
        let id = AttemptID(step: 0, attempt: 0)
        let start = ToolStart(
            attempt: id, name: "pay", safety: .once, key: .occurrence(0), request: [1])
        let contents: [RunEvent.Content] = [
            .created(RunCreation(loop: "l", state: [])), .resumed(holder: "h"),
            .attemptStarted(id), .toolStarted(start), .paused(.unknownOutcome(call: 3)),
            .toolFinished(ToolFinish(start: 3, outcome: .completed(result: [1]))),
            .toolFinished(ToolFinish(start: 3, outcome: .completed(result: [2]))),
        ]
        var fold = RunFold()
        for (position, content) in contents.enumerated() {
            let event = RunEvent(time: EventTime(microseconds: 1), content)
            try fold.apply(event, at: .init(position: UInt64(position), epoch: 1))
            if position == 5 { #expect(fold.calls.ended(at: 3)?.author == .tool) }
        }
        #expect(fold.calls.ended(at: 3)?.author == .person)
        #expect(fold.calls.ended(at: 3)?.outcome == .completed(result: [2]))
    }
}

/// A count that tools and tests share.
private final class Count: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }

    func add() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }
}
