import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

/// Each step calls a tool of each kind; the state gathers what they returned.
struct ThreeTools: StepLoop {
    struct State: Codable, Sendable, Equatable {
        var step = 0
        var answers: [String] = []
    }
    let name = "three-tools"
    static let steps = 4
    let tools: [Tool<String, String>]

    /// With tools that do what they say.
    init(_ world: CrashWorld, reconciles: Bool = true) {
        tools = ToolSafety.allCases.map { safety in
            world.tool(safety.rawValue, safety: safety, reconciles: reconciles) { "did \($0)" }
        }
    }

    /// With tools that are wrong about how often they may happen: the harness must find out.
    init(careless world: CrashWorld) {
        let once = world.tool("once", safety: .once) { (effect: String) in "did \(effect)" }
        tools = [
            Tool("once", safety: .idempotent) { effect, call in try await once.perform(effect, call)
            }
        ]
    }

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, [String]> {
        if state.step == Self.steps { return .complete(state.answers) }
        var next = state
        for tool in tools {
            next.answers.append(try await context.call(tool, "\(tool.name) \(state.step)"))
        }
        next.step += 1
        return .continue(next)
    }
}

/// A crash at every storage call and inside every tool call: the run resumes to the same result,
/// and no effect happens twice that must not.
@Suite struct CrashResumeTests {
    static let every = ProcessInfo.processInfo.environment["LOOMLOG_HEAVY"] != nil ? 1 : 23

    @Test("a stop at every call, in every mode and policy", arguments: Durability.allCases)
    func everywhere(durability: Durability) async throws {
        let problems = try await expectResumable(
            state: ThreeTools.State(), durabilities: [durability], every: Self.every
        ) { ThreeTools($0) }
        #expect(problems == [])
    }

    @Test(
        "the same with `.once` calls that somebody has to resolve", arguments: Durability.allCases)
    func unreconciled(durability: Durability) async throws {
        let problems = try await expectResumable(
            state: ThreeTools.State(), policies: [.full], durabilities: [durability],
            every: Self.every
        ) { ThreeTools($0, reconciles: false) }
        #expect(problems == [])
    }

    @Test("a `.once` effect behind a tool that says it may happen again is found out")
    func careless() async throws {
        let problems = try await expectResumable(
            state: ThreeTools.State(), policies: [.full], durabilities: [.full], every: 50
        ) { ThreeTools(careless: $0) }
        #expect(problems.contains { $0.contains("happened 2 times") })
    }

    @Test("a `.once` call cut in the middle, without a closure, pauses until it is resolved")
    func resolve() async throws {
        let folder = FilePath(NSTemporaryDirectory()).appending("once-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(atPath: folder.string) }
        struct Once: StepLoop {
            let name = "once"
            let tally: Tally
            func step(_ state: Int, _ context: StepContext) async throws -> Outcome<Int, String> {
                let charge = Tool<Int, String>("charge", safety: .once) { _, _ in
                    tally.add("charge")
                    throw StepFailure("the connection broke", category: .transient)
                }
                return .complete(try await context.call(charge, 1))
            }
        }
        let store = try LogRunStore(path: folder)
        let tally = Tally()
        let runner = Runner(Once(tally: tally), store: store)
        let run = try RunID("demo")
        let paused = try await runner.start(run, state: 0)
        guard case .unknownOutcome(let call, _)? = paused.pauseReason else {
            return #expect(Bool(false), "\(paused)")
        }
        // Resumed without an answer: still not made again.
        #expect(try await runner.resume(run).pauseReason?.unknownCall == call)
        #expect(tally["charge"] == 1)
        try await runner.resolve(run, call: call, as: .completed(result: Array(#""paid""#.utf8)))
        #expect(try await runner.resume(run).output == "paid")
        #expect(tally["charge"] == 1)
        try store.close()
    }
}
