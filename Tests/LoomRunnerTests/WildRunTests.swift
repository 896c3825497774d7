import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// Loops whose steps call tools of every kind at once, which fail before and after their effect,
/// are cut and cancelled and time out, over logs that are closed and opened between: by seeds.
///
/// LOOMLOG_SEEDS=100 swift test --filter WildRunTests makes more of them (Tools/prove).
@Suite struct WildRunTests {
    static let seeds = Int(ProcessInfo.processInfo.environment["LOOMLOG_SEEDS"] ?? "") ?? 6

    @Test("three runs at once come to their ends, valid, and no `.once` effect is there twice")
    func manyRuns() async throws {
        for seed in 0..<Self.seeds {
            let world = WildWorld(seed: UInt64(seed))
            let log = try TemporaryLog()
            let runs = try ["a", "b", "c"].map { try RunID($0) }
            var bench = try WildBench(world, log, seed)
            var done: Set<RunID> = []
            for _ in 0..<600 where done.count < runs.count {
                try bench.reopenNowAndThen()
                let open = runs.filter { !done.contains($0) }
                for result in try await bench.drive(open) {
                    if result.status == .completed { done.insert(result.run) }
                    try await bench.help(result)
                }
            }
            #expect(done.count == runs.count, "seed \(seed)")
            for run in runs { try bench.check(run, "seed \(seed), run \(run)") }
            #expect(world.repeatedOnce == [], "seed \(seed)")
            try bench.store.close()
        }
    }
}

/// What really happened, and the dice.
final class WildWorld: Sendable {
    private struct State {
        var generator: SeededGenerator
        var effects: [String: Int] = [:]
        var answers: [String: Int] = [:]
        /// The key under which a tool had its effect, by scope, kind and request.
        var keys: [String: String] = [:]
    }
    private let state: Mutex<State>

    init(seed: UInt64) { state = Mutex(State(generator: SeededGenerator(seed))) }

    func roll(_ sides: Int) -> Int {
        state.withLock { Int.random(in: 0..<sides, using: &$0.generator) }
    }

    /// The effect of a call; the same answer for the same key.
    func act(_ call: ToolCall, as name: String) -> Int {
        let value = roll(1000)
        return state.withLock { state in
            let key = call.idempotencyKey
            state.effects[key, default: 0] += 1
            state.keys[name] = key
            let answer = state.answers[key] ?? value
            state.answers[key] = answer
            return answer
        }
    }

    func answer(to call: ToolCall) -> Int? {
        state.withLock { state in
            state.effects[call.idempotencyKey] == nil ? nil : state.answers[call.idempotencyKey]
        }
    }

    func answer(as name: String) -> Int? {
        state.withLock { state in state.keys[name].flatMap { state.answers[$0] } }
    }

    /// Effects of `.once` tools that are there more than once.
    var repeatedOnce: [String] {
        state.withLock { state in
            state.keys.filter { $0.key.contains(" once ") && state.effects[$0.value] != 1 }.keys
                .sorted()
        }
    }
}

struct WildLoop: StepLoop {
    let name = "wild"
    let world: WildWorld

    private func tool(_ safety: ToolSafety, _ reconciles: Bool, _ scope: String) -> Tool<Int, Int> {
        let world = world
        let body: @Sendable (Int, ToolCall) async throws -> Int = { request, call in
            for _ in 0..<world.roll(4) { await Task.yield() }
            let fate = world.roll(12)
            if fate == 0 { throw ToolDidNotHappen("no") }
            if fate == 1 { throw StepFailure("before", category: .transient) }
            let answer = world.act(call, as: "\(scope) \(safety.rawValue) \(request)")
            if fate == 2 { throw StepFailure("after", category: .transient) }
            if fate == 3 { throw CancellationError() }
            if fate == 4 { try await Task.sleep(for: .milliseconds(3)) }
            return answer
        }
        guard reconciles, safety == .once else {
            return Tool(safety.rawValue, safety: safety, body)
        }
        return Tool(
            safety.rawValue, safety: safety,
            reconcile: { _, call in
                if world.roll(5) == 0 { throw StepFailure("no word", category: .transient) }
                return world.answer(to: call).map { .happened($0) } ?? .didNotHappen
            }, body)
    }

    func step(_ state: Int, _ context: StepContext) async throws -> Outcome<Int, Int> {
        if state == 12 { return .complete(state) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<4 {
                group.addTask { try await call(index, state, context) }
            }
            try await group.waitForAll()
        }
        if world.roll(6) == 0 { throw StepFailure("step", category: .transient) }
        return world.roll(9) == 0 ? .pause(state + 1, reason: "rest") : .continue(state + 1)
    }

    private func call(_ index: Int, _ state: Int, _ context: StepContext) async throws {
        let safety = ToolSafety.allCases[(state + index) % 3]
        let tool = tool(safety, index % 2 == 0, index == 2 ? "all" : context.run.rawValue)
        let request = state * 10 + index
        switch index {
        case 0: _ = try await context.call(tool, request)
        case 1: _ = try await context.call(tool, request, key: "k \(request)")
        case 2: _ = try await context.call(tool, request, key: "k \(state)", scope: .store)
        default:
            async let one = context.call(tool, request, key: "same \(state)")
            async let other = context.call(tool, request, key: "same \(state)")
            let (first, second) = try await (one, other)
            #expect(first == second)
        }
    }
}

/// Drives wild runs, and helps those that stand.
struct WildBench {
    private let world: WildWorld
    private let log: TemporaryLog
    private let durability: Durability
    private var options = RunnerOptions.testing
    private(set) var store: LogRunStore

    init(_ world: WildWorld, _ log: TemporaryLog, _ seed: Int) throws {
        self.world = world
        self.log = log
        durability = Durability.allCases[seed % 3]
        store = try log.open(LogOptions(durability: durability))
        options.clock = SystemRunClock()
        options.retry.delay = .microseconds(10)
        // A busy machine must not take a step for one that goes on.
        options.timeoutGrace = .seconds(60)
        options.policy = [.full, .interval(3), .compact][seed % 3]
        if seed % 2 == 0 { options.attemptTimeout = .milliseconds(3) }
    }

    mutating func reopenNowAndThen() throws {
        guard world.roll(8) == 0 else { return }
        try store.close()
        store = try log.open(LogOptions(durability: durability))
    }

    /// A few steps of each run, at once; some are cancelled.
    func drive(_ runs: [RunID]) async throws -> [RunResult<WildLoop>] {
        let runner = Runner(WildLoop(world: world), store: store, options: options)
        let world = world
        return try await withThrowingTaskGroup(of: RunResult<WildLoop>.self) { group in
            for run in runs {
                group.addTask {
                    let task = Task {
                        try await runner.start(run, state: 0, stepsMax: 3, ifExists: .attach)
                    }
                    if world.roll(3) == 0 {
                        for _ in 0..<world.roll(60) { await Task.yield() }
                        task.cancel()
                    }
                    return try await task.value
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }

    /// What a person does: opens a failed run again, says what became of a call.
    func help(_ result: RunResult<WildLoop>) async throws {
        let control = RunControl(store: store, options: options)
        if result.status == .failed { try await control.retry(result.run) }
        guard case .unknownOutcome(let position, _)? = result.pauseReason else { return }
        let row = try log.reader().toolCalls(result.run).first { $0.position == position }
        guard let start = row?.start else { return }
        var scope = result.run.rawValue
        if case .shared = start.key { scope = "all" }
        let request = String(decoding: start.request, as: UTF8.self)
        let answer = world.answer(as: "\(scope) \(start.name) \(request)")
        let outcome = answer.map { ToolFinish.Outcome.completed(result: Array("\($0)".utf8)) }
        try await control.resolve(result.run, call: position, as: outcome ?? .didNotHappen)
    }

    /// The run is valid, and its pages are those of its lists.
    func check(_ run: RunID, _ place: Comment) throws {
        let reader = try log.reader()
        let explained = try reader.explain(run)
        #expect(explained.violations == [], place)
        let (attempts, history) = (try reader.attempts(run), try reader.history(run))
        #expect(explained.stats.attemptCount == attempts.count, place)
        #expect(explained.stats.stepCount == history.count, place)
        for _ in 0..<5 {
            let (limit, offset) = (world.roll(5), world.roll(attempts.count + 2))
            let step = UInt64(world.roll(13))
            #expect(
                try reader.attempts(run, limit: limit, offset: offset)
                    == Array(attempts.dropFirst(offset).prefix(limit)), place)
            #expect(
                try reader.history(run, limit: limit, offset: offset)
                    == Array(history.dropFirst(offset).prefix(limit)), place)
            #expect(
                try reader.attempts(run, step: step) == attempts.filter { $0.id.step == step },
                place)
        }
    }
}
