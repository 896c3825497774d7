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
///     static let name = "counter"
///
///     func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
///         if state.current >= state.target { return .complete(state.current) }
///         return .continue(State(current: state.current + 1, target: state.target))
///     }
/// }
/// ```
public protocol StepLoop: Sendable {
    /// What a step reads and leaves behind.
    associatedtype State: Codable & Sendable
    /// What the last step returns.
    associatedtype Output: Codable & Sendable

    /// The durable name of the loop: a run is resumed only by a loop of its name.
    static var name: String { get }
    /// The version of the state's shape; 1 unless said otherwise.
    static var stateVersion: UInt64 { get }
    /// How states are stored; canonical JSON unless said otherwise.
    static var stateCodec: ValueCodec<State> { get }
    /// How results are stored; canonical JSON unless said otherwise.
    static var outputCodec: ValueCodec<Output> { get }

    /// Does one step. Throwing fails the attempt; the retry policy decides what follows.
    func step(
        _ state: State, _ context: StepContext
    ) async throws -> Outcome<State, Output>

    /// Reads a state of an older version. Without it, such a run is refused and stays resumable.
    static func migrate(_ state: [UInt8], from version: UInt64) throws -> State
}

extension StepLoop {
    /// The first version.
    public static var stateVersion: UInt64 { 1 }
    /// Canonical JSON.
    public static var stateCodec: ValueCodec<State> { .json }
    /// Canonical JSON.
    public static var outputCodec: ValueCodec<Output> { .json }

    /// Refuses.
    public static func migrate(_ state: [UInt8], from version: UInt64) throws -> State {
        throw RunnerError.stateVersion(stored: version, expected: stateVersion)
    }
}

/// What a step leads to.
public enum Outcome<State, Output> {
    /// Another step, on this state.
    case `continue`(State)
    /// The end of the run, with its result.
    case complete(Output)
    /// As `continue`, but nobody drives the run on until it is resumed.
    case pause(State, reason: String)
}

extension Outcome: Sendable where State: Sendable, Output: Sendable {}

/// How values of a type are stored, and under which name the log says so.
public struct ValueCodec<Value>: Sendable {
    /// The name in the run's first event; `json` is canonical JSON.
    public let name: String
    /// The bytes of a value. Equal values must have equal bytes.
    public let encode: @Sendable (Value) throws -> [UInt8]
    /// The value of bytes.
    public let decode: @Sendable ([UInt8]) throws -> Value

    /// Creates a codec.
    public init(
        name: String, encode: @escaping @Sendable (Value) throws -> [UInt8],
        decode: @escaping @Sendable ([UInt8]) throws -> Value
    ) {
        self.name = name
        self.encode = encode
        self.decode = decode
    }
}

extension ValueCodec where Value: Codable & SendableMetatype {
    /// Canonical JSON: any tool can show the values.
    public static var json: ValueCodec<Value> {
        ValueCodec(
            name: "json", encode: { try CanonicalJSONEncoder().encode($0) },
            decode: { try CanonicalJSONDecoder().decode(Value.self, from: $0) })
    }
}
