public import Logging
public import LoomFormat
public import LoomModel

/// What a step is given besides its state.
public struct StepContext: Sendable {
    /// The run.
    public let run: RunID
    /// The step, and which try at it.
    public let attempt: AttemptID
    /// The stored state that the step reads.
    let stateBytes: [UInt8]
    let baseLogger: Logger
    let journal: RunJournal

    /// The identity of the state that the step reads. Made when asked for, as most steps do not.
    public var inputHash: ContentHash { InputHash.of(state: stateBytes) }

    /// A logger that names run, step and attempt. Made when asked for.
    public var logger: Logger {
        var logger = baseLogger
        logger[metadataKey: "run"] = "\(run)"
        logger[metadataKey: "step"] = "\(attempt.step)"
        logger[metadataKey: "attempt"] = "\(attempt.attempt)"
        return logger
    }

    /// For effects that are made without a tool: the same for every attempt at this step and state.
    public var idempotencyKey: String {
        var writer = ByteWriter()
        writer.writeString(run.rawValue)
        writer.writeVarint(attempt.step)
        writer.writeUInt64(inputHash.low)
        writer.writeUInt64(inputHash.high)
        return ContentHash(of: writer.bytes.rawSpan).description
    }

    /// Calls a tool, or answers from the log when this call has completed before.
    ///
    /// - Parameter key: Tells this call from others for the whole run. Without it, the step, the
    ///   tool's name, the request and how often they occurred in this attempt do.
    /// - Throws: What the tool throws; ``RunnerError/keyMismatch(key:tool:)``;
    ///   ``RunnerError/unknownOutcome(tool:call:)`` for a `.once` call that may have happened. It
    ///   pauses the run: let it pass.
    public func call<Request, Response>(
        _ tool: Tool<Request, Response>, _ request: Request, key: String? = nil
    ) async throws -> Response {
        let bytes = try CanonicalJSONEncoder().encode(request)
        let start = await journal.startFor(
            tool.name, safety: tool.safety, key: key, request: bytes, attempt: attempt)
        let call = ToolCall(idempotencyKey: idempotencyKey(of: start), attempt: attempt)
        switch try await journal.lookOrBegin(start) {
        case .begun(let position):
            return try await make(position, tool, request, call)
        case .found(.completed(let completed)):
            try await journal.record([.toolReused(attempt, finish: completed.position)])
            return try CanonicalJSONDecoder().decode(Response.self, from: completed.result)
        case .found(.mismatch(let known)):
            throw RunnerError.keyMismatch(key: key ?? known.start.name, tool: tool.name)
        case .found(.unknown(let known)):
            let settled = try await ending(known.position) {
                try await settle(known, tool, request, call)
            }
            if let settled { return settled }
        case .found(.none): break
        }
        return try await make(try await journal.begin(start), tool, request, call)
    }

    /// Finds out what became of a `.once` call; returns its response when it happened.
    private func settle<Request, Response>(
        _ known: ToolCallTable.Call, _ tool: Tool<Request, Response>, _ request: Request,
        _ call: ToolCall
    ) async throws -> Response? {
        guard let reconcile = tool.reconcile else {
            throw RunnerError.unknownOutcome(tool: tool.name, call: known.position)
        }
        switch try await reconcile(request, call) {
        case .happened(let response):
            let result = try CanonicalJSONEncoder().encode(response)
            try await journal.finish(known.position, .completed(result: result), isBarrier: true)
            return response
        case .didNotHappen:
            try await journal.finish(known.position, .didNotHappen, isBarrier: true)
            return nil
        }
    }

    private func make<Request, Response>(
        _ position: UInt64, _ tool: Tool<Request, Response>, _ request: Request, _ call: ToolCall
    ) async throws -> Response {
        try await ending(position) { try await perform(position, tool, request, call) }
    }

    /// Runs `body`, and lets go of a call whatever becomes of it: others may wait for it.
    private func ending<Result>(
        _ position: UInt64, _ body: () async throws -> Result
    ) async throws -> Result {
        do {
            let result = try await body()
            await journal.end(position)
            return result
        } catch {
            await journal.end(position)
            throw error
        }
    }

    private func perform<Request, Response>(
        _ position: UInt64, _ tool: Tool<Request, Response>, _ request: Request, _ call: ToolCall
    ) async throws -> Response {
        let response: Response
        let result: [UInt8]
        do {
            response = try await tool.body(request, call)
            result = try CanonicalJSONEncoder().encode(response)
        } catch {
            // A `.once` call that threw may have happened all the same, unless it says otherwise.
            let isKnown = tool.safety != .once || error is ToolDidNotHappen
            guard isKnown, !(error is CancellationError) else {
                if tool.safety == .once {
                    throw RunnerError.unknownOutcome(tool: tool.name, call: position)
                }
                throw error
            }
            try await journal.finish(position, .failed(Failure(recording: error)), isBarrier: false)
            throw error
        }
        // The result of a pure tool can always be had again; that of others must not be lost.
        try await journal.finish(
            position, .completed(result: result), isBarrier: tool.safety != .pure)
        return response
    }

    /// The parts that tell a call from others, by name, never joined into one string that is
    /// parsed.
    private func idempotencyKey(of start: ToolStart) -> String {
        var writer = ByteWriter()
        writer.writeString(run.rawValue)
        switch start.key {
        case .explicit(let key):
            writer.writeUInt8(1)
            writer.writeString(key)
        case .occurrence(let number):
            writer.writeUInt8(2)
            writer.writeVarint(start.attempt.step)
            writer.writeString(start.name)
            writer.writeSized(start.request)
            writer.writeVarint(number)
        }
        return ContentHash(of: writer.bytes.rawSpan).description
    }
}
