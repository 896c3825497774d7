import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Testing

// Starting a run that may exist, small loops, tools by name, labels.

extension DifferenceTests {
    @Test("a loop may be a closure: it runs, pauses, and is resumed by its name")
    func closures() async throws {
        let store = try LogRunStore(path: path)
        let runner = Runner("count-to-ten", store: store) { (count: Int, context) in
            count < 10 ? .continue(count + 1) : .complete("done at \(context.attempt.step)")
        }
        let paused = try await runner.start(run, state: 0, stepsMax: 4)
        #expect(paused.status == .paused)
        #expect(paused.state == 4)
        #expect(try RunReader(path: path).get(run).summary.loop == "count-to-ten")
        let other = Runner("other", store: store) { (count: Int, context) in
            count < 0 ? .continue(count) : .complete("")
        }
        do {
            _ = try await other.resume(run)
            Issue.record("a loop of another name went on with the run")
        } catch RunnerError.loopMismatch(let stored, let expected) {
            #expect(stored == "count-to-ten" && expected == "other")
        }
        #expect(try await runner.resume(run).output == "done at 10")
        try store.close()
    }

    private func counting(_ store: any RunStore, _ notes: Notes) -> Counting {
        Runner("count", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            notes.add("step \(number)")
            if number == 13 { throw StepFailure("no", category: .validation) }
            return number % 5 < 4 ? .continue(number + 1) : .complete(number)
        }
    }

    @Test("starting a run that exists fails, unless it is to be attached to")
    func startExisting() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let runner = counting(store, notes)
        _ = try await runner.start(run, state: 0, stepsMax: 2)
        let before = try await events(of: run, in: store)
        do {
            _ = try await runner.start(run, state: 0, ifExists: .fail)
            Issue.record("the run was started twice")
        } catch RunnerError.runExists(let name) { #expect(name == run) }
        #expect(try await events(of: run, in: store) == before)
        try store.close()
    }

    @Test("attaching to a paused run goes on with it; to one that is over, tells how it ended")
    func attach() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let runner = counting(store, notes)
        // There is none yet: it is started.
        let paused = try await runner.start(run, state: 0, stepsMax: 2, ifExists: .attach)
        #expect(paused.state == 2)
        let more = try await runner.start(run, state: 0, stepsMax: 1, ifExists: .attach)
        #expect(more.status == .paused)
        #expect(more.state == 3)
        #expect(try await runner.start(run, state: 99, ifExists: .attach).output == 4)
        #expect(notes.all == (0...4).map { "step \($0)" })

        let done = try await runner.start(run, state: 0, ifExists: .attach)
        #expect(done.status == .completed)
        #expect(done.output == 4)
        #expect(done.state == nil)
        let failing = try RunID("failing")
        for _ in 0..<2 {
            let failed = try await runner.start(failing, state: 12, ifExists: .attach)
            #expect(failed.status == .failed)
            #expect(failed.failure?.category == .validation)
            #expect(failed.state == 13)
        }
        let given = try RunID("given-up")
        _ = try await runner.start(given, state: 0, stepsMax: 1)
        try await runner.cancel(given)
        #expect(try await runner.start(given, state: 0, ifExists: .attach).status == .cancelled)
        #expect(notes.all.count == 8)
        try store.close()
    }

    @Test("attaching to a run whose process died goes on with it")
    func attachToARunning() async throws {
        let notes = Notes()
        func runner(_ machine: Simulation) throws -> Counting {
            Runner("count", store: try machine.open(), options: options) {
                (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
                if number == 1 && notes.add("one") == 0 { throw machine.stop() }
                return number < 2 ? .continue(number + 1) : .complete(number)
            }
        }
        let machine = Simulation()
        await #expect(throws: RunnerError.self) {
            try await runner(machine).start(run, state: 0, ifExists: .attach)
        }
        let after = machine.restarted()
        #expect(try await runner(after).start(run, state: 0, ifExists: .attach).output == 2)
        #expect(
            try after.reader().attempts(run, step: 1).map(\.status) == [.interrupted, .completed])
    }

    @Test("attaching if the input is the same: to another it is refused, and nothing changes")
    func attachIfSameInput() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let runner = counting(store, notes)
        func attach(_ state: Int, stepsMax: Int? = nil) async throws -> RunResult<
            ClosureLoop<Int, Int>
        > {
            try await runner.start(
                run, state: state, stepsMax: stepsMax, ifExists: .attachIfSameInput)
        }
        #expect(try await attach(0, stepsMax: 2).state == 2)
        let before = try await events(of: run, in: store)
        // The present state is not the input.
        for other in [1, 2] {
            do {
                _ = try await attach(other)
                Issue.record("attached with \(other)")
            } catch RunnerError.otherInput(let name) { #expect(name == run) }
        }
        #expect(try await events(of: run, in: store) == before)
        #expect(try await attach(0).output == 4)
        #expect(try await attach(0).output == 4)
        do {
            _ = try await attach(1)
            Issue.record("attached to a completed run of another input")
        } catch RunnerError.otherInput {}
        #expect(notes.all == (0...4).map { "step \($0)" })
        try store.close()
    }

    @Test("a registry refuses a tool without a name, and a name that is taken")
    func registryRefuses() throws {
        var tools = ToolRegistry()
        let echo = Tool<String, String>("echo", safety: .pure) { text, _ in text }
        #expect(tools.names == [])
        #expect(throws: ToolRegistryError.emptyName) {
            try tools.register(Tool<Int, Int>("", safety: .pure) { number, _ in number })
        }
        try tools.register(echo)
        try tools.register(Tool<Int, Int>("add", safety: .once) { number, _ in number + 1 })
        #expect(throws: ToolRegistryError.duplicate("echo")) { try tools.register(echo) }
        #expect(throws: ToolRegistryError.duplicate("add")) {
            try tools.register(Tool<String, String>("add", safety: .pure) { text, _ in text })
        }
        #expect(tools.names == ["add", "echo"])
    }

    @Test("a tool is called by its name, as managed as any other; an unknown name is a validation")
    func toolsByName() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        var options = options
        try options.tools.register(
            Tool<Int, [String]>("words", safety: .once) { count, _ in
                notes.add("made")
                return (0..<count).map { "word \($0)" }
            })
        let runner = Runner("by-name", store: store, options: options) {
            (name: String, context: StepContext) async throws -> Outcome<String, [String]> in
            let isFirst = notes.add("step") == 0
            let words = try await context.call(named: name, 2, as: [String].self)
            if isFirst { throw StepFailure("busy", category: .transient) }
            return .complete(words)
        }
        #expect(try await runner.start(run, state: "words").output == ["word 0", "word 1"])
        #expect(notes.count("made") == 1)
        #expect(notes.count("step") == 2)
        let reader = try RunReader(path: path)
        #expect(try reader.toolCalls(run).map(\.start.name) == ["words"])
        #expect(try reader.toolCalls(run).map(\.start.safety) == [.once])

        let unknown = try RunID("unknown")
        let failed = try await runner.start(unknown, state: "wrods")
        #expect(failed.status == .failed)
        #expect(failed.failure?.category == .validation)
        #expect(failed.failure?.isRetryable == false)
        #expect(failed.failure?.message.contains("wrods") == true)
        #expect(try reader.attempts(unknown).count == 1)
        #expect(try reader.toolCalls(unknown) == [])
        try store.close()
    }

    @Test("labels that a step sets stay when its attempt fails, and when the power goes")
    func labels() async throws {
        let machine = Simulation()
        let store = try machine.open()
        var options = options
        options.labels = [Label(name: "owner", value: "me"), Label(name: "old", value: "yes")]
        let runner = Runner("label", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            #expect(context.labels["owner"] == "me")
            try await context.label("phase", "reading")
            try await context.label("old", "")
            #expect(context.labels == ["owner": "me", "phase": "reading"])
            throw StepFailure("no", category: .validation)
        }
        #expect(try await runner.start(run, state: 0).status == .failed)
        let expected: [ByteString: String] = ["owner": "me", "phase": "reading"]
        #expect(try machine.reader().get(run).summary.labels == expected)
        try await RunControl(store: store).label(run, [Label(name: "seen", value: "by me")])
        for after in [machine.restarted(), machine.afterPowerLoss()] {
            let labels = try after.reader().get(run).summary.labels
            #expect(labels == expected.merging(["seen": "by me"]) { first, _ in first })
        }
        #expect(try machine.reader().verify(run).isValid)
    }
}
