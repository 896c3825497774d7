/// When a whole state is stored beside the delta of its step.
///
/// Reading a state costs its last snapshot and the chain of deltas since. A snapshot is due when
/// the chain has cost as many bytes as the snapshot would, so that snapshots at most double what is
/// written. At a pause only a chain above a quarter of the snapshot is worth one: a scheduled loop
/// with a budget of one step must not store every state whole.
///
/// Hunks have a limit as well, far off: with 4,096, the first choice, a state of 1 MiB with two
/// small changes a step cost 1,234 bytes a step, most of it snapshots that the bytes did not call
/// for. Readers compose in batches instead (``StateTrack``), so that long chains cost linear time.
public struct SnapshotPolicy: Hashable, Sendable {
    /// Hunks of a chain after which a snapshot is due.
    public static let hunksMax = 65_536
    /// Chains below this are read as fast as any: small states need no snapshot every few steps.
    public static let chainBytesMin = 1024

    /// Bytes of the deltas since the last snapshot.
    public private(set) var chainBytes = 0
    /// Their hunks.
    public private(set) var chainHunks = 0

    /// Creates the policy of a state that was just stored whole.
    public init() {}

    /// A delta was written.
    public mutating func deltaAdded(bytes: Int, hunks: Int) {
        chainBytes += bytes
        chainHunks += hunks
    }

    /// A snapshot was written.
    public mutating func snapshotTaken() { self = SnapshotPolicy() }

    /// Whether the present state should be stored whole.
    public func isSnapshotDue(stateBytes: Int, pauses: Bool) -> Bool {
        if chainHunks > Self.hunksMax { return true }
        guard chainBytes > Self.chainBytesMin else { return false }
        return chainBytes > (pauses ? stateBytes / 4 : stateBytes)
    }
}
