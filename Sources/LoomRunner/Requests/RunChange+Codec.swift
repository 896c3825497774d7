internal import FoundationEssentials
internal import LoomFormat
internal import LoomModel

// The arguments of requests about runs. FORMAT.md, Requests.

private struct ReasonArguments: Codable {
    var reason: String
}

private struct LabelArguments: Codable {
    struct Item: Codable {
        var name: String
        var value: String
    }
    var labels: [Item]
}

private struct PolicyArguments: Codable {
    var policy: String
}

private struct ResolveArguments: Codable {
    var call: UInt64
    var outcome: String
    var correct: Bool
    var result: Data?
    var message: String?
    var category: String?
    var retryable: Bool?
}

extension RunChange {
    /// The arguments of a request for this change, as canonical JSON.
    func arguments() throws -> JSONValue {
        let encoder = CanonicalJSONEncoder()
        let bytes =
            switch self {
            case .cancel(let reason), .pause(let reason):
                try encoder.encode(ReasonArguments(reason: reason))
            case .label(let labels):
                try encoder.encode(
                    LabelArguments(labels: labels.map { .init(name: $0.name, value: $0.value) }))
            case .setPolicy(let policy):
                try encoder.encode(PolicyArguments(policy: policy.requestWord))
            case .resolve(let call, let outcome, let corrects):
                try encoder.encode(Self.arguments(call, outcome, corrects))
            }
        return try JSONValue(parsing: bytes)
    }

    private static func arguments(
        _ call: UInt64, _ outcome: ToolFinish.Outcome, _ corrects: Bool
    ) -> ResolveArguments {
        switch outcome {
        case .completed(let result):
            ResolveArguments(
                call: call, outcome: "completed", correct: corrects, result: Data(result))
        case .failed(let failure):
            ResolveArguments(
                call: call, outcome: "failed", correct: corrects, message: failure.message,
                category: failure.category.rawValue, retryable: failure.isRetryable)
        case .didNotHappen:
            ResolveArguments(call: call, outcome: "did_not_happen", correct: corrects)
        }
    }

    /// Whether requests of this verb are about runs.
    static func isKnown(_ verb: String) -> Bool {
        ["cancel", "pause", "label", "policy", "resolve"].contains { verb.hasSameBytes(as: $0) }
    }

    /// Reads what a request asks of a run.
    init(_ verb: String, _ arguments: JSONValue) throws(RequestRefusal) {
        do {
            self = try Self.decoded(verb, arguments.canonicalBytes)
        } catch let error as RequestRefusal {
            throw error
        } catch {
            throw RequestRefusal(.wrongUse, "the arguments of \(verb): \(ErrorText.words(error))")
        }
    }

    private static func decoded(_ verb: String, _ bytes: [UInt8]) throws -> RunChange {
        let decoder = CanonicalJSONDecoder()
        switch ByteString(verb) {
        case ByteString("cancel"):
            return .cancel(reason: try decoder.decode(ReasonArguments.self, from: bytes).reason)
        case ByteString("pause"):
            return .pause(reason: try decoder.decode(ReasonArguments.self, from: bytes).reason)
        case ByteString("label"):
            let labels = try decoder.decode(LabelArguments.self, from: bytes).labels
            return .label(labels.map { Label(name: $0.name, value: $0.value) })
        case ByteString("policy"):
            let word = try decoder.decode(PolicyArguments.self, from: bytes).policy
            guard let policy = CheckpointPolicy(requestWord: word) else {
                throw RequestRefusal(.wrongUse, "\(word) is no policy")
            }
            return .setPolicy(policy)
        case ByteString("resolve"):
            let read = try decoder.decode(ResolveArguments.self, from: bytes)
            return .resolve(call: read.call, as: try outcome(read), corrects: read.correct)
        default: throw RequestRefusal(.wrongUse, "\(verb) is not asked of a run")
        }
    }

    private static func outcome(_ read: ResolveArguments) throws -> ToolFinish.Outcome {
        switch ByteString(read.outcome) {
        case ByteString("did_not_happen"): return .didNotHappen
        case ByteString("completed"):
            guard let result = read.result else { break }
            return .completed(result: Array(result))
        case ByteString("failed"):
            guard let message = read.message, let retryable = read.retryable,
                let word = read.category,
                let category = FailureCategory.allCases.first(where: {
                    $0.rawValue.hasSameBytes(as: word)
                })
            else { break }
            return .failed(Failure(message: message, category: category, isRetryable: retryable))
        default: break
        }
        throw RequestRefusal(.wrongUse, "an outcome of \(read.outcome) without its parts")
    }
}

extension CheckpointPolicy {
    /// As it stands in requests.
    var requestWord: String {
        switch self {
        case .full: "full"
        case .interval(let every): "interval:\(every)"
        case .compact: "compact"
        }
    }

    init?(requestWord: String) {
        switch ByteString(requestWord) {
        case ByteString("full"): self = .full
        case ByteString("compact"): self = .compact
        default:
            guard requestWord.hasBytePrefix("interval:"),
                let every = UInt64(Substring(requestWord.utf8.dropFirst(9)))
            else { return nil }
            self = .interval(every)
        }
    }
}
