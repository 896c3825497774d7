internal import LoomModel

/// The state of a run in memory. Typed where it is made and where it is read, not in between.
///
/// Sendable without checks: one task at a time has it, the one that drives the run.
@usableFromInline
class AnyStateCell: @unchecked Sendable {
    @usableFromInline init() {}
}

/// The typed cell: the state that the next step reads, and the result of the last one.
@usableFromInline
final class StateCell<State, Output>: AnyStateCell, @unchecked Sendable {
    @usableFromInline var state: State
    @usableFromInline var output: Output?

    @inlinable
    init(_ state: State) {
        self.state = state
        super.init()
    }
}

/// What a step led to, encoded. What cannot be encoded is thrown, as a failure of the attempt.
@usableFromInline
enum EncodedOutcome: Sendable {
    case next([UInt8])
    case pause([UInt8], reason: String)
    case complete([UInt8])
}

/// A loop without its types, as the driver calls it.
///
/// Made by inlinable code, in the module that has the types: so the call of the step and the
/// encoding of its state are specialised there, and the driver is no generic code. That halved the
/// time of a small step.
@usableFromInline
struct LoopBody: Sendable {
    let name: String
    let stateVersion: UInt64
    let codec: String
    /// Calls the step on the cell's state; the cell then has the next one.
    let step: @Sendable (AnyStateCell, StepContext) async throws -> EncodedOutcome
    /// The cell of a stored state of a version.
    let load: @Sendable ([UInt8], UInt64) async throws -> AnyStateCell
    /// Puts a stored state of this version back into a cell.
    let reload: @Sendable (AnyStateCell, [UInt8]) throws -> Void
    /// The cell's state as stored.
    let encode: @Sendable (AnyStateCell) throws -> [UInt8]

    @usableFromInline
    init(
        name: String, stateVersion: UInt64, codec: String,
        step: @escaping @Sendable (AnyStateCell, StepContext) async throws -> EncodedOutcome,
        load: @escaping @Sendable ([UInt8], UInt64) async throws -> AnyStateCell,
        reload: @escaping @Sendable (AnyStateCell, [UInt8]) throws -> Void,
        encode: @escaping @Sendable (AnyStateCell) throws -> [UInt8]
    ) {
        self.name = name
        self.stateVersion = stateVersion
        self.codec = codec
        self.step = step
        self.load = load
        self.reload = reload
        self.encode = encode
    }

    @inlinable
    init<Loop: StepLoop>(_ loop: Loop) {
        typealias Cell = StateCell<Loop.State, Loop.Output>
        let (states, outputs) = (loop.stateCodec, loop.outputCodec)
        self.init(
            name: loop.name, stateVersion: loop.stateVersion, codec: states.name,
            step: { cell, context in
                let cell = unsafe unsafeDowncast(cell, to: Cell.self)
                switch try await loop.step(cell.state, context) {
                case .continue(let next):
                    let bytes = try states.encode(next)
                    cell.state = next
                    return .next(bytes)
                case .pause(let next, let reason):
                    let bytes = try states.encode(next)
                    cell.state = next
                    return .pause(bytes, reason: reason)
                case .complete(let output):
                    let bytes = try outputs.encode(output)
                    cell.output = output
                    return .complete(bytes)
                }
            },
            load: { bytes, version in
                if version == loop.stateVersion { return Cell(try states.decode(bytes)) }
                return Cell(try await loop.migrate(bytes, from: version))
            },
            reload: { unsafe unsafeDowncast($0, to: Cell.self).state = try states.decode($1) },
            encode: { try states.encode(unsafe unsafeDowncast($0, to: Cell.self).state) })
    }
}
