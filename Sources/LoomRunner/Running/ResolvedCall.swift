public import LoomFormat
public import LoomModel

/// A tool call of which a person said what became of it, and what was known of it before.
public struct ResolvedCall: Hashable, Sendable {
    /// The run that made it.
    public let run: RunID
    /// The call: where it began, the tool, the request, what its body threw.
    public let call: ToolCallTable.Call
    /// What is said of it now.
    public let outcome: ToolFinish.Outcome
    /// By whom: a person, or a person against the tool's own word.
    public internal(set) var author: ToolFinish.Author
    /// How it had ended before, and by whose word; `nil` when nobody knew.
    public var before: ToolCallTable.Ended?
}

extension ResolvedCall: CustomStringConvertible {
    private static let bytesShown = 80

    /// The call with the beginning of its request, what is said of it now, and what was known of it
    /// before: one line.
    public var description: String {
        "call \(call.position), \(call.start.name)(\(Self.brief(call.start.request))) of step "
            + "\(call.start.attempt.step): it \(Self.words(outcome)) (before: \(beforeWords))"
    }

    private var beforeWords: String {
        guard let before else {
            guard let cause = call.thrown ?? call.cause else { return "nobody knew its outcome" }
            return "nobody knew its outcome; it ended by \(Self.brief(cause.message))"
        }
        let who =
            switch before.author {
            case .tool: "the tool said that it"
            case .person: "a person said that it"
            case .correction: "a person said, against the tool, that it"
            }
        return "\(who) \(Self.words(before.outcome))"
    }

    static func words(_ outcome: ToolFinish.Outcome) -> String {
        switch outcome {
        case .completed(let result): "completed with \(brief(result))"
        case .failed(let failure): "failed: \(brief(failure.message))"
        case .didNotHappen: "did not happen"
        }
    }

    private static func brief(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes.prefix(bytesShown), as: UTF8.self)
        return bytes.count > bytesShown ? text + "…" : text
    }

    private static func brief(_ text: String) -> String { brief(Array(text.utf8)) }
}
