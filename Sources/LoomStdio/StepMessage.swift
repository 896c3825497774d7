public import LoomModel

/// A line of a step program: a message, and which step it is about.
struct ProgramLine: Sendable {
    var message: ProgramMessage
    /// The number of the `step` message that it belongs to. Without it a late message of one step
    /// would be taken for one of the next.
    var turn: Int64?
}

/// A message of a step program, one JSON object a line. See the article on steps in any language.
enum ProgramMessage: Sendable {
    case hello(ProgramHello)
    case tool(ToolMessage)
    /// The end of a tool call that the program was told to make or to reconcile.
    case toolEnd(id: Int64, ToolEnd)
    case label(name: String, value: String)
    case log(level: String, message: String)
    case outcome(StepOutcome)
    case error(ProgramError)
    /// A state in the shape of this version.
    case migrated(JSONValue)
}

/// What a step program says of itself before its first step.
public struct ProgramHello: Sendable {
    /// The durable name of the loop.
    public var name: String
    /// The version of the state's shape.
    public var stateVersion: UInt64
    /// The first state, when the program has one.
    public var state: JSONValue?
    /// Whether it can bring a state of an older version into the shape of this one.
    public var migrates = false
}

/// A tool call that the program wants to make.
struct ToolMessage: Sendable {
    var id: Int64
    var name: String
    var safety: ToolSafety
    var key: ToolKey?
    var request: JSONValue
    var reconciles: Bool
}

/// How a tool call ended in the program.
enum ToolEnd: Sendable {
    case done(JSONValue)
    case failed(ProgramError, didNotHappen: Bool)
    case reconciled(JSONValue?)
}

/// What a step led to.
enum StepOutcome: Sendable {
    case next(JSONValue)
    case pause(JSONValue, reason: String)
    case complete(JSONValue)
}

extension ProgramLine {
    /// Reads one line; says in words what is wrong with it.
    init(_ line: [UInt8]) throws(StepProgramError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue(parsing: line)
        } catch {
            throw .garbage(brief(line), "\(error)")
        }
        guard case .object(let members) = value, let type = members["type"]?.text else {
            throw .garbage(brief(line), "it is no object with a type")
        }
        let fields = MessageFields(members: members, line: brief(line))
        message = try ProgramMessage(type, fields)
        if case .integer(let number)? = members["turn"] { turn = number }
    }
}

/// How a program's text begins, without control characters: for messages.
private func brief(_ text: some Collection<UInt8>) -> String {
    let start = String(decoding: text.prefix(80), as: UTF8.self)
    let clean = String(start.unicodeScalars.filter { $0.properties.generalCategory != .control })
    return text.count > 80 ? clean + "…" : clean
}

extension ProgramMessage {
    /// The version of the protocol that is spoken here.
    static let version: Int64 = 1

    fileprivate init(_ type: String, _ fields: MessageFields) throws(StepProgramError) {
        switch type {
        case "hello": self = .hello(try fields.hello())
        case "tool": self = .tool(try fields.tool())
        case "tool_done": self = .toolEnd(id: try fields.id(), .done(try fields.value("result")))
        case "tool_failed":
            let didNotHappen = try fields.flag("did_not_happen") ?? false
            self = .toolEnd(
                id: try fields.id(), .failed(try fields.error(), didNotHappen: didNotHappen))
        case "tool_reconciled":
            guard let happened = try fields.flag("happened") else {
                throw fields.missing("happened", "true or false")
            }
            self = .toolEnd(
                id: try fields.id(), .reconciled(happened ? try fields.value("result") : nil))
        case "label":
            self = .label(name: try fields.name(), value: try fields.string("value"))
        case "log":
            self = .log(
                level: fields.members["level"]?.text ?? "info",
                message: try fields.string("message"))
        case "outcome": self = .outcome(try fields.outcome())
        case "error": self = .error(try fields.error())
        case "migrated": self = .migrated(try fields.value("state"))
        default: throw .garbage(fields.line, "there is no message of type \(brief(type.utf8))")
        }
    }
}

/// The members of one message, read by name.
///
/// Those that decide whether a call is made are refused when they are of the wrong kind. Taken for
/// left out, a key that is a number would be none, and `"happened": 1` would be false: either way
/// the call would be made twice.
private struct MessageFields {
    let members: JSONObject
    let line: String

    func missing(_ name: String, _ kind: String) -> StepProgramError {
        .garbage(line, "its \(name) is missing or no \(kind)")
    }

    func value(_ name: String) throws(StepProgramError) -> JSONValue {
        guard let value = members[name] else { throw missing(name, "value") }
        return value
    }

    func string(_ name: String) throws(StepProgramError) -> String {
        guard let text = members[name]?.text else { throw missing(name, "string") }
        return text
    }

    func optionalString(_ name: String) throws(StepProgramError) -> String? {
        try optional(name, "string") { $0.text }
    }

    func flag(_ name: String) throws(StepProgramError) -> Bool? {
        try optional(name, "true or false") { if case .bool(let value) = $0 { value } else { nil } }
    }

    private func optional<Value>(
        _ name: String, _ kind: String, _ read: (JSONValue) -> Value?
    ) throws(StepProgramError) -> Value? {
        guard let member = members[name], member != .null else { return nil }
        guard let value = read(member) else {
            throw .garbage(line, "its \(name) is no \(kind)")
        }
        return value
    }

    /// A name, which is not empty.
    func name() throws(StepProgramError) -> String {
        let name = try string("name")
        guard !name.isEmpty else { throw missing("name", "name") }
        return name
    }

    func id() throws(StepProgramError) -> Int64 {
        guard case .integer(let id)? = members["id"] else { throw missing("id", "integer") }
        return id
    }

    func hello() throws(StepProgramError) -> ProgramHello {
        guard case .integer(let version)? = members["protocol"] else {
            throw missing("protocol", "integer")
        }
        guard version == ProgramMessage.version else { throw .version(version) }
        var stateVersion: UInt64 = 1
        if let given = members["state_version"] {
            guard case .integer(let number) = given, number >= 0 else {
                throw missing("state_version", "number from 0 on")
            }
            stateVersion = UInt64(number)
        }
        return ProgramHello(
            name: try name(), stateVersion: stateVersion, state: members["state"],
            migrates: try flag("migrates") ?? false)
    }

    func tool() throws(StepProgramError) -> ToolMessage {
        let safety = try optionalString("safety") ?? ToolSafety.idempotent.rawValue
        guard let safety = ToolSafety(rawValue: safety) else {
            throw .garbage(line, "its safety is none of pure, idempotent, once")
        }
        let isShared =
            switch try optionalString("scope") {
            case nil, "run"?: false
            case "store"?: true
            default: throw .garbage(line, "its scope is none of run, store")
            }
        let key = try optionalString("key").map { isShared ? ToolKey.shared($0) : .explicit($0) }
        return ToolMessage(
            id: try id(), name: try string("name"), safety: safety, key: key,
            request: members["request"] ?? .null,
            reconciles: try flag("reconciles") ?? false)
    }

    func outcome() throws(StepProgramError) -> StepOutcome {
        switch try string("kind") {
        case "continue": return .next(try value("state"))
        case "pause":
            return .pause(try value("state"), reason: members["reason"]?.text ?? "")
        case "complete": return .complete(members["result"] ?? .null)
        case let kind: throw .garbage(line, "there is no outcome of kind \(brief(kind.utf8))")
        }
    }

    func error() throws(StepProgramError) -> ProgramError {
        let text = members["category"]?.text ?? ""
        let category = FailureCategory(rawValue: text) ?? .unknown
        return ProgramError(
            description: try string("error"), category: category,
            isRetryable: try flag("retryable") ?? (category == .transient),
            retryAfter: members["retry_after"]?.seconds)
    }
}

extension JSONValue {
    fileprivate var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// A number of seconds, from 0 on. The runner's policy cuts it, and says so.
    fileprivate var seconds: Duration? {
        let seconds: Double
        switch self {
        case .integer(let value): seconds = Double(value)
        case .double(let value): seconds = value
        default: return nil
        }
        return .seconds(max(0, min(seconds, 1e15)))
    }
}
