public import Logging
public import LoomFormat
public import LoomModel

/// What a step is given besides its state.
///
/// ```swift
/// func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
///     context.logger.info("looking at \(state.page)")
///     let text = try await context.call(fetch, state.page)      // a managed tool call
///     try await context.label("phase", "reading")
///     …
/// ```
public struct StepContext: Sendable {
    /// The step, and which try at it.
    public let attempt: AttemptID
    /// The stored state that the step reads.
    let stateBytes: [UInt8]
    let scope: RunScope

    /// The run.
    public var run: RunID { scope.journal.run }

    /// The identity of the state that the step reads. Made when asked for, as most steps do not.
    public var inputHash: ContentHash { InputHash.of(state: stateBytes) }

    /// A logger that names run, step and attempt. Made when asked for.
    public var logger: Logger {
        var logger = scope.logger
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

    /// The labels that the run has now.
    public var labels: [ByteString: String] { scope.journal.summary.labels }

    /// Sets a label of the run; an empty value takes it away.
    ///
    /// A barrier: in the log, as durable as the mode has it, when this returns. It stays when the
    /// attempt fails.
    ///
    /// - Throws: ``RunnerError/stepIsOver(_:step:)`` in a task that has outlived the step.
    public func label(_ name: String, _ value: String) async throws {
        try await scope.journal.label([Label(name: name, value: value)], in: attempt)
    }
}

/// What all steps of one drive share: one reference, so that a context costs little.
final class RunScope: Sendable {
    let journal: RunJournal
    let logger: Logger
    let tools: ToolRegistry
    let access: RunAccess

    init(_ journal: RunJournal, _ access: RunAccess, _ options: RunnerOptions) {
        self.journal = journal
        self.access = access
        logger = options.logger
        tools = options.tools
    }
}
