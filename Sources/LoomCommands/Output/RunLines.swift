internal import LoomFormat
internal import LoomModel
internal import LoomRuns

// Runs as people read them.

extension RunView {
    /// What people read.
    var lines: [String] {
        var lines = ["run      \(run)", "status   \(status)", "step     \(summary.stepIndex)"]
        if let state { lines.append("state    \(Self.brief(state))") }
        if let result { lines.append("result   \(Self.brief(result))") }
        if let failure = summary.failure { lines.append("error    \(failure.message)") }
        if let reason = summary.pauseReason { lines.append("paused   \(reason.words)") }
        if isInterrupted { lines.append("holder   \(summary.holder), which is gone") }
        for (name, value) in summary.labels.sorted(by: { $0.key < $1.key }) {
            lines.append("label    \(name)=\(value)")
        }
        return lines
    }

    private static func brief(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes.prefix(400), as: UTF8.self)
        return bytes.count > 400 ? "\(text)… (\(bytes.count) bytes; --json shows all)" : text
    }
}

extension RunExplanation {
    /// What people read.
    var lines: [String] {
        let summary = view.summary
        var lines = view.lines
        lines += [
            "loop     \(summary.loop), epoch \(summary.epoch)",
            "created  \(summary.created.iso8601)", "updated  \(summary.updated.iso8601)",
            "attempts \(summary.attemptCount), of which \(summary.failedAttemptCount) failed, "
                + "\(summary.interruptedAttemptCount) interrupted, \(summary.retryCount) retries",
            "tools    \(summary.toolCallCount) calls", "policy   \(summary.policy.words)",
        ]
        for call in unfinishedCalls {
            let request = String(decoding: call.start.request.prefix(80), as: UTF8.self)
            lines.append(
                "unknown  call \(call.position): \(call.start.name)(\(request)), "
                    + "\(call.start.safety.rawValue), was started and has no end; its key is "
                    + call.start.idempotencyKey(in: view.run)
                    + call.causeWords)
        }
        lines.append("notes    \(notes.isEmpty ? "none" : notes.joined(separator: "; "))")
        return lines
    }
}

extension ToolCallTable.Call {
    /// What made its outcome unknown, as the end of a sentence about the call.
    var causeWords: String {
        if let thrown { return "; it threw \(thrown.message)" }
        return cause.map { "; its attempt ended by \($0.message)" } ?? ""
    }
}

extension PauseReason {
    /// Why nobody drives the run.
    var words: String {
        switch self {
        case .budget: "its budget of steps is used up"
        case .requested(let reason): reason.isEmpty ? "the step asked for it" : reason
        case .interrupted: "whoever drove it was asked to stop"
        case .unknownOutcome(let call, let cause):
            "call \(call) may or may not have happened, and must not happen twice"
                + (cause.map { ": \($0.message)" } ?? "")
        case .restored(let time):
            "its log was restored from the backup of \(time.iso8601): what it did after that is "
                + "not known"
        case .interruptedTooOften: "its step was cut too often: look before it is tried again"
        }
    }
}

extension RunEvent.Content {
    /// The name of its kind, as FORMAT.md has it, and what people want to know of it.
    var words: (type: String, text: String) {
        switch self {
        case .created(let creation):
            ("created", "\(creation.loop), \(creation.policy.words), \(creation.state.count) bytes")
        case .attemptStarted(let id): ("attempt_started", id.words)
        case .attemptFailed(let id, let failure, let decision):
            ("attempt_failed", "\(id.words) \(failure.message), \(decision.words)")
        case .toolStarted(let start):
            ("tool_started", "\(start.attempt.words) \(start.name), \(start.safety.rawValue)")
        case .toolFinished(let finish):
            ("tool_finished", "call \(finish.start): \(finish.words)")
        case .toolReused(let id, let finish):
            ("tool_reused", "\(id.words) answered by event \(finish)")
        case .stepCommitted(let id, let delta):
            ("step_committed", "\(id.words) with a delta of \(delta.count) bytes")
        case .runCompleted(let id, let result):
            ("run_completed", "\(id.words) with a result of \(result.count) bytes")
        case .snapshot(let step, let state):
            ("snapshot", "of step \(step), \(state.count) bytes")
        case .paused(let reason): ("paused", reason.words)
        case .resumed(let holder): ("resumed", "by \(holder)")
        case .failed(let failure): ("failed", failure.message)
        case .cancelled(let reason): ("cancelled", reason)
        case .retried: ("retried", "")
        case .labelled(let labels):
            ("labelled", labels.map { "\($0.name)=\($0.value)" }.joined(separator: " "))
        case .policyChanged(let policy): ("policy_changed", policy.words)
        case .migrated(let version, let state):
            ("migrated", "to version \(version), \(state.count) bytes")
        case .toolThrew(let start, let failure):
            ("tool_threw", "call \(start): \(failure.message)")
        case .deleted: ("deleted", "")
        case .asked(let asked): ("asked", "to \(asked.verb) by \(asked.by): \(asked.answer.words)")
        }
    }
}

extension Asked.Answer {
    /// What became of the request.
    var words: String {
        switch self {
        case .done: "done"
        case .refused(let refusal): "refused, \(refusal.reason)"
        }
    }
}

extension AttemptID {
    fileprivate var words: String { "step \(step) try \(attempt)" }
}

extension FailureDecision {
    fileprivate var words: String {
        switch self {
        case .retry(let delay): "again after \(delay / 1000) ms"
        case .fail: "the run fails"
        }
    }
}

extension ToolFinish {
    fileprivate var words: String {
        switch author {
        case .tool: outcome.words
        case .person: "\(outcome.words), said by a person"
        case .correction: "\(outcome.words), corrected by a person"
        }
    }
}

extension ToolFinish.Outcome {
    fileprivate var words: String {
        switch self {
        case .completed(let result): "completed with \(result.count) bytes"
        case .failed(let failure): failure.message
        case .didNotHappen: "did not happen"
        }
    }
}
