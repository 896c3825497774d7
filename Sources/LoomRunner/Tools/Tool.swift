public import LoomModel

/// Something that a step does to the world, or reads from it: managed, so that a completed call is
/// answered from the log ever after.
///
/// ```swift
/// let charge = Tool("charge", safety: .once) { (order: Order, call: ToolCall) in
///     try await bank.charge(order.amount, idempotencyKey: call.idempotencyKey)
/// }
/// let receipt = try await context.call(charge, order)
/// ```
public struct Tool<Request: Codable & Sendable, Response: Codable & Sendable>: Sendable {
    /// The name in the log.
    public let name: String
    /// How often it may happen.
    public let safety: ToolSafety
    let reconcile: (@Sendable (Request, ToolCall) async throws -> Reconciliation<Response>)?
    let body: @Sendable (Request, ToolCall) async throws -> Response

    /// Creates a tool.
    ///
    /// - Parameters:
    ///   - safety: What may be done when nobody knows whether a call happened.
    ///   - reconcile: For `.once`: finds out whether it did. Without it the run pauses.
    public init(
        _ name: String, safety: ToolSafety,
        reconcile: (@Sendable (Request, ToolCall) async throws -> Reconciliation<Response>)? = nil,
        _ body: @escaping @Sendable (Request, ToolCall) async throws -> Response
    ) {
        self.name = name
        self.safety = safety
        self.reconcile = reconcile
        self.body = body
    }

    /// Runs the tool as it is, recorded by nobody: for tools that are made of others.
    public func perform(_ request: Request, _ call: ToolCall) async throws -> Response {
        try await body(request, call)
    }
}

/// What a `.once` tool says of a call whose outcome nobody knows.
public enum Reconciliation<Response: Sendable>: Sendable {
    /// It happened, and returned this.
    case happened(Response)
    /// It did not: it may be made now.
    case didNotHappen
}

/// What a tool is told of the call that it makes.
public struct ToolCall: Hashable, Sendable {
    /// The same whenever this call is made again: hand it to the other side.
    public let idempotencyKey: String
    /// The attempt that makes it.
    public let attempt: AttemptID
}

/// Throw this from a `.once` tool when it is certain that nothing happened: the call may then be
/// made again, as with any failure.
public struct ToolDidNotHappen: ClassifiedError, CustomStringConvertible {
    /// Why not.
    public let description: String
    /// What kind of failure it is.
    public let category: FailureCategory

    /// Creates the statement.
    public init(_ reason: String, category: FailureCategory = .transient) {
        description = reason
        self.category = category
    }
}
