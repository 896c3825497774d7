internal import LoomFormat
public import LoomModel

/// What a process does for others besides changing runs: work by verb, as `compact` and `backup`.
///
/// ```swift
/// var handlers = RequestHandlers()
/// handlers.register("compact") { work in
///     for part in parts {
///         try await compact(part)
///         work.report(["parts": .integer(part.number)])
///     }
///     return ["bytes": .integer(freed)]
/// }
/// let store = try LogRunStore(path: "runs.loom", handlers: handlers)
/// ```
///
/// Work is done one at a time, beside the runs. Work that a crash cuts is done again from the start
/// by whoever opens the log next, so it must be such that this does no harm. A request of a verb
/// that has no handler is left alone: its asker takes it back.
public struct RequestHandlers: Sendable {
    /// Does the work; what it returns is the answer. An error is the answer, too: a
    /// `RequestRefusal` as it is, any other as the kind `failed`.
    public typealias Handler = @Sendable (RequestedWork) async throws -> JSONValue

    private var handlers: [ByteString: Handler] = [:]

    /// Creates handlers of no verb.
    public init() {}

    /// Sets what is done for a verb, in place of what was set before. Verbs of runs cannot be set.
    public mutating func register(_ verb: String, _ handler: @escaping Handler) {
        guard !RunChange.isKnown(verb) else { return }
        handlers[ByteString(verb)] = handler
    }

    subscript(_ verb: String) -> Handler? { handlers[ByteString(verb)] }
}

/// Work that another process asked for.
public struct RequestedWork: Sendable {
    /// The verb.
    public let verb: String
    /// The arguments, as the asker gave them.
    public let arguments: JSONValue
    /// Who asked.
    public let by: String
    let progress: @Sendable (JSONValue) -> Void

    /// Tells the asker how far the work is. Costs a small file.
    public func report(_ progress: JSONValue) { self.progress(progress) }
}
