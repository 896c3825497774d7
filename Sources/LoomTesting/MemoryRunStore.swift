public import LoomFormat
public import LoomModel
public import LoomRunner
public import LoomRuns
internal import Synchronization

/// Runs in memory: for tests of loops, where nothing has to survive the process.
///
/// ```swift
/// let store = MemoryRunStore()
/// let runner = Runner(MyLoop(), store: store)
/// let runs = RunReader(source: store)
/// ```
public final class MemoryRunStore: RunStore {
    private struct Entry {
        var epoch: UInt64 = 0
        var holder: String?
        var events: [StoredEvent] = []
        /// The epoch of the last run of this name that was deleted.
        var deletedEpoch: UInt64?

        /// Whether an event is of the run that is there now.
        func has(_ event: StoredEvent) -> Bool {
            deletedEpoch.map { event.place.epoch > $0 } ?? true
        }

        mutating func append(_ event: StoredEvent) {
            if RunEvent.isDeletion(event.body.rawSpan) {
                (events, deletedEpoch) = ([], event.place.epoch)
            } else {
                events.append(event)
            }
        }
    }

    /// An event's number among all, from 1 on, is one above its index here.
    private struct Contents {
        var runs: [RunID: Entry] = [:]
        var order: [StoredEvent] = []
    }

    /// As a process would name itself.
    public var writer: String { "memory" }

    private let contents = Mutex(Contents())

    /// Creates an empty store.
    public init() {}

    /// See `RunStore.claim(_:holder:)`.
    public func claim(_ run: RunID, holder: String) async throws(RunStoreError) -> RunClaim {
        try contents.withLock { contents throws(RunStoreError) in
            var entry = contents.runs[run] ?? Entry()
            if let other = entry.holder { throw .held(run: run, by: other) }
            entry.epoch += 1
            entry.holder = holder
            contents.runs[run] = entry
            return RunClaim(epoch: entry.epoch, position: UInt64(entry.events.count))
        }
    }

    /// See `RunStore.append(_:outline:)`. The outline is not asked for: events are folded when a
    /// row is read.
    public func append(
        _ unit: RecordUnit, outline: () -> RunOutline
    ) throws(RunStoreError) -> Appending {
        let answer = contents.withLock { contents -> AppendAnswer in
            guard var entry = contents.runs[unit.run], entry.holder != nil,
                entry.epoch == unit.epoch, UInt64(entry.events.count) == unit.position
            else { return .fenced }
            contents.runs[unit.run] = nil
            for body in unit.events {
                let place = RunFold.Place(
                    position: UInt64(entry.events.count), epoch: unit.epoch)
                let event = StoredEvent(run: unit.run, place: place, body: body)
                entry.append(event)
                contents.order.append(event)
            }
            contents.runs[unit.run] = entry
            return .ok
        }
        return .answered(answer)
    }

    /// See `RunStore.release(_:epoch:)`.
    public func release(_ run: RunID, epoch: UInt64) async {
        contents.withLock { contents in
            guard contents.runs[run]?.epoch == epoch else { return }
            contents.runs[run]?.holder = nil
        }
    }
}

extension MemoryRunStore {
    /// See `RunSource.row(of:)`.
    public func row(of run: RunID) throws -> RunRow? {
        try contents.withLock { $0.runs[run] }.flatMap { try Self.row(run, $0) }
    }

    /// See `RunSource.heads(_:)`.
    public func heads(_ filter: RunFilter) throws -> any RunHeadCursor {
        let found = contents.withLock { contents in
            contents.runs.filter { $0.key.rawValue.hasBytePrefix(filter.prefix ?? "") }
        }
        let rows = try found.compactMap { try Self.row($0.key, $0.value) }
        return MemoryCursor(
            rows.filter(filter.fits).sorted { $0.run < $1.run }.map {
                RunHead(run: $0.run, created: $0.outline.summary.created, fits: true)
            })
    }

    /// A run that was claimed and has no event is none yet.
    private static func row(_ run: RunID, _ entry: Entry) throws -> RunRow? {
        guard !entry.events.isEmpty else { return nil }
        var fold = OutlineFold(keepsValues: false)
        if let epoch = entry.deletedEpoch {
            fold = OutlineFold(deletedAt: epoch, keepsValues: false)
        }
        for stored in entry.events {
            do {
                if let event = try stored.event() {
                    try fold.apply(event, at: stored.place)
                } else {
                    try fold.skip(at: stored.place)
                }
            } catch let error as RunReadError {
                return RunRow(
                    run: run, outline: fold.outline, holder: entry.holder, readError: error)
            }
        }
        return RunRow(run: run, outline: fold.outline, holder: entry.holder)
    }

    /// See `RunSource.events(_:)`.
    public func events(_ parts: [RunPart]) throws -> any RunEventCursor {
        let events = contents.withLock { contents in
            parts.flatMap { part in
                let events = contents.runs[part.run]?.events ?? []
                let range = part.positions.clamped(to: 0..<UInt64(events.count))
                return events[Int(range.lowerBound)..<Int(range.upperBound)]
            }
        }
        return MemoryCursor(events)
    }

    /// See `RunSource.tail(of:last:)`.
    public func tail(of run: RunID?, last count: Int?) throws -> any RunEventTail {
        let found = contents.withLock { contents in
            contents.order.indices.filter { index in
                let event = contents.order[index]
                let isThere = contents.runs[event.run]?.has(event) ?? false
                return isThere && (run == nil || event.run == run)
            }
        }
        if let run, count != nil, found.isEmpty { throw RunReadError.unknownRun(run) }
        let first = count.flatMap { found.suffix(max(0, $0)).first ?? found.last.map { $0 + 1 } }
        return MemoryTail(
            store: self, run: run, index: first ?? 0,
            end: count == nil ? nil : found.last.map { $0 + 1 } ?? 0)
    }

    /// The event of a number, counted from 0 on.
    fileprivate func event(at index: Int) -> StoredEvent? {
        contents.withLock { $0.order.indices.contains(index) ? $0.order[index] : nil }
    }

    /// Whether an event is of a run that is there now.
    fileprivate func has(_ event: StoredEvent) -> Bool {
        contents.withLock { $0.runs[event.run]?.has(event) ?? false }
    }
}

private struct MemoryCursor<Element> {
    private var elements: ArraySlice<Element>

    init(_ elements: [Element]) { self.elements = elements[...] }

    mutating func next() throws -> Element? { elements.popFirst() }
}

extension MemoryCursor: RunHeadCursor where Element == RunHead {}
extension MemoryCursor: RunEventCursor where Element == StoredEvent {}

private struct MemoryTail: RunEventTail {
    let store: MemoryRunStore
    let run: RunID?
    var index: Int
    /// Where the last events end that were asked for.
    var end: Int?

    mutating func next() throws -> [(sequence: UInt64, event: StoredEvent)]? {
        if let end, index >= end {
            self.end = nil
            return nil
        }
        guard let event = store.event(at: index) else { return nil }
        index += 1
        let isWanted = run == nil || event.run == run
        return isWanted && store.has(event) ? [(UInt64(index), event)] : []
    }
}
