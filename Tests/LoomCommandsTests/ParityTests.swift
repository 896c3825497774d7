import Foundation
import LoomCommands
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import SystemPackage
import Testing

/// What loom-runner 0.1.3 answered, recorded, beside what we answer: by the rules of the
/// recordings' README and the differences that are ours on purpose.
@Suite struct ParityTests {
    static let scenarios = ["counter", "flaky", "invalid", "exhausted", "tools"]
    static let policies: [(name: String, policy: CheckpointPolicy)] = [
        ("full", .full), ("interval-3", .interval(3)), ("compact", .compact),
    ]

    @Test("every recorded answer is ours too", arguments: scenarios)
    func agrees(scenario: String) async throws {
        for (name, policy) in Self.policies {
            let recorded = try ParityRules.recording(scenario, name)
            try await replay(recorded, scenario, policy)
        }
    }

    private func replay(
        _ recorded: JSONValue, _ scenario: String, _ policy: CheckpointPolicy
    ) async throws {
        let log = FilePath(NSTemporaryDirectory()).appending("parity-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(atPath: log.string) }
        let store = try LogRunStore(path: log)
        var options = RunnerOptions()
        options.clock = VirtualRunClock()
        options.policy = policy
        let runner = Runner(ParityLoop(scenario: scenario), store: store, options: options)
        let answers = ParityAnswers(runner: runner, reader: try RunReader(path: log))
        for call in recorded["calls"].elements {
            let name = call["call"].text
            let place = "\(scenario), \(policy), \(call["when"].text) \(name)"
            let ours = await answers.answer(name)
            switch (ours, call["raises"]) {
            case (.success(let value), .null):
                let theirs = ParityRules.recorded(call["returns"], policy)
                #expect(value == theirs, "\(place)")
            case (.failure, .null): Issue.record("\(place): we threw \(ours)")
            case (.success(let value), _):
                // A recorded raise of a step corresponds to the run's status afterwards.
                #expect(value["status"] == .string("failed"), "\(place)")
            case (.failure, _): break
            }
        }
        let list = try RunReader(path: log).list().map(\.json)
        #expect(.array(list) == recorded["list_runs"], "\(scenario), \(policy): list")
        try store.close()
    }
}

/// Makes the recorded calls on our runner and reader.
struct ParityAnswers {
    let runner: Runner<ParityLoop>
    let reader: RunReader

    func answer(_ call: String) async -> Result<JSONValue, any Error> {
        do {
            return .success(try await make(call))
        } catch {
            return .failure(error)
        }
    }

    private func make(_ call: String) async throws -> JSONValue {
        let run = try RunID("demo")
        switch call {
        case "start(target=10,max_steps=5)", "start again":
            _ = try await runner.start(run, state: .init(current: 0, target: 10), stepsMax: 5)
            return try reader.get(run).json
        case "resume(max_steps=100)", "resume again":
            _ = try await runner.resume(run, stepsMax: 100)
            return try reader.get(run).json
        case "start(target=1,max_steps=0) run zero":
            let zero = try RunID("zero")
            _ = try await runner.start(zero, state: .init(current: 0, target: 1), stepsMax: 0)
            return try reader.get(zero).json
        case "get_run": return try reader.get(run).json
        case "get_run(unknown)": return try reader.get(RunID("nobody")).json
        case "get_history": return try history(run, nil, 0)
        case "get_history(limit=2,offset=2)": return try history(run, 2, 2)
        case "get_history(limit=-1)": return try history(run, -1, 0)
        case "get_attempts": return try attempts(run, nil)
        case "get_attempts(step_index=2)": return try attempts(run, 2)
        case "get_tool_calls": return try toolCalls(run)
        case "get_stats": return try reader.stats(run).json
        case "verify_run":
            let (isValid, notes) = try reader.verify(run)
            return .object([
                "run_id": .string("demo"), "valid": .bool(isValid),
                "notes": .array(notes.map { .string($0) }),
            ])
        case "explain_run":
            return ParityRules.ours(try reader.explain(run).json)
        default: throw StepFailure("an unknown call: \(call)")
        }
    }

    private func history(_ run: RunID, _ limit: Int?, _ offset: Int) throws -> JSONValue {
        let form = try reader.get(run).form
        return .array(
            try reader.history(run, limit: limit, offset: offset).map { $0.json(of: form) })
    }

    private func attempts(_ run: RunID, _ step: UInt64?) throws -> JSONValue {
        let form = try reader.get(run).form
        return ParityRules.ours(
            .array(try reader.attempts(run, step: step).map { $0.json(of: form) }))
    }

    private func toolCalls(_ run: RunID) throws -> JSONValue {
        let form = try reader.get(run).form
        return ParityRules.ours(.array(try reader.toolCalls(run).map { $0.json(of: form) }))
    }
}
