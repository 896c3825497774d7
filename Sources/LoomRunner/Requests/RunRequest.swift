internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// A request to the process that has the log. FORMAT.md, Requests.
struct RunRequest: Sendable {
    var id: RequestID
    var verb: String
    var arguments: JSONValue
    /// Who asks.
    var by: String
    var store: StoreID
    /// What it is about; `nil` for work that is about no run.
    var target: Target?

    /// A run, as the asker saw it.
    struct Target: Sendable {
        var run: RunID
        /// The epoch of the run's first event.
        var epoch: UInt64
        /// Where the answer can stand at the earliest.
        var position: UInt64
    }

    private struct Fields: Codable {
        var arguments: JSONValue
        var by: String
        var epoch: UInt64?
        var id: String
        var position: UInt64?
        var run: String?
        var store: String
        var verb: String
    }

    /// The request as canonical JSON.
    func encoded() throws -> [UInt8] {
        try CanonicalJSONEncoder().encode(
            Fields(
                arguments: arguments, by: by, epoch: target?.epoch, id: id.description,
                position: target?.position, run: target?.run.rawValue, store: store.description,
                verb: verb))
    }
}

extension RunRequest {
    /// Reads a request that came under a name.
    ///
    /// - Parameter owner: The user that owns it, who is told with the asker's words.
    init(
        _ bytes: [UInt8], _ name: RequestName, owner: UInt32?, store: StoreID
    ) throws(RequestRefusal) {
        let fields: Fields
        do {
            fields = try CanonicalJSONDecoder().decode(Fields.self, from: bytes)
        } catch {
            throw RequestRefusal(.wrongUse, "this is no request: \(ErrorText.words(error))")
        }
        guard fields.id.hasSameBytes(as: name.id.description) else {
            throw RequestRefusal(.wrongUse, "the request has another id than its name")
        }
        guard fields.store.hasSameBytes(as: store.description) else {
            throw RequestRefusal(.wrongUse, "the request was made for another log")
        }
        // Not cut where a limit would: what is recorded must fit.
        guard fields.verb.utf8.count <= 64, fields.by.utf8.count <= 512 else {
            throw RequestRefusal(.wrongUse, "the request's verb or asker is too long")
        }
        var target: Target?
        if let text = fields.run {
            guard let run = try? RunID(text), let epoch = fields.epoch,
                let position = fields.position
            else { throw RequestRefusal(.wrongUse, "the request names no run that can be") }
            target = Target(run: run, epoch: epoch, position: position)
        }
        let user = owner.map { ", user \($0)" } ?? ""
        self.init(
            id: name.id, verb: fields.verb, arguments: fields.arguments, by: fields.by + user,
            store: store, target: target)
    }

    /// What a run keeps of the request.
    func asked(_ answer: Asked.Answer) -> Asked {
        Asked(id: id, verb: verb, by: by, answer: answer)
    }
}

/// A refusal that no run can hold, as it is stored. FORMAT.md, Requests.
struct RefusalFields: Codable {
    var kind: String
    var reason: String
    var hint: String?

    init(_ refusal: RequestRefusal) {
        (kind, reason, hint) = (refusal.kind.rawValue, refusal.reason, refusal.hint)
    }

    var refusal: RequestRefusal {
        let kind = RequestRefusal.Kind.allCases.first { $0.rawValue.hasSameBytes(as: self.kind) }
        return RequestRefusal(kind ?? .failed, reason, hint: hint)
    }

    /// The bytes; of one that is too long, of its beginning.
    static func bytes(_ refusal: RequestRefusal) -> [UInt8] {
        var fields = RefusalFields(refusal)
        fields.reason = ErrorText.cut(fields.reason)
        return (try? CanonicalJSONEncoder().encode(fields)) ?? []
    }

    static func read(_ bytes: [UInt8]) -> RequestRefusal {
        let fields = try? CanonicalJSONDecoder().decode(RefusalFields.self, from: bytes)
        return fields?.refusal
            ?? RequestRefusal(.failed, "the request was refused, by words that cannot be read")
    }
}

/// What long work has come to, as it is stored. FORMAT.md, Requests.
struct AnswerFields: Codable {
    var last: Bool
    var value: JSONValue?
    var refusal: RefusalFields?
}
