package import LoomModel

extension StepContext {
    /// Calls a tool, or answers from the log when this call has completed before.
    ///
    /// - Parameters:
    ///   - key: Tells this call from others for the whole run. Without it, the step, the tool's
    ///     name, the request and a number among equal calls of this attempt do; a call that failed
    ///     gives its number back.
    ///   - scope: Where the key holds: in the run, or in the whole store.
    /// - Throws: What the tool throws; ``RunnerError/keyMismatch(key:tool:)``;
    ///   ``RunnerError/unknownOutcome(tool:call:)`` for a `.once` call that may have happened. It
    ///   pauses the run: let it pass.
    public func call<Request, Response>(
        _ tool: Tool<Request, Response>, _ request: Request, key: String? = nil,
        scope: KeyScope = .run
    ) async throws -> Response {
        var reconcile: (@Sendable ([UInt8], ToolCall) async throws -> Reconciliation<Response>)?
        if let body = tool.reconcile {
            // By the bytes: it may be asked about another call of the tool than this one.
            reconcile = {
                try await body(try CanonicalJSONDecoder().decode(Request.self, from: $0), $1)
            }
        }
        return try await ManagedCall(
            context: self, name: tool.name, safety: tool.safety, key: scope.key(key),
            request: try CanonicalJSONEncoder().encode(request),
            perform: { try await tool.body(request, $0) },
            reconcile: reconcile,
            encode: { try CanonicalJSONEncoder().encode($0) },
            decode: { try CanonicalJSONDecoder().decode(Response.self, from: $0) }
        ).run()
    }

    /// Calls a tool of ``RunnerOptions/tools`` by its name; as ``call(_:_:key:scope:)``.
    ///
    /// - Throws: ``StepFailure`` of category validation when there is none of this name.
    public func call<Request: Encodable & Sendable, Response: Codable & Sendable>(
        named name: String, _ request: Request, as response: Response.Type = Response.self,
        key: String? = nil, scope: KeyScope = .run
    ) async throws -> Response {
        guard let tool = self.scope.tools[name] else {
            let known = self.scope.tools.names.joined(separator: ", ")
            throw StepFailure(
                "there is no tool \(name); there are: \(known)", category: .validation)
        }
        let bytes = try CanonicalJSONEncoder().encode(request)
        let result = try await call(
            name, safety: tool.safety, request: bytes, key: scope.key(key),
            reconcile: tool.reconcile,
            perform: { try await tool.perform(bytes, $0) })
        return try ManagedCall<Response>.fitting(name) {
            try CanonicalJSONDecoder().decode(Response.self, from: result)
        }
    }

    /// The same over bytes: for callers whose tools live elsewhere, as in a child process.
    package func call(
        _ name: String, safety: ToolSafety, request: [UInt8], key: ToolKey?,
        reconcile: (@Sendable ([UInt8], ToolCall) async throws -> Reconciliation<[UInt8]>)?,
        perform: @escaping @Sendable (ToolCall) async throws -> [UInt8]
    ) async throws -> [UInt8] {
        try await ManagedCall(
            context: self, name: name, safety: safety, key: key, request: request,
            perform: perform, reconcile: reconcile, encode: { $0 }, decode: { $0 }
        ).run()
    }
}

/// Where an explicit tool key holds.
public enum KeyScope: Hashable, Sendable {
    /// In its run: another run with the same key makes its own call.
    case run
    /// In the whole store: whichever run comes first makes the call, all others get its result,
    /// also when the first run is gone. Costs a second record, in a run of the key's own.
    case store

    func key(_ key: String?) -> ToolKey? {
        key.map { self == .run ? .explicit($0) : .shared($0) }
    }
}
