internal import LoomFormat
internal import LoomModel

/// How large what a runner records may be: the one judge of sizes. FORMAT.md, section 14.
///
/// Checked before anything of a unit is folded or appended, so that a refusal changes nothing.
enum RunnerLimits {
    /// Bytes of one state, result, request or response: 127 MiB. A step's unit has a state twice,
    /// as a delta and as a snapshot, and must fit into ``FormatLimits/unitBytesMax``.
    static let valueBytesMax = FormatLimits.unitBytesMax / 2 - (1 << 20)
    /// Bytes of a name: of a loop, a codec, a tool, a label, a holder.
    static let nameBytesMax = 1024
    /// Bytes of a text: a tool's key, the value of a label, a reason, the message of a failure.
    static let textBytesMax = 64 << 10
    /// Labels of one run.
    static let labelCountMax = 1000

    /// Refuses an event that is too large to be recorded of a run with these labels.
    static func check(
        _ content: RunEvent.Content, labels known: @autoclosure () -> [ByteString: String]
    ) throws(RunnerError) {
        switch content {
        case .created(let creation): try check(creation)
        case .toolStarted(let start): try check(start)
        case .toolFinished(let finish): try check(finish.outcome)
        case .runCompleted(_, let result): try checkValue(result.count, "result")
        case .snapshot(_, let state), .migrated(_, let state):
            try checkValue(state.count, "state")
        case .paused(.requested(let reason)): try checkText(reason, "reason of a pause")
        case .paused(.unknownOutcome(_, let cause?)):
            try checkText(cause.message, "message of a failure")
        case .resumed(let holder): try checkName(holder, "holder")
        case .attemptFailed(_, let failure, _), .failed(let failure), .toolThrew(_, let failure):
            try checkText(failure.message, "message of a failure")
        case .cancelled(let reason): try checkText(reason, "reason of a cancellation")
        case .labelled(let labels): try check(labels, besides: known())
        case .asked(let asked):
            try checkName(asked.verb, "verb of a request")
            try checkName(asked.by, "asker of a request")
            if case .refused(let refusal) = asked.answer {
                try checkText(refusal.reason, "reason of a refusal")
            }
        case .attemptStarted, .toolReused, .stepCommitted, .paused, .retried, .policyChanged,
            .deleted:
            break
        }
    }

    /// Refuses the value of a kind that `what` names.
    static func checkValue(
        _ byteCount: Int, _ what: @autoclosure () -> String
    ) throws(RunnerError) {
        try check(byteCount, what, valueBytesMax)
    }

    /// Refuses what a step came to.
    static func check(_ outcome: EncodedOutcome) throws(RunnerError) {
        switch outcome {
        case .next(let state): try checkValue(state.count, "state")
        case .pause(let state, let reason):
            try checkValue(state.count, "state")
            try checkText(reason, "reason of a pause")
        case .complete(let result): try checkValue(result.count, "result")
        }
    }

    private static func check(_ creation: RunCreation) throws(RunnerError) {
        try checkName(creation.loop, "name of the loop")
        try checkName(creation.codec, "name of the codec")
        try checkValue(creation.state.count, "first state")
        try check(creation.labels, besides: [:])
    }

    /// Refuses a call before it takes a number or a key.
    static func check(_ start: ToolStart) throws(RunnerError) {
        try checkName(start.name, "name of a tool")
        switch start.key {
        case .explicit(let key), .shared(let key): try checkText(key, "key of a tool call")
        case .occurrence: break
        }
        try checkValue(start.request.count, "request of \(start.name)")
    }

    private static func check(_ outcome: ToolFinish.Outcome) throws(RunnerError) {
        switch outcome {
        case .completed(let result): try checkValue(result.count, "response of a tool")
        case .failed(let failure): try checkText(failure.message, "message of a failure")
        case .didNotHappen: break
        }
    }

    private static func check(
        _ labels: [Label], besides known: [ByteString: String]
    ) throws(RunnerError) {
        for label in labels {
            try checkName(label.name, "name of a label")
            try checkText(label.value, "value of a label")
        }
        // Most runs have few: then the new names need not be looked for among the old.
        guard known.count + labels.count > labelCountMax else { return }
        var names = Set(known.keys)
        for label in labels {
            let name = ByteString(label.name)
            if label.value.isEmpty { names.remove(name) } else { names.insert(name) }
        }
        guard names.count > labelCountMax, names.count > known.count else { return }
        throw .tooManyLabels(names.count, limit: labelCountMax)
    }

    private static func checkName(_ name: String, _ what: String) throws(RunnerError) {
        try check(name.utf8.count, { what }, nameBytesMax)
    }

    private static func checkText(_ text: String, _ what: String) throws(RunnerError) {
        try check(text.utf8.count, { what }, textBytesMax)
    }

    private static func check(
        _ byteCount: Int, _ what: () -> String, _ limit: Int
    ) throws(RunnerError) {
        if byteCount > limit { throw .tooLarge(what(), byteCount: byteCount, limit: limit) }
    }
}
