public import LoomFormat
public import LoomModel
public import LoomRuns

/// Where a runner keeps its runs: the one narrow seam under it.
///
/// A run is a row of events, each at a dense position. Whoever drives it has *claimed* it under an
/// epoch that is higher than every one before; a unit names run, epoch and position, and the
/// compare on the two is the fence that keeps an older holder out. What any implementation must do
/// is said by the conformance suite in LoomTesting.
///
/// Units come encoded: what is stored and compared is the same in every store. What was stored is
/// read through `RunSource`, by the runner as by everybody else.
public protocol RunStore: RunSource {
    /// Who this store writes as: readers in other processes compare it with the holder of a run.
    var writer: String { get }

    /// Where other processes leave requests about runs that are driven here; `nil` for a store that
    /// takes none.
    var desk: RequestDesk? { get }

    /// Takes a run, also one that does not exist yet; raises its epoch.
    ///
    /// - Throws: ``RunStoreError/held(run:by:)`` while another holder has it.
    func claim(_ run: RunID, holder: String) async throws(RunStoreError) -> RunClaim

    /// Appends a unit at the position that its run has come to, whole or not at all.
    ///
    /// Its place is decided when this returns, so that units of one run may follow one another
    /// without waiting. A unit that is a barrier must survive a power loss before it is answered
    /// with `ok`, in a store that distinguishes.
    ///
    /// - Parameters:
    ///   - unit: What is appended.
    ///   - outline: What is known of the run after the unit, for a store that keeps it: the fold of
    ///     the whole run, so that no store has to fold. Made when it is called, and only then.
    /// - Throws: When the events were certainly not appended.
    func append(
        _ unit: RecordUnit, outline: () -> RunOutline
    ) throws(RunStoreError) -> Appending

    /// Gives a run up. Of a claim that was fenced, nothing happens.
    func release(_ run: RunID, epoch: UInt64) async
}

extension RunStore {
    /// None: nobody asks.
    public var desk: RequestDesk? { nil }

    /// Appends a unit and waits for the answer.
    public func commit(
        _ unit: RecordUnit, outline: () -> RunOutline
    ) async throws(RunStoreError) -> AppendAnswer {
        try await append(unit, outline: outline).answer
    }
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

/// An append whose place is decided.
public enum Appending: Sendable {
    /// The answer is there.
    case answered(AppendAnswer)
    /// It is waited for: for a sync, or for the other side.
    case pending(@Sendable () async -> AppendAnswer)

    /// The answer, waited for where it is not there.
    public var answer: AppendAnswer {
        get async {
            switch self {
            case .answered(let answer): answer
            case .pending(let wait): await wait()
            }
        }
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
    /// A newer version of loomlog wrote the store.
    case unsupported(String)
}

extension RunStoreError: CustomStringConvertible {
    /// One line.
    public var description: String {
        switch self {
        case .held(let run, let holder): "run \(run) is held by \(holder)"
        case .unavailable(let reason), .corrupt(let reason), .unsupported(let reason): reason
        }
    }
}
