import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// The number that tells a call without a key from equal ones of its attempt, when calls fail. The
/// effects are counted, not the answers.
@Suite struct OccurrenceTests {
    private let run: RunID
    private let store = MemoryRunStore()

    init() throws { run = try RunID("demo") }

    /// A bank: what was charged, and under which keys it was asked.
    private final class Bank: Sendable {
        private struct State {
            var asked: [String] = []
            var charged: [String] = []
        }
        private let state = Mutex(State())

        /// How often it was asked, this time included.
        func ask(_ call: ToolCall) -> Int {
            state.withLock { state in
                state.asked.append(call.idempotencyKey)
                return state.asked.count
            }
        }

        func charge(_ call: ToolCall) -> Int {
            state.withLock { state in
                state.charged.append(call.idempotencyKey)
                return state.charged.count
            }
        }

        var asked: [String] { state.withLock { $0.asked } }
        var charged: [String] { state.withLock { $0.charged } }
    }

    /// Fails once in each life of the test.
    private final class FirstTime: Sendable {
        private let isOver = Mutex(false)
        func fail() throws {
            let isFirst = isOver.withLock { isOver in
                defer { isOver = true }
                return !isOver
            }
            if isFirst { throw StepFailure("the attempt fails", category: .transient) }
        }
    }

    private static func insisting(
        _ tool: Tool<Int, Int>, _ context: StepContext
    ) async throws -> Int {
        for _ in 0..<3 {
            if let receipt = try? await context.call(tool, 100) { return receipt }
        }
        throw StepFailure("it never worked")
    }

    /// The failed try had taken the number, so the next attempt did not find the one that
    /// completed, and made it again under another key.
    @Test("a call that a step tried again by itself is answered", arguments: ToolSafety.allCases)
    func ownLoop(safety: ToolSafety) async throws {
        let (bank, firstTime) = (Bank(), FirstTime())
        let charge = Tool<Int, Int>("charge", safety: safety) { _, call in
            if bank.ask(call) == 1 { throw ToolDidNotHappen("busy") }
            return bank.charge(call)
        }
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let receipt = try await Self.insisting(charge, context)
            try firstTime.fail()
            return .complete(receipt)
        }
        let result = try await runner.start(run, state: 0)
        #expect(result.output == 1 && bank.charged.count == 1)
        // The other side hears one key for one call.
        #expect(Set(bank.asked).count == 1)
    }

    /// As above, the failure being the word of `reconcile`.
    @Test("a call that `reconcile` found not to have happened gives its number back")
    func reconciled() async throws {
        let (bank, firstTime) = (Bank(), FirstTime())
        let charge = Tool<Int, Int>(
            "charge", safety: .once, reconcile: { _, _ in .didNotHappen }
        ) { _, call in
            if bank.ask(call) == 1 { throw StepFailure("the connection broke") }
            return bank.charge(call)
        }
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let receipt = try await Self.insisting(charge, context)
            try firstTime.fail()
            return .complete(receipt)
        }
        let result = try await runner.start(run, state: 0)
        #expect(result.output == 1 && bank.charged.count == 1)
        #expect(Set(bank.asked).count == 1)
    }

    /// The second try of the first call must not take the number of the other one, which is still
    /// being made: nor may it leave a gap that the next attempt fills.
    @Test("two equal calls at once, of which the first fails and is tried again")
    func twoAtOnce() async throws {
        let (bank, firstTime) = (Bank(), FirstTime())
        let (isSecondThere, mayEnd) = (Gate(), Gate())
        let charge = Tool<Int, Int>("charge", safety: .once) { _, call in
            switch bank.ask(call) {
            case 1:
                await isSecondThere.wait()
                throw ToolDidNotHappen("busy")
            case 2:
                isSecondThere.open()
                await mayEnd.wait()
            default: mayEnd.open()
            }
            return bank.charge(call)
        }
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, [Int]> in
            async let one = Self.insisting(charge, context)
            async let two = Self.insisting(charge, context)
            let receipts = try await [one, two]
            try firstTime.fail()
            return .complete(receipts.sorted())
        }
        let result = try await runner.start(run, state: 0)
        #expect(result.output == [1, 2] && bank.charged.count == 2)
        #expect(Set(bank.charged).count == 2 && Set(bank.asked).count == 2)
    }

    /// A log of an earlier version looks like this after a loop of the step's own.
    @Test("a completed call behind one that failed answers the next attempt's only call")
    func gap() async throws {
        let (bank, firstTime, isFirstThere) = (Bank(), FirstTime(), Gate())
        let attempts = Mutex(0)
        let charge = Tool<Int, Int>("charge", safety: .once) { _, call in
            if bank.ask(call) == 1 {
                isFirstThere.open()
                while bank.charged.isEmpty { await Task.yield() }
                throw ToolDidNotHappen("busy")
            }
            return bank.charge(call)
        }
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let isFirst = attempts.withLock { attempts in
                attempts += 1
                return attempts == 1
            }
            guard isFirst else { return .complete(try await context.call(charge, 100)) }
            async let failing = context.call(charge, 100)
            await isFirstThere.wait()
            _ = try await context.call(charge, 100)
            _ = try? await failing
            try firstTime.fail()
            return .complete(-1)
        }
        let result = try await runner.start(run, state: 0)
        #expect(result.output == 1 && bank.charged.count == 1)
    }

    /// The first word on the cut call was an error; the second try of the step counted as another
    /// call, so that the answer of `reconcile` did not stop it from being made.
    @Test("a `.once` call of an earlier attempt is asked about again when `reconcile` failed")
    func askedAgain() async throws {
        let (bank, begun) = (Bank(), Gate())
        let asked = Mutex(0)
        let charge = Tool<Int, Int>(
            "charge", safety: .once,
            reconcile: { _, _ in
                let count = asked.withLock { asked in
                    asked += 1
                    return asked
                }
                if count == 1 { throw StepFailure("the bank does not answer") }
                return .happened(1)
            }
        ) { _, call in
            _ = bank.charge(call)
            begun.open()
            try await Task.sleep(for: .seconds(3600))
            return 1
        }
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            for _ in 0..<2 {
                if let receipt = try? await context.call(charge, 100) { return .complete(receipt) }
            }
            return .complete(-1)
        }
        let run = run
        let first = Task { try await runner.start(run, state: 0) }
        await begun.wait()
        first.cancel()
        #expect(try await first.value.status == .paused)
        #expect(try await runner.resume(run).output == 1)
        #expect(bank.charged.count == 1)
    }

    /// The step's own time limit cut the call, and its second try came under another key, so that
    /// the other side could not know it for the same.
    @Test("an `.idempotent` call that its step cut and makes again keeps its key")
    func cutByStep() async throws {
        let bank = Bank()
        let begun = Gate()
        let upload = Tool<Int, Int>("upload", safety: .idempotent) { _, call in
            if bank.ask(call) == 1 {
                begun.open()
                try await Task.sleep(for: .seconds(3600))
            }
            return bank.charge(call)
        }
        let runner = Runner("l", store: store, options: .testing) {
            (_: Int, context) async throws -> Outcome<Int, Int> in
            let first = Task { try await context.call(upload, 1) }
            await begun.wait()
            first.cancel()
            _ = try? await first.value
            return .complete(try await context.call(upload, 1))
        }
        let result = try await runner.start(run, state: 0)
        #expect(result.output == 1)
        #expect(bank.asked.count == 2 && Set(bank.asked).count == 1)
    }
}

/// Each step charges in a loop of its own; every other try does not happen, and the first attempt
/// at each step fails when it has charged.
private struct FlakyCharges: StepLoop {
    let name = "flaky"
    let charge: Tool<String, String>
    private let failed = Failed()

    private final class Failed: Sendable {
        let steps = Mutex<Set<Int>>([])
    }

    private final class Facts: Sendable {
        let state = Mutex((tries: 0, charged: Set<String>()))
    }

    init(_ world: CrashWorld, reconciles: Bool) {
        let (inner, facts) = (
            world.tool("charge", safety: .once, reconciles: false) { "did \($0)" }
                as Tool<String, String>, Self.facts(of: world)
        )
        let look: @Sendable (String, ToolCall) async throws -> Reconciliation<String> = { what, _ in
            facts.state.withLock { $0.charged.contains(what) }
                ? .happened("did \(what)") : .didNotHappen
        }
        charge = Tool("charge", safety: .once, reconcile: reconciles ? look : nil) { what, call in
            let isFlaky = facts.state.withLock { state in
                state.tries += 1
                return state.tries % 2 == 1
            }
            if isFlaky { throw ToolDidNotHappen("busy") }
            facts.state.withLock { _ = $0.charged.insert(what) }
            return try await inner.perform(what, call)
        }
    }

    /// What happened in a world outlives the loops that are made for it.
    private static func facts(of world: CrashWorld) -> Facts {
        all.withLock { all in
            let facts = all[ObjectIdentifier(world)] ?? (world, Facts())
            all[ObjectIdentifier(world)] = facts
            return facts.1
        }
    }
    private static let all = Mutex<[ObjectIdentifier: (CrashWorld, Facts)]>([:])

    func step(_ state: [String], _ context: StepContext) async throws -> Outcome<[String], [String]>
    {
        if state.count == 2 { return .complete(state) }
        var receipt: String?
        while receipt == nil {
            do {
                receipt = try await context.call(charge, "order \(state.count)")
            } catch is ToolDidNotHappen {}
        }
        let isFirst = failed.steps.withLock { $0.insert(state.count).inserted }
        if isFirst { throw StepFailure("the attempt fails", category: .transient) }
        return .continue(state + [receipt ?? ""])
    }
}

extension CrashResumeTests {
    /// Killed between the charge and the end of its step, it charged again.
    @Test(
        "a stop at every call of a step that tries a `.once` call again by itself",
        arguments: Durability.allCases, [true, false])
    func ownLoop(durability: Durability, reconciles: Bool) async throws {
        let problems = try await expectResumable(
            state: [], policies: [.full], durabilities: [durability], every: 3
        ) { FlakyCharges($0, reconciles: reconciles) }
        #expect(problems == [])
    }
}
