public import LoomFormat
public import LoomModel
public import LoomRunner
internal import Synchronization

/// Runs in memory: for tests of loops, where nothing has to survive the process.
///
/// ```swift
/// let runner = Runner(MyLoop(), store: MemoryRunStore())
/// ```
public final class MemoryRunStore: RunStore {
    private struct Stored {
        var event: RunEvent
        var place: RunFold.Place
    }

    private struct Entry {
        var epoch: UInt64 = 0
        var holder: String?
        var events: [Stored] = []
    }

    private let runs = Mutex<[RunID: Entry]>([:])

    /// Creates an empty store.
    public init() {}

    /// See ``LoomRunner/RunStore/claim(_:holder:)``.
    public func claim(_ run: RunID, holder: String) async throws(RunStoreError) -> RunClaim {
        try runs.withLock { runs throws(RunStoreError) in
            var entry = runs[run] ?? Entry()
            if let other = entry.holder { throw .held(run: run, by: other) }
            entry.epoch += 1
            entry.holder = holder
            runs[run] = entry
            return RunClaim(epoch: entry.epoch, position: UInt64(entry.events.count))
        }
    }

    /// See ``LoomRunner/RunStore/append(_:to:epoch:position:isBarrier:)``.
    public func append(
        _ events: [RunEvent], to run: RunID, epoch: UInt64, position: UInt64, isBarrier: Bool
    ) async throws(RunStoreError) -> AppendAnswer {
        runs.withLock { runs in
            guard var entry = runs[run], entry.holder != nil, entry.epoch == epoch,
                UInt64(entry.events.count) == position
            else { return .fenced }
            for event in events {
                let place = RunFold.Place(position: UInt64(entry.events.count), epoch: epoch)
                entry.events.append(Stored(event: event, place: place))
            }
            runs[run] = entry
            return .ok
        }
    }

    /// See ``LoomRunner/RunStore/read(_:from:_:)``.
    public func read(
        _ run: RunID, from position: UInt64,
        _ body: (RunEvent, RunFold.Place) throws -> Void
    ) async throws {
        let events = runs.withLock { $0[run]?.events ?? [] }
        for stored in events where stored.place.position >= position {
            try body(stored.event, stored.place)
        }
    }

    /// See ``LoomRunner/RunStore/release(_:epoch:)``.
    public func release(_ run: RunID, epoch: UInt64) async {
        runs.withLock { runs in
            guard runs[run]?.epoch == epoch else { return }
            runs[run]?.holder = nil
        }
    }
}
