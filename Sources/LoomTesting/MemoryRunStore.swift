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
        var bytes: [UInt8]
        var epoch: UInt64
    }

    private struct Entry {
        var epoch: UInt64 = 0
        var holder: String?
        var events: [Stored] = []
    }

    /// As a process would name itself.
    public var writer: String { "memory" }

    private let runs = Mutex<[RunID: Entry]>([:])

    /// Creates an empty store.
    public init() {}

    /// See `RunStore.claim(_:holder:)`.
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

    /// See `RunStore.append(_:)`.
    public func append(_ unit: RecordUnit) throws(RunStoreError) -> Appending {
        let answer = runs.withLock { runs -> AppendAnswer in
            guard var entry = runs[unit.run], entry.holder != nil, entry.epoch == unit.epoch,
                UInt64(entry.events.count) == unit.position
            else { return .fenced }
            runs[unit.run] = nil
            entry.events += unit.events.map { Stored(bytes: $0, epoch: unit.epoch) }
            runs[unit.run] = entry
            return .ok
        }
        return .answered(answer)
    }

    /// See `RunStore.read(_:from:_:)`.
    public func read(
        _ run: RunID, from position: UInt64,
        _ body: (RunEvent?, RunFold.Place) throws -> Void
    ) async throws {
        let events = runs.withLock { $0[run]?.events ?? [] }
        for (index, stored) in events.enumerated() where UInt64(index) >= position {
            try body(
                try RunEvent(decoding: stored.bytes.rawSpan),
                .init(position: UInt64(index), epoch: stored.epoch))
        }
    }

    /// See `RunStore.release(_:epoch:)`.
    public func release(_ run: RunID, epoch: UInt64) async {
        runs.withLock { runs in
            guard runs[run]?.epoch == epoch else { return }
            runs[run]?.holder = nil
        }
    }
}
