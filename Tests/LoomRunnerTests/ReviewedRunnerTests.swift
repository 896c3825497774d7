import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// What a second review of the runner found. The effects are counted, not the answers.
@Suite struct ReviewedRunnerTests {
    private let run: RunID
    private let store = MemoryRunStore()

    init() throws { run = try RunID("demo") }

    /// Resumes a run as soon as nobody holds it any more.
    private func resumed<Loop>(_ runner: Runner<Loop>) async throws -> RunResult<Loop> {
        for _ in 0..<1000 {
            do {
                return try await runner.resume(run)
            } catch RunnerError.held, RunnerError.callStillRuns {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        throw StepFailure("the run is held for ever")
    }

    /// The error that `body` throws, in words.
    private func refusal(_ body: () async throws -> some Any) async -> String {
        do {
            return "no error, but \(try await body())"
        } catch { return "\(error)" }
    }

    /// The store was told to take nothing more of the run, while the bank was still at it: whoever
    /// resumed it was asked whether the charge that the bank had confirmed had happened.
    @Test("a call that ends after its deaf step was given up is in the log")
    func deafStep() async throws {
        let (charged, mayCharge) = (Notes(), Gate())
        let charge = Tool<Int, Int>("charge", safety: .once) { cents, _ in
            await mayCharge.wait()
            return charged.add("charged") + cents
        }
        var options = RunnerOptions.testing
        options.clock = SystemRunClock()
        options.attemptTimeout = .milliseconds(100)
        options.timeoutGrace = .milliseconds(50)
        let runner = Runner("l", store: store, options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(charge, 100))
        }
        let told = await refusal { try await runner.start(run, state: 0) }
        #expect(told.contains("goes on after its timeout"))
        mayCharge.open()
        let result = try await resumed(runner)
        #expect(result.output == 100 && charged.all.count == 1)
    }

    /// An error whose words need a look at the run.
    private struct Looking: Error, CustomStringConvertible {
        let context: StepContext
        var description: String { "broken with \(context.labels.count) labels" }
    }

    /// It was asked for its words with the run's lock held, and could never give them.
    @Test("an error of a `.once` call may look at the run when it describes itself")
    func describedWithoutLock() async throws {
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let charge = Tool<Int, Int>("charge", safety: .once) { _, _ in
                throw Looking(context: context)
            }
            return .complete(try await context.call(charge, 1))
        }
        let result = try await runner.start(run, state: 0)
        guard case .unknownOutcome(_, let cause?)? = result.pauseReason else {
            return #expect(Bool(false), "\(result)")
        }
        #expect(cause.message == "Looking: broken with 0 labels")
    }

    /// The run was paused, and a person asked whether a call had happened that was never made.
    @Test("a request that is not the tool's is refused before its body runs")
    func wrongRequest() async throws {
        let made = Notes()
        var options = RunnerOptions.testing
        try options.tools.register(
            Tool<[Int], Int>("charge", safety: .once) { cents, _ in
                made.add("made")
                return cents.reduce(0, +)
            })
        let runner = Runner("l", store: store, options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(named: "charge", "all of it", as: Int.self))
        }
        let result = try await runner.start(run, state: 0)
        #expect(result.status == .failed && result.failure?.category == .validation)
        #expect(result.failure?.message.contains("request of charge") == true, "\(result)")
        #expect(made.all.isEmpty)
    }

    /// A person's slip was told as a fault of the JSON, without the tool and without what to do.
    @Test("a result given by hand that does not fit is told as such, also of a tool by its name")
    func wrongResult() async throws {
        var options = RunnerOptions.testing
        try options.tools.register(
            Tool<Int, Int>("charge", safety: .once) { _, _ in throw StepFailure("broken") })
        let runner = Runner("l", store: store, options: options) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(named: "charge", 1, as: Int.self))
        }
        let paused = try await runner.start(run, state: 0)
        let call = try #require(paused.pauseReason?.unknownCall)
        try await runner.resolve(run, call: call, as: .completed(result: Array(#""7""#.utf8)))
        let failed = try await runner.resume(run)
        #expect(failed.failure?.message.contains("resolve can correct") == true, "\(failed)")
        #expect(failed.failure?.category == .validation)
    }

    private static func keeper(of key: String) throws -> RunID {
        try RunID("\(RunID.keeperPrefix)\(ContentHash(of: Array(key.utf8).rawSpan))")
    }

    /// It claimed the run of the key, and then waited for ever for whoever had it.
    @Test(
        "the run of a shared key is neither resolved nor resumed by hand",
        .timeLimit(.minutes(10)))
    func keeperByHand() async throws {
        let charge = Tool<Int, Int>("charge", safety: .once) { _, _ in throw StepFailure("broken") }
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(charge, 1, key: "order-7", scope: .store))
        }
        #expect(try await runner.start(run, state: 0).status == .paused)
        let keeper = try Self.keeper(of: "order-7")
        for told in [
            await refusal { try await runner.resolve(keeper, call: 3, as: .didNotHappen) },
            await refusal { try await runner.resume(keeper) },
        ] { #expect(told.contains("kept for shared tool keys"), "\(told)") }
    }

    /// Takes nothing of one run while it is shut: as a disk does that is full, or a process that
    /// was killed between two appends.
    private struct ShutStore: RunStoreWrapper {
        let base: any RunStore
        let run: RunID
        let isShut = Switch()

        final class Switch: Sendable {
            private let state = Mutex(false)
            var value: Bool {
                get { state.withLock { $0 } }
                set { state.withLock { $0 = newValue } }
            }
        }

        func append(
            _ unit: RecordUnit, outline: () -> RunOutline
        ) throws(RunStoreError) -> Appending {
            if isShut.value && unit.run == run { throw .unavailable("shut") }
            return try base.append(unit, outline: outline)
        }
    }

    /// What the tool itself had said stands in the key's run: the person's slip took its place, as
    /// the call was open in the run that made it.
    @Test("a shared call whose end the store knows is not resolved otherwise")
    func sharedCallKnown() async throws {
        let shut = ShutStore(base: store, run: run)
        let charge = Tool<Int, Int>("charge", safety: .once) { cents, _ in
            shut.isShut.value = true
            return cents
        }
        let runner = Runner("l", store: shut, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(charge, 100, key: "order-7", scope: .store))
        }
        #expect(await refusal { try await runner.start(run, state: 0) } == "shut")
        shut.isShut.value = false
        let told = await refusal {
            try await runner.resolve(run, call: 3, as: .completed(result: Array("7".utf8)))
        }
        #expect(told.contains("has ended"), "\(told)")
        let result = try await runner.resume(run)
        #expect(result.output == 100)
    }

    /// Nothing but a word of the next step's own is in its log.
    @Test("a label that a task of an earlier step sets is refused")
    func lateLabel() async throws {
        let (isNext, isSet) = (Gate(), Gate())
        let told = Notes()
        let runner = Runner("l", store: store, options: .testing) {
            (number: Int, context) async throws -> Outcome<Int, Int> in
            guard number == 0 else {
                isNext.open()
                await isSet.wait()
                return .complete(context.labels.count)
            }
            Task {
                await isNext.wait()
                told.add(await refusal { try await context.label("late", "yes") })
                isSet.open()
            }
            return .continue(1)
        }
        #expect(try await runner.start(run, state: 0).output == 0)
        #expect(told.all.first?.contains("is over") == true, "\(told.all)")
    }

    /// It said that its budget of steps was used up, and no longer what it waits for, nor why.
    @Test("a run that waits for word of a call still does after a resume without steps")
    func resumedWithoutSteps() async throws {
        let charge = Tool<Int, Int>("charge", safety: .once) { _, _ in throw StepFailure("broken") }
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(charge, 1))
        }
        let paused = try await runner.start(run, state: 0)
        #expect(paused.pauseReason?.unknownCall != nil)
        let again = try await runner.resume(run, stepsMax: 0)
        #expect(again.pauseReason == paused.pauseReason)
    }
}
