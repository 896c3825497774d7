internal import LoomFormat
public import LoomModel
public import LoomRunner
internal import LoomStorage
internal import Synchronization

/// The world outside the log, for crash tests: makes tools whose effects it counts, and stops the
/// simulated machine in the middle of a call when it is told to. It survives every crash.
///
/// See ``expectResumable(state:policies:durabilities:every:_:)``.
public final class CrashWorld: Sendable {
    /// One effect of a tool: its name and its request as canonical JSON.
    struct Effect: Hashable, CustomStringConvertible {
        var tool: ByteString
        var request: ByteString
        var description: String { "\(tool) \(request)" }

        init(tool: String, request: String) {
            self.tool = ByteString(tool)
            self.request = ByteString(request)
        }
    }

    private struct Facts {
        var performed: [Effect: Int] = [:]
        var responses: [Effect: [UInt8]] = [:]
        var safeties: [ByteString: ToolSafety] = [:]
        var callCount = 0
        var crashInCall: Int?
        var storage: SimulatedStorage?
    }
    private let facts = Mutex(Facts())

    init() {}

    /// What the tools' bodies throw when the machine stopped under them.
    struct MachineStopped: Error {}

    /// A tool of this world.
    ///
    /// - Parameters:
    ///   - reconciles: For `.once`: whether the tool can find out what became of a call. When it
    ///     cannot, the run pauses, and the test resolves the call by what really happened.
    ///   - body: What it returns. The world counts the call, so it needs no effect of its own.
    public func tool<Request, Response>(
        _ name: String, safety: ToolSafety, reconciles: Bool = true,
        _ body: @escaping @Sendable (Request) throws -> Response
    ) -> Tool<Request, Response> {
        facts.withLock { $0.safeties[ByteString(name)] = safety }
        var reconcile: (@Sendable (Request, ToolCall) async throws -> Reconciliation<Response>)?
        if safety == .once && reconciles {
            reconcile = { request, _ in
                let effect = try Self.effect(name, request)
                return self.count(effect) > 0 ? .happened(try body(request)) : .didNotHappen
            }
        }
        return Tool(name, safety: safety, reconcile: reconcile) { request, _ in
            let response = try body(request)
            let effect = try Self.effect(name, request)
            try self.perform(effect, try CanonicalJSONEncoder().encode(response))
            return response
        }
    }

    private static func effect<Request: Encodable>(
        _ name: String, _ request: Request
    ) throws -> Effect {
        let request = try CanonicalJSONEncoder().encode(request)
        return Effect(tool: name, request: String(decoding: request, as: UTF8.self))
    }

    private func perform(_ effect: Effect, _ response: [UInt8]) throws {
        let stopped = facts.withLock { facts -> SimulatedStorage? in
            facts.performed[effect, default: 0] += 1
            facts.responses[effect] = response
            facts.callCount += 1
            return facts.callCount == facts.crashInCall ? facts.storage : nil
        }
        guard let stopped else { return }
        stopped.crash()
        throw MachineStopped()
    }

    /// The machine that is to stop inside the nth call of the world's life.
    func crash(_ storage: SimulatedStorage, inCall number: Int?) {
        facts.withLock {
            $0.storage = storage
            $0.crashInCall = number
        }
    }

    func count(_ effect: Effect) -> Int { facts.withLock { $0.performed[effect, default: 0] } }
    var performed: [Effect: Int] { facts.withLock { $0.performed } }
    var callCount: Int { facts.withLock { $0.callCount } }
    func safety(of tool: ByteString) -> ToolSafety? { facts.withLock { $0.safeties[tool] } }

    /// What really became of a call: how a person would resolve it.
    func outcome(of call: ToolStart) -> ToolFinish.Outcome {
        let request = String(decoding: call.request, as: UTF8.self)
        let effect = Effect(tool: call.name, request: request)
        return facts.withLock { facts in
            facts.responses[effect].map { .completed(result: $0) } ?? .didNotHappen
        }
    }
}
