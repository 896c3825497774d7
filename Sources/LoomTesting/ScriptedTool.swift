public import LoomModel
public import LoomRunner
internal import Synchronization

/// A tool whose answers are written down beforehand, and which remembers what it was asked.
///
/// ```swift
/// let fetch = ScriptedTool<String, String>("fetch", safety: .idempotent, [
///     .throws(StepFailure("busy", category: .transient)), .returns("a page"),
/// ])
/// let loop = Reader(fetch: fetch.tool)
/// …
/// #expect(fetch.requests == ["https://example.org", "https://example.org"])
/// ```
public final class ScriptedTool<Request: Codable & Sendable, Response: Codable & Sendable>: Sendable
{
    /// What one call does.
    public enum Turn: Sendable {
        /// Returns this.
        case returns(Response)
        /// Throws this.
        case `throws`(any Error)
    }

    private struct State {
        var turns: [Turn]
        var requests: [Request] = []
    }

    private let state: Mutex<State>
    private let name: String
    private let safety: ToolSafety

    /// Creates a tool with one turn a call; the last turn repeats.
    public init(_ name: String, safety: ToolSafety, _ turns: [Turn]) {
        precondition(!turns.isEmpty, "a script without a turn")
        self.name = name
        self.safety = safety
        state = Mutex(State(turns: turns))
    }

    /// What it was asked, by the calls that really ran.
    public var requests: [Request] { state.withLock { $0.requests } }

    /// The tool.
    public var tool: Tool<Request, Response> {
        Tool(name, safety: safety) { request, _ in
            let turn = self.state.withLock { state -> Turn in
                state.requests.append(request)
                return state.turns.count > 1 ? state.turns.removeFirst() : state.turns[0]
            }
            switch turn {
            case .returns(let response): return response
            case .throws(let error): throw error
            }
        }
    }
}
