internal import Foundation
internal import LoomFormat
public import LoomModel
internal import LoomRunner
public import LoomRuns

// Runs as JSON, under loom-runner's names: additions only.

extension RunView {
    /// What `get`, `run` and `resume` print.
    public var json: JSONValue {
        var members: JSONObject = [
            "run_id": .string(run.rawValue),
            "status": .string(status),
            "step_index": .integer(Int64(summary.stepIndex)),
            "state": state.map { shown($0, summary.codec) } ?? .null,
            "result": result.map { shown($0, summary.codec) } ?? .null,
        ]
        // Of runs that have some: those of loom-runner have none.
        if !summary.labels.isEmpty {
            var labels = JSONObject()
            for (name, value) in summary.labels { labels[name.text] = .string(value) }
            members["labels"] = .object(labels)
        }
        return .object(members)
    }
}

extension RunExplanation {
    /// What `explain` prints.
    public var json: JSONValue {
        let summary = view.summary
        var members: JSONObject = [
            "run_id": .string(view.run.rawValue),
            "status": .string(view.status),
            "step_index": .integer(Int64(summary.stepIndex)),
            "checkpoint_count": .integer(Int64(stats.stepCount)),
            "attempt_count": .integer(Int64(stats.attemptCount)),
            "retry_count": .integer(Int64(stats.retryCount)),
            "interrupted_count": .integer(Int64(summary.interruptedAttemptCount)),
            "tool_call_count": .integer(Int64(stats.toolCallCount)),
            "last_error_category": .text(summary.lastFailureCategory?.rawValue),
            "invariant_notes": .array(notes.map { .string($0) }),
            "loop": .string(summary.loop),
            "epoch": .number(summary.epoch),
            "unknown_calls": .array(unfinishedCalls.map { $0.json(in: view.run) }),
            "corrections": .array(corrections.map(\.json)),
        ]
        members["state"] = view.state.map { shown($0, summary.codec) } ?? .null
        members["result"] = view.result.map { shown($0, summary.codec) } ?? .null
        members["error"] = .text(summary.failure?.message)
        members["pause_reason"] = .text(summary.pauseReason?.words)
        return .object(members)
    }
}

extension ToolCallTable.Call {
    /// A call that was started and has no end, for whoever looks at the other side.
    fileprivate func json(in run: RunID) -> JSONValue {
        .object([
            "call": .integer(Int64(position)), "tool_name": .string(start.name),
            "safety": .string(start.safety.rawValue),
            "idempotency_key": .string(start.idempotencyKey(in: run)),
            "request_json": .string(String(decoding: start.request, as: UTF8.self)),
            "error": .text((thrown ?? cause)?.message),
        ])
    }
}

extension CorrectedCall {
    fileprivate var json: JSONValue {
        .object([
            "call": .integer(Int64(before.call.position)),
            "tool_name": .string(before.call.start.name),
            "position": .integer(Int64(position)), "was": .string(before.outcome.name),
            "is": .string(outcome.name),
        ])
    }
}

extension ToolFinish.Outcome {
    /// As `tool-calls` has it.
    fileprivate var name: String {
        switch self {
        case .completed: ToolCallRow.Status.completed.rawValue
        case .failed: ToolCallRow.Status.failed.rawValue
        case .didNotHappen: ToolCallRow.Status.didNotHappen.rawValue
        }
    }
}

extension ResolvedCall {
    /// What `resolve` prints beside where the run stands.
    var json: JSONValue {
        var members: JSONObject = [
            "call": .integer(Int64(call.position)), "tool_name": .string(call.start.name),
            "request_json": .string(String(decoding: call.start.request, as: UTF8.self)),
            "idempotency_key": .string(call.start.idempotencyKey(in: run)),
            "status": .string(outcome.name), "ended_by": .string(author.rawValue),
            "status_before": .text(before?.outcome.name),
            "ended_by_before": .text(before?.author.rawValue),
        ]
        if case .completed(let result)? = before?.outcome {
            members["result_before"] = JSONValue.stored(result, codec: "json")
        }
        return .object(members)
    }
}

extension RunStats {
    /// What `stats` prints.
    public var json: JSONValue {
        .object([
            "step_count": .integer(Int64(stepCount)),
            "attempt_count": .integer(Int64(attemptCount)),
            "retry_count": .integer(Int64(retryCount)),
            "failed_attempt_count": .integer(Int64(failedAttemptCount)),
            "tool_call_count": .integer(Int64(toolCallCount)),
            "last_error_category": .text(lastErrorCategory?.rawValue),
        ])
    }
}

extension HistoryRow {
    /// A row of `history`.
    public func json(of form: ValueForm) -> JSONValue {
        .object([
            "run_id": .string(form.run.rawValue),
            "step_index": .integer(Int64(step)),
            "state": listed(state, form.codec, form),
        ])
    }
}

extension HistoryRow {
    /// The same with the state whole, whatever lists show.
    func wholeJSON(of view: RunView) -> JSONValue {
        .object([
            "run_id": .string(view.run.rawValue), "step_index": .integer(Int64(step)),
            "state": shown(state, view.summary.codec),
        ])
    }
}

extension JSONValue {
    /// A number of any size: one that was read from a log may be anything.
    static func number(_ value: UInt64) -> JSONValue {
        Int64(exactly: value).map { .integer($0) } ?? .unsigned(value)
    }

    /// A stored value; of another codec than JSON, its name and its bytes.
    static func stored(_ bytes: [UInt8], codec: String) -> JSONValue { shown(bytes, codec) }

    /// A text, or null.
    fileprivate static func text(_ text: String?) -> JSONValue {
        text.map { .string($0) } ?? .null
    }
}

extension AttemptRow {
    /// A row of `attempts`.
    public func json(of form: ValueForm) -> JSONValue {
        let kind = isResult ? "complete" : "continue"
        return .object([
            "run_id": .string(form.run.rawValue),
            "step_index": .integer(Int64(id.step)),
            "attempt_index": .integer(Int64(id.attempt)),
            "input_hash": .text(inputHash?.description),
            "status": .string(status.rawValue),
            "outcome_kind": .text(status == .completed ? kind : nil),
            "output_json": .text(
                output.map { listed($0, form.codec, form).canonicalText }),
            "error": .text(failure?.message),
            "error_category": .text(failure?.category.rawValue),
            "is_retryable": failure.map { .bool($0.isRetryable) } ?? .null,
            "started_at": .string(started.iso8601),
            "finished_at": .text(finished?.iso8601),
        ])
    }
}

extension ToolCallRow {
    /// A row of `tool-calls`.
    public func json(of form: ValueForm) -> JSONValue {
        let key: String =
            switch start.key {
            case .explicit(let key), .shared(let key): key
            case .occurrence(let number): "\(start.attempt.step)/\(start.name)/\(number)"
            }
        return .object([
            "run_id": .string(form.run.rawValue),
            "step_index": .integer(Int64(start.attempt.step)),
            "attempt_index": .integer(Int64(start.attempt.attempt)),
            "tool_call_id": .string("\(position)"),
            "tool_name": .string(start.name),
            "safety": .string(start.safety.rawValue),
            "call_key": .string(key),
            "idempotency_key": .string(start.idempotencyKey(in: form.run)),
            "request_hash": .string(ContentHash(of: start.request.rawSpan).description),
            "status": .string(status.rawValue),
            "result_json": .text(result.map { listed($0, "json", form).canonicalText }),
            "error": .text(failure?.message),
            "error_category": .text(failure?.category.rawValue),
            "reuse_count": .integer(Int64(reuseCount)),
            "ended_by": .text(author?.rawValue),
            "started_at": .string(started.iso8601),
            "finished_at": .text(finished?.iso8601),
        ])
    }
}

/// A stored value as JSON; of another codec, its name and its bytes.
private func shown(_ bytes: [UInt8], _ codec: String) -> JSONValue {
    if codec == "json", let value = try? JSONValue(parsing: bytes) { return value }
    return .object([
        "codec": .string(codec), "base64": .string(Data(bytes).base64EncodedString()),
    ])
}

/// A value in a list: beyond the run's limit by length and hash. `get` and `show` give it whole.
private func listed(_ bytes: [UInt8], _ codec: String, _ form: ValueForm) -> JSONValue {
    guard form.payloads.shows(bytes) else {
        return .object([
            "payload_truncated": .bool(true), "payload_bytes": .integer(Int64(bytes.count)),
            "payload_hash": .string(ContentHash(of: bytes.rawSpan).description),
        ])
    }
    return shown(bytes, codec)
}

extension EventTime {
    /// ISO 8601 in UTC with six decimals: `2026-11-24T10:00:00.000000+00:00`.
    public var iso8601: String {
        let seconds = Int64(microseconds / 1_000_000)
        let date = Date(timeIntervalSince1970: TimeInterval(seconds))
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(secondsFromGMT: 0) ?? calendar.timeZone
        let parts = calendar.dateComponents(
            [.year, .month, .day, .hour, .minute, .second], from: date)
        func padded(_ value: Int?, _ width: Int) -> String {
            let digits = String(value ?? 0)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return "\(padded(parts.year, 4))-\(padded(parts.month, 2))-\(padded(parts.day, 2))T"
            + "\(padded(parts.hour, 2)):\(padded(parts.minute, 2)):\(padded(parts.second, 2))"
            + ".\(padded(Int(microseconds % 1_000_000), 6))+00:00"
    }
}
