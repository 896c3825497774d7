public import LoomFormat
public import LoomModel

/// Where a runner keeps its runs: the one narrow seam under it.
///
/// A run is a row of events, each at a dense position. Whoever drives it has *claimed* it under an
/// epoch that is higher than every one before; an append names run, epoch and position, and the
/// compare on the two is the fence that keeps an older holder out. What any implementation must do
/// is said by the conformance suite in LoomTesting.
///
/// Calls of one run arrive one after another in order of position: an implementation must decide
/// their order before it first suspends.
public protocol RunStore: Sendable {
    /// Takes a run, also one that does not exist yet; raises its epoch.
    ///
    /// - Throws: ``RunStoreError/held(run:by:)`` while another holder has it.
    func claim(_ run: RunID, holder: String) async throws(RunStoreError) -> RunClaim

    /// Appends events at the position that `claim` has come to, whole or not at all.
    ///
    /// - Parameter isBarrier: Whether the events must survive a power loss before this returns, in
    /// a
    ///   store that distinguishes.
    /// - Throws: When the events were certainly not appended.
    func append(
        _ events: [RunEvent], to run: RunID, epoch: UInt64, position: UInt64, isBarrier: Bool
    ) async throws(RunStoreError) -> AppendAnswer

    /// Calls `body` with the events of a run from a position on, in order.
    func read(
        _ run: RunID, from position: UInt64,
        _ body: (RunEvent, RunFold.Place) throws -> Void
    ) async throws

    /// Gives a run up. Of a claim that was fenced, nothing happens.
    func release(_ run: RunID, epoch: UInt64) async
}

/// What a holder was given.
public struct RunClaim: Hashable, Sendable {
    /// The holder's epoch.
    public var epoch: UInt64
    /// The position that the run's next event has; 0 when the run does not exist.
    public var position: UInt64

    /// Creates a claim.
    public init(epoch: UInt64, position: UInt64) {
        self.epoch = epoch
        self.position = position
    }
}

/// What became of an append.
public enum AppendAnswer: Hashable, Sendable {
    /// The events are there, as durable as asked for.
    case ok
    /// Another holder has claimed the run since: nothing was appended.
    case fenced
    /// Nobody knows: the events may be there or not. The holder must let go of the run.
    case unknown(String)
}

/// Why a store refused.
public enum RunStoreError: Error, Hashable, Sendable {
    /// Another holder has the run.
    case held(run: RunID, by: String)
    /// The store cannot be used now; nothing was changed.
    case unavailable(String)
    /// The stored events are damaged.
    case corrupt(String)
}

extension RunStoreError: CustomStringConvertible {
    /// One line.
    public var description: String {
        switch self {
        case .held(let run, let holder): "run \(run) is held by \(holder)"
        case .unavailable(let reason), .corrupt(let reason): reason
        }
    }
}
