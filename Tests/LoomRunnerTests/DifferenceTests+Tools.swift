import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Testing

// A tool call that was started and not finished.

extension DifferenceTests {
    typealias Asking = Runner<ClosureLoop<Int, String>>

    /// How a call may be cut so that nobody knows its outcome.
    enum Cut: String, CaseIterable, Sendable {
        case crash, timeout, cancellation
    }

    /// One step that makes one call, which is cut the first time it is made.
    ///
    /// The notes tell each time that the tool's body ran, with its key.
    private func asking(
        _ machine: Simulation, _ store: any RunStore, _ safety: ToolSafety, _ cut: Cut,
        _ notes: Notes, isInside: Gate,
        reconcile: (@Sendable (Int, ToolCall) async throws -> Reconciliation<String>)? = nil
    ) -> Asking {
        let charge = Tool<Int, String>("charge", safety: safety, reconcile: reconcile) { _, call in
            notes.add(call.idempotencyKey)
            guard notes.add("made") == 0 else { return "paid" }
            isInside.open()
            if cut == .crash { throw machine.stop() }
            try await Task.sleep(for: .seconds(600))
            return "never"
        }
        var options = RunnerOptions()
        options.retry.delay = .zero
        if cut == .timeout { options.attemptTimeout = .milliseconds(50) }
        options.timeoutGrace = .seconds(60)
        return Runner("ask", store: store, options: options) {
            (amount: Int, context: StepContext) async throws -> Outcome<Int, String> in
            .complete(try await context.call(charge, amount))
        }
    }

    /// Starts a run whose call is cut; returns the machine on which it may go on.
    private func startAndCut(
        _ safety: ToolSafety, _ cut: Cut, _ notes: Notes,
        reconcile: (@Sendable (Int, ToolCall) async throws -> Reconciliation<String>)? = nil
    ) async throws -> (Asking, RunReader, LogRunStore) {
        let (machine, isInside) = (Simulation(), Gate())
        let store = try machine.open()
        let runner = asking(
            machine, store, safety, cut, notes, isInside: isInside, reconcile: reconcile)
        let task = Task { [run] in try await runner.start(run, state: 5) }
        await isInside.wait()
        if cut == .cancellation { task.cancel() }
        guard cut == .crash else {
            let result = try await task.value
            #expect(result.status != .failed)
            return (runner, try machine.reader(), store)
        }
        await #expect(throws: RunnerError.self) { try await task.value }
        let after = machine.restarted()
        let reopened = try after.open()
        let again = asking(
            after, reopened, safety, cut, notes, isInside: isInside, reconcile: reconcile)
        return (again, try after.reader(), reopened)
    }

    @Test(
        "a tool call started and not finished: pure and idempotent ones run again, with one key",
        arguments: [ToolSafety.pure, .idempotent], Cut.allCases)
    func unknownRunsAgain(safety: ToolSafety, cut: Cut) async throws {
        let notes = Notes()
        let (runner, reader, store) = try await startAndCut(safety, cut, notes)
        // A timeout is tried again at once; the others at the next resume.
        if cut != .timeout { _ = try await runner.resume(run) }
        #expect(try reader.get(run).result == Array(#""paid""#.utf8))
        #expect(notes.count("made") == 2)
        #expect(Set(notes.all.filter { $0 != "made" }).count == 1)
        #expect(try reader.verify(run).isValid)
        try store.close()
    }

    @Test(
        "a `.once` call started and not finished is never made again: the run pauses",
        arguments: Cut.allCases)
    func unknownOncePauses(cut: Cut) async throws {
        let notes = Notes()
        let (runner, reader, store) = try await startAndCut(.once, cut, notes)
        if cut == .crash { _ = try await runner.resume(run) }
        let call = try #require(try reader.toolCalls(run).first)
        #expect(call.status == .started)
        #expect(try reader.get(run).summary.status == .paused)
        if cut != .cancellation {
            let reason = try reader.get(run).summary.pauseReason
            #expect(reason?.unknownCall == call.position)
        }
        // And again, as long as nobody says what happened.
        #expect(try await runner.resume(run).pauseReason?.unknownCall == call.position)
        #expect(notes.count("made") == 1)

        let result = Array(#""paid yesterday""#.utf8)
        try await runner.resolve(run, call: call.position, as: .completed(result: result))
        #expect(try await runner.resume(run).output == "paid yesterday")
        #expect(notes.count("made") == 1)
        #expect(try reader.verify(run).isValid)
        try store.close()
    }

    @Test("a `.once` call that is said not to have happened is made, with the same key")
    func resolvedAsNotHappened() async throws {
        let notes = Notes()
        let (runner, reader, store) = try await startAndCut(.once, .crash, notes)
        guard case .unknownOutcome(let call, _)? = try await runner.resume(run).pauseReason else {
            return #expect(Bool(false), "the run is not paused for its call")
        }
        await #expect(throws: RunnerError.self) {
            try await runner.resolve(run, call: call + 1, as: .didNotHappen)
        }
        try await runner.resolve(run, call: call, as: .didNotHappen)
        #expect(try await runner.resume(run).output == "paid")
        #expect(notes.count("made") == 2)
        #expect(Set(notes.all.filter { $0 != "made" }).count == 1)
        // It was made again and its step is over: nothing is left to resolve.
        await #expect(throws: RunnerError.self) {
            try await runner.resolve(run, call: call, as: .didNotHappen)
        }
        #expect(try reader.toolCalls(run).map(\.status) == [.didNotHappen, .completed])
        #expect(try reader.verify(run).isValid)
        try store.close()
    }

    @Test("a reconcile closure decides what became of a `.once` call", arguments: Cut.allCases)
    func reconcileDecides(cut: Cut) async throws {
        for happened in [true, false] {
            let (notes, reconciled) = (Notes(), Notes())
            let (runner, reader, store) = try await startAndCut(.once, cut, notes) { amount, call in
                reconciled.add("\(amount) \(call.idempotencyKey)")
                return happened ? .happened("paid before") : .didNotHappen
            }
            if try reader.get(run).summary.status != .completed {
                _ = try await runner.resume(run)
            }
            let expected = happened ? #""paid before""# : #""paid""#
            #expect(try reader.get(run).result == Array(expected.utf8))
            #expect(notes.count("made") == (happened ? 1 : 2))
            let keys = Set(notes.all.filter { $0 != "made" })
            #expect(keys.count == 1)
            // A simulated crash throws in the tool: the closure is asked on the dying machine too.
            #expect(Set(reconciled.all) == Set(keys.map { "5 \($0)" }))
            #expect(try reader.verify(run).isValid)
            try store.close()
        }
    }

    /// What a `.once` tool may do other than return.
    private func once(
        _ store: any RunStore, _ notes: Notes,
        reconcile: (@Sendable (Int, ToolCall) async throws -> Reconciliation<Double>)? = nil,
        _ body: @escaping @Sendable () throws -> Double
    ) -> Runner<ClosureLoop<Int, Double>> {
        let charge = Tool<Int, Double>("charge", safety: .once, reconcile: reconcile) { _, _ in
            notes.add("made")
            return try body()
        }
        return Runner("once", store: store, options: options) {
            (amount: Int, context: StepContext) async throws -> Outcome<Int, Double> in
            .complete(try await context.call(charge, amount))
        }
    }

    @Test("a throw from a `.once` tool leaves its outcome unknown: the run pauses")
    func onceThrows() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let runner = once(store, notes) { throw StepFailure("lost", category: .transient) }
        let paused = try await runner.start(run, state: 5)
        #expect(paused.status == .paused)
        guard case .unknownOutcome(let call, _)? = paused.pauseReason else {
            return #expect(Bool(false), "paused for \(String(describing: paused.pauseReason))")
        }
        #expect(try await runner.resume(run).pauseReason?.unknownCall == call)
        #expect(notes.count("made") == 1)
        try await runner.resolve(run, call: call, as: .completed(result: Array("2.5".utf8)))
        #expect(try await runner.resume(run).output == 2.5)
        try store.close()
    }

    @Test("a run that waits for word of a call says so, however often it is resumed")
    func unknownOutcomeStays() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let runner = once(store, notes) { throw StepFailure("lost") }
        let first = try await runner.start(run, state: 5).pauseReason
        for _ in 0..<9 { #expect(try await runner.resume(run).pauseReason == first) }
        for _ in 0..<3 { #expect(try await runner.resume(run).pauseReason == first) }
        #expect(notes.count("made") == 1)
        try store.close()
    }

    @Test("a throw from a `.once` tool with a reconcile closure is settled by it, without a pause")
    func onceThrowsAndIsReconciled() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let reconcile: @Sendable (Int, ToolCall) async throws -> Reconciliation<Double> = { _, _ in
            .happened(2.5)
        }
        let runner = once(store, notes, reconcile: reconcile) { throw StepFailure("lost") }
        let done = try await runner.start(run, state: 5)
        #expect(done.status == .completed)
        #expect(done.output == 2.5)
        #expect(notes.count("made") == 1)
        try store.close()
    }

    @Test("a `.once` tool that throws \"did not happen\" is made again, as after any failure")
    func onceDidNotHappen() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let runner = once(store, notes) {
            if notes.count("made") < 3 { throw ToolDidNotHappen("the line was busy") }
            return 1.5
        }
        #expect(try await runner.start(run, state: 5).output == 1.5)
        #expect(notes.count("made") == 3)
        let attempts = try RunReader(path: path).attempts(run)
        #expect(attempts.map(\.status) == [.failed, .failed, .completed])
        try store.close()
    }

    @Test("a result of a `.once` tool that cannot be stored leaves its outcome unknown")
    func onceUnencodable() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let runner = once(store, notes) { .nan }
        let paused = try await runner.start(run, state: 5)
        guard case .unknownOutcome(let call, _)? = paused.pauseReason else {
            return #expect(Bool(false), "\(paused.status), \(String(describing: paused.failure))")
        }
        #expect(try await runner.resume(run).pauseReason?.unknownCall == call)
        #expect(notes.count("made") == 1)
        try await runner.resolve(run, call: call, as: .completed(result: Array("0".utf8)))
        #expect(try await runner.resume(run).output == 0)
        try store.close()
    }

    @Test(
        "a result that cannot be stored does not stand in the way: the call is made again, one key",
        arguments: [ToolSafety.pure, .idempotent])
    func unencodableRunsAgain(safety: ToolSafety) async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let measure = Tool<Int, Double>("measure", safety: safety) { _, call in
            notes.add(call.idempotencyKey)
            return notes.all.count == 1 ? .infinity : 4
        }
        let runner = Runner("measure", store: store, options: options) {
            (amount: Int, context: StepContext) async throws -> Outcome<Int, Double> in
            .complete(try await context.call(measure, amount))
        }
        let first = try await runner.start(run, state: 5)
        if first.status == .failed { try await runner.retry(run) }
        if first.status != .completed { _ = try await runner.resume(run) }
        let reader = try RunReader(path: path)
        #expect(try reader.get(run).result == Array("4".utf8))
        #expect(notes.all.count == 2)
        #expect(Set(notes.all).count == 1)
        #expect(try reader.verify(run).isValid)
        try store.close()
    }
}
