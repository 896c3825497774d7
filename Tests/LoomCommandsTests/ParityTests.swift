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
            let url = URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "Parity/\(scenario)-\(name).json")
            let recorded = try JSONValue(parsing: Array(try Data(contentsOf: url)))
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
        var hashes: [String: String] = [:]
        for call in recorded["calls"].elements {
            let name = call["call"].text
            let place = "\(scenario), \(policy), \(call["when"].text) \(name)"
            let ours = await answers.answer(name)
            switch (ours, call["raises"]) {
            case (.success(let value), .null):
                let theirs = normalised(call["returns"], policy, &hashes)
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

    /// The recording in the shape that its README's rules give it.
    private func normalised(
        _ value: JSONValue, _ policy: CheckpointPolicy, _ hashes: inout [String: String]
    ) -> JSONValue {
        switch value {
        case .array(let rows): return .array(rows.map { normalised($0, policy, &hashes) })
        case .object(var row):
            if row["output_json"] != nil { attempt(&row, policy) }
            if row["tool_call_id"] != nil {
                row["tool_call_id"] = nil
                row["idempotency_key"] = nil
                row["request_hash"] = nil
                if case .string(let text)? = row["result_json"],
                    let envelope = try? JSONValue(parsing: Array(text.utf8))
                {
                    row["result_json"] = envelope["payload"]
                }
            }
            return .object(row)
        default: return value
        }
    }

    /// An attempt: JSON compared as such, the hash by which state it stands for; and section 8's
    /// table, as under interval loom-runner kept in its attempts what it hid from the history.
    private func attempt(_ row: inout [String: JSONValue], _ policy: CheckpointPolicy) {
        if case .string(let text)? = row["output_json"] {
            row["output_json"] = (try? JSONValue(parsing: Array(text.utf8))) ?? .null
        }
        guard case .integer(let step)? = row["step_index"] else { return }
        row["input_hash"] = .string("state \(step)")
        guard case .interval(let every) = policy else { return }
        if step % Int64(every) != 0 { row["input_hash"] = .null }
        let isResult = row["outcome_kind"] == .string("complete")
        if !isResult && (step + 1) % Int64(every) != 0 { row["output_json"] = .null }
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
            return try reader.explain(run).json.without("loop", "epoch", "interrupted_count")
        default: throw StepFailure("an unknown call: \(call)")
        }
    }

    private func history(_ run: RunID, _ limit: Int?, _ offset: Int) throws -> JSONValue {
        let view = try reader.get(run)
        return .array(
            try reader.history(run, limit: limit, offset: offset).map { $0.json(of: view) })
    }

    private func attempts(_ run: RunID, _ step: UInt64?) throws -> JSONValue {
        let view = try reader.get(run)
        return .array(
            try reader.attempts(run, step: step).map { row in
                guard case .object(var fields) = row.json(of: view) else { return .null }
                fields["started_at"] = .string("<time>")
                fields["finished_at"] = .string("<time>")
                if case .string(let text)? = fields["output_json"] {
                    fields["output_json"] = try JSONValue(parsing: Array(text.utf8))
                }
                // The hash stands for the state that it is of.
                if let hash = row.inputHash {
                    let state = #"{"current":\#(row.id.step),"target":10}"#
                    let expected = InputHash.of(state: Array(state.utf8))
                    fields["input_hash"] = .string(
                        hash == expected ? "state \(row.id.step)" : "another state")
                }
                return .object(fields)
            })
    }

    private func toolCalls(_ run: RunID) throws -> JSONValue {
        let view = try reader.get(run)
        return .array(
            try reader.toolCalls(run).map { row in
                guard
                    case .object(var fields) = row.json(of: view).without(
                        "tool_call_id", "idempotency_key", "request_hash", "safety", "reuse_count")
                else { return .null }
                fields["started_at"] = .string("<time>")
                fields["finished_at"] = .string("<time>")
                if case .string(let text)? = fields["result_json"] {
                    fields["result_json"] = try JSONValue(parsing: Array(text.utf8))
                }
                return .object(fields)
            })
    }
}

extension JSONValue {
    subscript(_ key: String) -> JSONValue {
        guard case .object(let members) = self else { return .null }
        return members[key] ?? .null
    }

    var elements: [JSONValue] {
        guard case .array(let elements) = self else { return [] }
        return elements
    }

    var text: String {
        guard case .string(let text) = self else { return "" }
        return text
    }

    func without(_ keys: String...) -> JSONValue {
        guard case .object(var members) = self else { return self }
        for key in keys { members[key] = nil }
        return .object(members)
    }
}
