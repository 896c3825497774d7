internal import LoomFormat
internal import LoomModel

/// The members of a line: what a program of any language needs of an event, and what an import
/// makes the event of again.
struct EventFields {
    var members = JSONObject()

    mutating func put(_ name: String, _ text: String) { members[name] = .string(text) }

    mutating func put(_ name: String, _ number: UInt64) {
        members[name] = Int64(exactly: number).map { .integer($0) } ?? .unsigned(number)
    }

    /// Bytes that are canonical JSON stand as JSON, all others as base64 under another name.
    mutating func put(_ name: String, _ bytes: [UInt8]) {
        if let value = try? JSONValue(parsing: bytes), value.canonicalBytes == bytes {
            members[name] = value
        } else {
            members[name + "_base64"] = .string(Base64.encode(bytes))
        }
    }

    mutating func put(_ id: AttemptID) {
        put("step", id.step)
        put("attempt", id.attempt)
    }

    mutating func put(_ failure: Failure) {
        members["failure"] = .object([
            "message": .string(failure.message), "category": .string(failure.category.rawValue),
            "retryable": .bool(failure.isRetryable),
        ])
    }

    mutating func put(_ labels: [Label]) {
        members["labels"] = .array(
            labels.map { .object(["name": .string($0.name), "value": .string($0.value)]) })
    }

    mutating func put(_ policy: CheckpointPolicy) {
        switch policy {
        case .full: put("policy", "full")
        case .compact: put("policy", "compact")
        case .interval(let every): put("policy", "interval:\(every)")
        }
    }

    mutating func put(_ key: ToolKey) {
        switch key {
        case .explicit(let key): put("key", key)
        case .shared(let key): put("shared_key", key)
        case .occurrence(let number): put("occurrence", number)
        }
    }

    mutating func put(_ reason: PauseReason) {
        switch reason {
        case .budget: put("reason", "budget")
        case .requested(let text):
            put("reason", "requested")
            put("text", text)
        case .interrupted: put("reason", "interrupted")
        case .unknownOutcome(let call, let cause):
            put("reason", "unknown_outcome")
            put("call", call)
            if let cause { put(cause) }
        case .interruptedTooOften: put("reason", "interrupted_too_often")
        case .restored(let time):
            put("reason", "restored")
            put("backup_time", time.microseconds)
        }
    }
}

/// Why a line cannot be made an event of.
package struct EventLineError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Why.
    package let description: String

    init(_ description: String) { self.description = description }
}

// Reading.
extension EventFields {
    func text(_ name: String) throws(EventLineError) -> String {
        guard case .string(let text)? = members[name] else {
            throw EventLineError("\"\(name)\" is missing or no text")
        }
        return text
    }

    func number(_ name: String) throws(EventLineError) -> UInt64 {
        switch members[name] {
        case .integer(let value)? where value >= 0: return UInt64(value)
        case .unsigned(let value)?: return value
        default: throw EventLineError("\"\(name)\" is missing or no number from 0 on")
        }
    }

    func hasBytes(_ name: String) -> Bool {
        members[name] != nil || members["\(name)_base64"] != nil
    }

    func bytes(_ name: String) throws(EventLineError) -> [UInt8] {
        if let value = members[name] { return value.canonicalBytes }
        let text = try text(name + "_base64")
        guard let bytes = Base64.decode(text) else {
            throw EventLineError("\"\(name)_base64\" is no base64")
        }
        return bytes
    }

    func object(_ name: String) throws(EventLineError) -> EventFields? {
        switch members[name] {
        case nil: return nil
        case .object(let members)?: return EventFields(members: members)
        default: throw EventLineError("\"\(name)\" is no object")
        }
    }

    private func one<Case: RawRepresentable<String>>(
        _ type: Case.Type, _ name: String
    ) throws(EventLineError) -> Case {
        let text = try text(name)
        guard let found = Case(rawValue: text) else {
            throw EventLineError("\"\(name)\" is \"\(text)\", which it cannot be")
        }
        return found
    }

    func attempt() throws(EventLineError) -> AttemptID {
        AttemptID(step: try number("step"), attempt: try number("attempt"))
    }

    func failure() throws(EventLineError) -> Failure? {
        guard let fields = try object("failure") else { return nil }
        guard case .bool(let isRetryable)? = fields.members["retryable"] else {
            throw EventLineError("\"retryable\" is missing or no boolean")
        }
        return Failure(
            message: try fields.text("message"),
            category: try fields.one(FailureCategory.self, "category"), isRetryable: isRetryable)
    }

    func someFailure() throws(EventLineError) -> Failure {
        guard let failure = try failure() else { throw EventLineError("\"failure\" is missing") }
        return failure
    }

    func labels() throws(EventLineError) -> [Label] {
        guard let value = members["labels"] else { return [] }
        guard case .array(let elements) = value else {
            throw EventLineError("\"labels\" is no array")
        }
        var labels: [Label] = []
        for element in elements {
            guard case .object(let members) = element else {
                throw EventLineError("a label is no object")
            }
            let fields = EventFields(members: members)
            labels.append(Label(name: try fields.text("name"), value: try fields.text("value")))
        }
        return labels
    }

    func policy() throws(EventLineError) -> CheckpointPolicy {
        let text = try text("policy")
        if text.hasSameBytes(as: "full") { return .full }
        if text.hasSameBytes(as: "compact") { return .compact }
        let prefix = "interval:"
        if text.hasBytePrefix(prefix),
            let every = UInt64(String(Substring(text.utf8.dropFirst(prefix.utf8.count)))), every > 0
        {
            return .interval(every)
        }
        throw EventLineError("\"policy\" is neither full, compact nor interval:N")
    }

    func toolStart() throws(EventLineError) -> ToolStart {
        let key: ToolKey
        if members["key"] != nil {
            key = .explicit(try text("key"))
        } else if members["shared_key"] != nil {
            key = .shared(try text("shared_key"))
        } else {
            key = .occurrence(try number("occurrence"))
        }
        return ToolStart(
            attempt: try attempt(), name: try text("tool"),
            safety: try one(ToolSafety.self, "safety"), key: key, request: try bytes("request"))
    }

    func toolFinish() throws(EventLineError) -> ToolFinish {
        let outcome: ToolFinish.Outcome
        if let failure = try failure() {
            outcome = .failed(failure)
        } else if case .bool(true)? = members["did_not_happen"] {
            outcome = .didNotHappen
        } else {
            outcome = .completed(result: try bytes("result"))
        }
        return ToolFinish(
            start: try number("start"), outcome: outcome,
            by: try one(ToolFinish.Author.self, "by"))
    }

    func pauseReason() throws(EventLineError) -> PauseReason {
        switch ByteString(try text("reason")) {
        case ByteString("budget"): .budget
        case ByteString("requested"): .requested(try text("text"))
        case ByteString("interrupted"): .interrupted
        case ByteString("unknown_outcome"):
            .unknownOutcome(call: try number("call"), cause: try failure())
        case ByteString("interrupted_too_often"): .interruptedTooOften
        case ByteString("restored"):
            .restored(from: EventTime(microseconds: try number("backup_time")))
        default: throw EventLineError("\"reason\" is none that is known")
        }
    }
}
