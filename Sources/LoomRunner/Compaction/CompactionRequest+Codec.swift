internal import LoomFormat
public import LoomModel

// A compaction as other processes ask for it. FORMAT.md, Requests.

private struct CompactionFields: Codable {
    struct Rule: Codable {
        var policy: String?
        var delete: Bool
        var runs: [String]?
        var prefix: String?
        var loop: String?
        var labels: [Item]
        var olderThan: UInt64
        var failed: Bool

        enum CodingKeys: String, CodingKey {
            case policy, delete, runs, prefix, loop, labels, failed
            case olderThan = "older_than"
        }
    }
    struct Item: Codable {
        var name: String
        var value: String
    }
    var rules: [Rule]
    var now: Bool
}

extension CompactionRequest {
    /// The verb by which other processes ask for it.
    public static let verb = "compact"

    /// The arguments of a request for it, as canonical JSON.
    public func arguments() throws -> JSONValue {
        let fields = CompactionFields(rules: rules.rules.map(\.fields), now: removesAtOnce)
        return try JSONValue(parsing: try CanonicalJSONEncoder().encode(fields))
    }

    /// Reads what a request asks for.
    init(arguments: JSONValue) throws(RequestRefusal) {
        do {
            let fields = try CanonicalJSONDecoder()
                .decode(CompactionFields.self, from: arguments.canonicalBytes)
            self.init(
                RetentionRules(try fields.rules.map(RetentionRule.init)),
                removesAtOnce: fields.now)
        } catch let refusal as RequestRefusal {
            throw refusal
        } catch {
            throw RequestRefusal(.wrongUse, "the arguments of compact: \(ErrorText.words(error))")
        }
    }
}

extension RetentionRule {
    fileprivate var fields: CompactionFields.Rule {
        var policy: String?
        if case .setPolicy(let asked) = action { policy = asked.requestWord }
        return CompactionFields.Rule(
            policy: policy, delete: policy == nil, runs: selection.runs?.map(\.rawValue),
            prefix: selection.prefix, loop: selection.loop,
            labels: selection.labels.map { .init(name: $0.name, value: $0.value) },
            olderThan: selection.olderThan.clampedMicroseconds, failed: selection.includesFailed)
    }

    fileprivate init(_ fields: CompactionFields.Rule) throws {
        var selection = RunSelection()
        selection.runs = try fields.runs?.map { try RunID($0) }
        (selection.prefix, selection.loop) = (fields.prefix, fields.loop)
        selection.labels = fields.labels.map { Label(name: $0.name, value: $0.value) }
        selection.olderThan = .microseconds(Int64(clamping: fields.olderThan))
        selection.includesFailed = fields.failed
        guard let word = fields.policy else {
            guard fields.delete else {
                throw RequestRefusal(.wrongUse, "a rule that does nothing")
            }
            self.init(selection, .delete)
            return
        }
        guard !fields.delete, let policy = CheckpointPolicy(requestWord: word), policy.isValid
        else { throw RequestRefusal(.wrongUse, "\(word) is no policy") }
        self.init(selection, .setPolicy(policy))
    }
}

extension CompactionReport {
    /// The report as others get it.
    public var json: JSONValue {
        .object([
            "policies_changed": .integer(Int64(policyCount)),
            "deleted": .integer(Int64(deletedCount)), "skipped": .integer(Int64(skippedCount)),
            "archives": .integer(Int64(archiveCount)),
            "archives_done": .integer(Int64(archivesDone)),
            "files_rewritten": .integer(Int64(rewrittenCount)),
            "bytes_before": .integer(Int64(clamping: bytesBefore)),
            "bytes_after": .integer(Int64(clamping: bytesAfter)),
            "removed": .array(removed.map { .string($0) }),
        ])
    }
}
