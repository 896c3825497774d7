import Foundation
import LoomFormat
import LoomModel

/// When an answer of ours equals a recorded one: the rules of the recordings' README, and the
/// differences that are ours on purpose.
enum ParityRules {
    /// A recording, by the scenario and the policy's name.
    static func recording(_ scenario: String, _ policy: String) throws -> JSONValue {
        let url = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Parity/\(scenario)-\(policy).json")
        return try JSONValue(parsing: Array(try Data(contentsOf: url)))
    }

    /// The recording in the shape that the rules give it.
    static func recorded(_ value: JSONValue, _ policy: CheckpointPolicy) -> JSONValue {
        switch value {
        case .array(let rows): return .array(rows.map { recorded($0, policy) })
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
    private static func attempt(_ row: inout JSONObject, _ policy: CheckpointPolicy) {
        parse("output_json", in: &row)
        guard case .integer(let step)? = row["step_index"] else { return }
        row["input_hash"] = .string("state \(step)")
        guard case .interval(let every) = policy else { return }
        if step % Int64(every) != 0 { row["input_hash"] = .null }
        let isResult = row["outcome_kind"] == .string("complete")
        if !isResult && (step + 1) % Int64(every) != 0 { row["output_json"] = .null }
    }

    /// An answer of ours, without what is ours alone, in the same shape.
    static func ours(_ value: JSONValue) -> JSONValue {
        switch value {
        case .array(let rows): return .array(rows.map(ours))
        case .object(var row):
            for key in ["started_at", "finished_at"] {
                guard case .string(let time)? = row[key], isTime(time) else { continue }
                row[key] = .string("<time>")
            }
            for key in ["output_json", "result_json"] { parse(key, in: &row) }
            if case .string(let hash)? = row["input_hash"],
                case .integer(let step)? = row["step_index"]
            {
                // The hash stands for the state that it is of.
                let state = #"{"current":\#(step),"target":10}"#
                let expected = InputHash.of(state: Array(state.utf8)).description
                row["input_hash"] = .string(hash == expected ? "state \(step)" : "another state")
            }
            let own = [
                "tool_call_id", "idempotency_key", "request_hash", "safety", "reuse_count", "loop",
                "epoch", "interrupted_count", "pause_reason", "unknown_calls", "call_key",
                "ended_by", "corrections",
            ]
            for key in own { row[key] = nil }
            return .object(row)
        default: return value
        }
    }

    private static func parse(_ key: String, in row: inout JSONObject) {
        guard case .string(let text)? = row[key] else { return }
        row[key] = (try? JSONValue(parsing: Array(text.utf8))) ?? .null
    }

    /// ISO 8601, UTC, six decimals.
    private static func isTime(_ text: String) -> Bool {
        text.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00/) != nil
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
