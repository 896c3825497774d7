internal import LoomFormat
internal import Synchronization

/// A run that this process has claimed, with the journal that its events go through.
final class ClaimedRun: Sendable {
    let run: RunID
    let epoch: UInt64
    /// The position that its next event had when it was claimed; 0 when it did not exist.
    let position: UInt64
    private let journal = Mutex<RunJournal?>(nil)

    init(_ run: RunID, _ claim: RunClaim) {
        self.run = run
        epoch = claim.epoch
        position = claim.position
    }

    func keep(_ journal: RunJournal) { self.journal.withLock { $0 = journal } }

    /// The oldest call that is still made, in a task that has outlived its step.
    var callInFlight: RunnerError? { journal.withLock { $0 }?.oldestInFlight }

    /// Its driver has ended: no call begins any more.
    func close() { journal.withLock { $0 }?.close() }

    func becomesIdle() async { await journal.withLock { $0 }?.becomesIdle() }
}

/// The runs that nobody drives any more and that are held all the same, as a step or a call of
/// theirs goes on in this process: whoever wants one is told what it waits for.
enum BusyRuns {
    fileprivate struct Key: Hashable {
        var store: ObjectIdentifier
        var run: RunID
    }

    private static let reasons = Mutex<[Key: @Sendable () -> RunnerError?]>([:])

    /// An entry of the table.
    struct Entry: Sendable {
        fileprivate let key: Key
        func remove() { BusyRuns.reasons.withLock { $0[key] = nil } }
    }

    /// - Returns: `nil` for a store that is a value: then whoever wants the run is told its holder.
    static func add(
        _ run: RunID, of store: any RunStore, _ reason: @escaping @Sendable () -> RunnerError?
    ) -> Entry? {
        guard let key = key(run, store) else { return nil }
        reasons.withLock { $0[key] = reason }
        return Entry(key: key)
    }

    static func reason(_ run: RunID, of store: any RunStore) -> RunnerError? {
        guard let key = key(run, store) else { return nil }
        // Outside of the lock: it looks into the run's journal.
        return reasons.withLock { $0[key] }?()
    }

    private static func key(_ run: RunID, _ store: any RunStore) -> Key? {
        guard type(of: store) is AnyClass else { return nil }
        return Key(store: ObjectIdentifier(store as AnyObject), run: run)
    }
}
