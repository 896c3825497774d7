internal import LoomModel

/// A durable loop: a step function from a state to the next state or a result.
///
/// The state goes in and comes out, and it is the state that is stored. So the step may be written
/// in any way: there is no rule of determinism, and a new build goes on with an old run. What a
/// step does to the outside world belongs into a ``Tool``, so that a completed call is never made
/// again.
///
/// ```swift
/// struct Counter: StepLoop {
///     struct State: Codable, Sendable { var current: Int; var target: Int }
///     let name = "counter"
///
///     func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
///         if state.current >= state.target { return .complete(state.current) }
///         return .continue(State(current: state.current + 1, target: state.target))
///     }
/// }
/// ```
public protocol StepLoop: Sendable {
    /// What a step reads and leaves behind.
    associatedtype State: Sendable
    /// What the last step returns.
    associatedtype Output: Sendable

    /// The durable name of the loop: a run is resumed only by a loop of its name.
    var name: String { get }
    /// The version of the state's shape; 1 unless said otherwise.
    var stateVersion: UInt64 { get }
    /// How states are stored; canonical JSON unless said otherwise.
    var stateCodec: ValueCodec<State> { get }
    /// How results are stored; canonical JSON unless said otherwise.
    var outputCodec: ValueCodec<Output> { get }

    /// Does one step. Throwing fails the attempt; the retry policy decides what follows.
    func step(
        _ state: State, _ context: StepContext
    ) async throws -> Outcome<State, Output>

    /// Reads a state of an older version. Without it, such a run is refused and stays resumable.
    func migrate(_ state: [UInt8], from version: UInt64) async throws -> State
}

extension StepLoop {
    /// The first version.
    @inlinable public var stateVersion: UInt64 { 1 }

    /// Refuses.
    public func migrate(_ state: [UInt8], from version: UInt64) async throws -> State {
        throw RunnerError.stateVersion(stored: version, expected: stateVersion)
    }
}

extension StepLoop where State: Codable {
    /// Canonical JSON.
    @inlinable public var stateCodec: ValueCodec<State> { .json }
}

extension StepLoop where Output: Codable {
    /// Canonical JSON.
    @inlinable public var outputCodec: ValueCodec<Output> { .json }
}

/// What a step leads to.
@frozen public enum Outcome<State, Output> {
    /// Another step, on this state.
    case `continue`(State)
    /// The end of the run, with its result.
    case complete(Output)
    /// As `continue`, but nobody drives the run on until it is resumed.
    case pause(State, reason: String)
}

extension Outcome: Sendable where State: Sendable, Output: Sendable {}

/// A loop made of a closure: for small ones that need no type.
///
/// Made by ``Runner/init(_:store:options:step:)``.
public struct ClosureLoop<State: Codable & Sendable, Output: Codable & Sendable>: StepLoop {
    /// The durable name of the loop.
    public let name: String
    @usableFromInline let body:
        @Sendable (State, StepContext) async throws -> Outcome<
            State, Output
        >

    @inlinable
    init(
        _ name: String,
        _ body: @escaping @Sendable (State, StepContext) async throws -> Outcome<State, Output>
    ) {
        self.name = name
        self.body = body
    }

    /// Calls the closure.
    @inlinable
    public func step(
        _ state: State, _ context: StepContext
    ) async throws -> Outcome<State, Output> {
        try await body(state, context)
    }
}
