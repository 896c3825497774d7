internal import LoomFormat
internal import LoomModel

/// Tools by name: for steps that learn the name only when they run, as from a model's answer.
///
/// ```swift
/// var options = RunnerOptions()
/// try options.tools.register(fetch)
/// …
/// let page = try await context.call(named: "fetch", url, as: String.self)
/// ```
public struct ToolRegistry: Sendable {
    /// A tool without its types: requests and responses are canonical JSON.
    struct Entry: Sendable {
        let safety: ToolSafety
        let perform: @Sendable ([UInt8], ToolCall) async throws -> [UInt8]
        let reconcile: (@Sendable ([UInt8], ToolCall) async throws -> Reconciliation<[UInt8]>)?
    }

    private var entries: [ByteString: Entry] = [:]

    /// Creates an empty registry.
    public init() {}

    /// The names, in order.
    public var names: [String] { entries.keys.sorted().map(\.text) }

    subscript(_ name: String) -> Entry? { entries[ByteString(name)] }

    /// Adds a tool under its name.
    ///
    /// - Throws: ``ToolRegistryError`` for an empty name, or one that is taken.
    public mutating func register<Request, Response>(
        _ tool: Tool<Request, Response>
    ) throws(ToolRegistryError) {
        guard !tool.name.isEmpty else { throw .emptyName }
        guard entries[ByteString(tool.name)] == nil else { throw .duplicate(tool.name) }
        var reconcile: (@Sendable ([UInt8], ToolCall) async throws -> Reconciliation<[UInt8]>)?
        if let body = tool.reconcile {
            reconcile = { bytes, call in
                switch try await body(try Self.decode(bytes), call) {
                case .happened(let response):
                    return .happened(try CanonicalJSONEncoder().encode(response))
                case .didNotHappen: return .didNotHappen
                }
            }
        }
        entries[ByteString(tool.name)] = Entry(
            safety: tool.safety,
            perform: { bytes, call in
                // What the body never saw did not happen, whatever the tool's safety.
                let request: Request
                do {
                    request = try Self.decode(bytes)
                } catch {
                    throw ToolDidNotHappen(
                        "the request of \(tool.name) does not fit: \(DecodingWords.words(error))",
                        category: .validation)
                }
                let response = try await tool.body(request, call)
                return try CanonicalJSONEncoder().encode(response)
            },
            reconcile: reconcile)
    }

    private static func decode<Request: Decodable>(_ bytes: [UInt8]) throws -> Request {
        try CanonicalJSONDecoder().decode(Request.self, from: bytes)
    }
}

/// Why a tool was not registered.
public enum ToolRegistryError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The tool has no name.
    case emptyName
    /// Another tool has the name.
    case duplicate(String)

    /// One line.
    public var description: String {
        switch self {
        case .emptyName: "a tool without a name"
        case .duplicate(let name): "there is a tool \(name) already"
        }
    }
}
