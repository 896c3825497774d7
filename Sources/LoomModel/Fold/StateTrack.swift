public import LoomFormat

/// Follows the state of one run: through its events when it is read, through its commits when it is
/// written, so that both agree on what a delta is against and when a snapshot stands beside it.
public struct StateTrack: Sendable {
    /// The last whole state, and the deltas since: composed, materialised once when asked for.
    private var base: [UInt8] = []
    private var chain = DeltaChain()
    private var policy = SnapshotPolicy()
    /// Whether the present state was kept: behind a commit without bytes only the one before is
    /// known.
    public private(set) var isKept = true

    private static let batchHunks = 1024
    private static let batchPieces = 4096

    /// Creates the track of a run without events.
    public init() {}

    /// Creates the track of a new run.
    public init(initial state: [UInt8]) { reset(to: state) }

    /// What a commit adds to the log.
    public struct Change: Hashable, Sendable {
        /// The new state against the one before.
        public var delta: [UInt8]
        /// The new state whole, when one is due.
        public var snapshot: [UInt8]?
    }

    private mutating func reset(to state: [UInt8]) {
        base = state
        chain = DeltaChain()
        policy.snapshotTaken()
        isKept = true
    }

    /// Applies the event of a run, in order; those without a state change nothing.
    public mutating func apply(_ event: RunEvent) throws(FormatError) {
        switch event.content {
        case .created(let creation): reset(to: creation.state)
        // One that was not kept says nothing.
        case .snapshot(_, let state): if !state.isEmpty { reset(to: state) }
        case .migrated(_, let state): reset(to: state)
        // The state was not kept: the next delta is against the one before.
        case .stepCommitted(_, let delta) where delta.isEmpty: isKept = false
        case .stepCommitted(_, let delta):
            // Appending to a chain costs as much as it has pieces, and a hostile delta multiplies
            // them: long ones are composed in batches, and one delta never meets many pieces.
            if chain.pieceCount > Self.batchPieces { _ = try materialise() }
            let hunksBefore = chain.hunkCount
            try chain.append(delta.rawSpan)
            policy.deltaAdded(bytes: delta.count, hunks: chain.hunkCount - hunksBefore)
            isKept = true
            if chain.hunkCount > Self.batchHunks { _ = try materialise() }
        default: break
        }
    }

    /// The present state.
    ///
    /// - Throws: Also where it was not kept. Nobody asks for a state that the run's policies hide,
    ///   unless they did not yet when the question was put.
    public mutating func present() throws(FormatError) -> [UInt8] {
        guard isKept else { throw .invalid("it was not kept, as the run's policies hide it") }
        return try materialise()
    }

    /// The last state that was kept: what the next delta is against.
    public mutating func materialise() throws(FormatError) -> [UInt8] {
        if !chain.isEmpty {
            base = try chain.materialise(base)
            chain = DeltaChain()
        }
        return base
    }

    /// The present state of a writer, who always has it whole.
    public var bytes: [UInt8] { base }

    /// Goes on to the next state of the writer, who has the present one whole.
    public mutating func commit(_ next: [UInt8], pauses: Bool) -> Change {
        let (delta, hunks) = StateDelta.encodeCounting(from: base, to: next)
        base = next
        policy.deltaAdded(bytes: delta.count, hunks: hunks)
        guard policy.isSnapshotDue(stateBytes: next.count, pauses: pauses) else {
            return Change(delta: delta, snapshot: nil)
        }
        policy.snapshotTaken()
        return Change(delta: delta, snapshot: next)
    }
}
