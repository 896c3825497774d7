public import LoomFormat
public import LoomLog
public import LoomModel
public import LoomRuns
public import LoomStorage
internal import Synchronization
public import SystemPackage

/// Runs in a log: the first implementation of ``RunStore``.
///
/// The log's lock keeps other processes out, so that within the process a table of claims is the
/// whole fence. The table is read from the log at the first claim: that costs a scan, until
/// archives index it.
///
/// Of each run that keeps a shared key the table has the places of its units, 16 bytes for each, so
/// that a call with such a key reads these alone. The index of archives takes their place.
///
/// ```swift
/// let store = try LogRunStore(path: "runs.loom")
/// let runner = Runner(Counter(), store: store)
/// …
/// try store.close()
/// ```
public final class LogRunStore: RunStore {
    /// The log's writer.
    public let log: LogWriter
    /// Reads the same log, also after it was closed, whatever its path leads to by then.
    public let reader: LogReader
    private let source: LogRunSource
    private let table = Mutex(Table())

    private struct Entry {
        var epoch: UInt64
        var position: UInt64
        var holder: String?
        /// Whether the run keeps a shared key: then the table has its units.
        let isKeeper: Bool

        init(_ run: RunID) {
            (epoch, position) = (0, 0)
            isKeeper = run.isKeeper
        }

        /// Takes an event in that is in the log; returns whether its run keeps a shared key.
        mutating func see(_ event: LogEvent) -> Bool {
            (epoch, position) = (event.epoch, event.position &+ 1)
            return isKeeper
        }
    }

    private struct Table {
        var isLoaded = false
        var runs: [RunID: Entry] = [:]
        /// Where the units of the runs begin that keep shared keys, in order.
        var units: [RunID: [LogPlace]] = [:]

        /// Takes an event in that is in the log.
        mutating func see(_ event: LogEvent) {
            let run = event.run
            guard runs[run, default: Entry(run)].see(event) else { return }
            let place = LogPlace(segmentID: event.segmentID, offset: event.offset)
            if units[run]?.last != place { units[run, default: []].append(place) }
        }
    }

    /// Opens a log for writing; creates it when there is none.
    ///
    /// - Throws: `LogError` with code `locked` when another process has it, and others.
    public init(
        path: FilePath, options: LogOptions = LogOptions(),
        storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        log = try LogWriter(path: path, options: options, storage: storage)
        reader = try log.reader()
        source = LogRunSource(reader)
    }

    /// Closes the log in good order: everything in it is durable when this returns.
    public func close() throws(LogError) { try log.close() }

    /// The process that has the log open, in the words of its lock.
    public var writer: String { log.holder }

    /// See ``RunStore/claim(_:holder:)``.
    public func claim(_ run: RunID, holder: String) async throws(RunStoreError) -> RunClaim {
        try table.withLock { table throws(RunStoreError) in
            if !table.isLoaded { try load(&table) }
            var entry = table.runs[run] ?? Entry(run)
            if let other = entry.holder { throw .held(run: run, by: other) }
            entry.epoch &+= 1
            entry.holder = holder
            table.runs[run] = entry
            return RunClaim(epoch: entry.epoch, position: entry.position)
        }
    }

    private func load(_ table: inout Table) throws(RunStoreError) {
        var loaded = Table()
        do {
            try reader.scan { loaded.see($0) }
        } catch let error as LogError {
            throw RunStoreError(error)
        } catch {
            throw .unavailable(ErrorText.words(error))
        }
        table = loaded
        table.isLoaded = true
    }

    /// See ``RunStore/append(_:outline:)``. The outline is not asked for: a log is folded when it
    /// is read.
    public func append(
        _ unit: RecordUnit, outline: () -> RunOutline
    ) throws(RunStoreError) -> Appending {
        let answer: Result<Appended, LogError>? = table.withLock { table in
            // In place: one look into the table, as this is the path of every step.
            guard let index = table.runs.index(forKey: unit.run) else { return nil }
            let entry = table.runs.values[index]
            guard entry.epoch == unit.epoch, entry.position == unit.position, entry.holder != nil
            else { return nil }
            do throws(LogError) {
                let appended = try log.append(unit)
                table.runs.values[index].position += UInt64(unit.eventCount)
                if entry.isKeeper { table.units[unit.run, default: []].append(appended.place) }
                return .success(appended)
            } catch {
                return .failure(error)
            }
        }
        switch answer {
        case nil: return .answered(.fenced)
        case .failure(let error):
            // A failed store may have left the unit behind; every other refusal left nothing.
            if error.code == .poisoned { return .answered(.unknown(error.description)) }
            throw .unavailable(error.description)
        case .success(let appended):
            guard appended.needsSync else { return .answered(.ok) }
            let position = appended.position
            return .pending { await self.durable(position) }
        }
    }

    private func durable(_ position: LogPosition) async -> AppendAnswer {
        await withCheckedContinuation { continuation in
            log.whenDurable(position) { error in
                continuation.resume(returning: error.map { .unknown($0.description) } ?? .ok)
            }
        }
    }

    /// The events of a run that keeps a shared key, by the places of its units; `nil` when only a
    /// scan can tell.
    private func keptEvents(of run: RunID) -> [StoredEvent]? {
        let known = table.withLock { table -> (units: [LogPlace], end: UInt64)? in
            // Also of a run that was claimed and has no event yet.
            guard let entry = table.runs[run], entry.isKeeper else { return nil }
            return (table.units[run] ?? [], entry.position)
        }
        guard let known, let events = try? reader.events(of: run, at: known.units) else {
            return nil
        }
        // All of them, and nothing else; more may have come since.
        let isWhole = events.enumerated().allSatisfy { UInt64($0) == $1.position }
        guard isWhole, UInt64(events.count) == known.end else { return nil }
        return events.map { StoredEvent($0) }
    }

    /// See ``RunStore/release(_:epoch:)``.
    public func release(_ run: RunID, epoch: UInt64) async {
        table.withLock { table in
            guard table.runs[run]?.epoch == epoch else { return }
            // Also a run that was claimed and never begun stays in the table: its epoch must not be
            // given again, or an older holder would pass the fence (found by the conformance
            // suite).
            table.runs[run]?.holder = nil
        }
    }
}

// Reading: as from any log, but that this process knows itself which runs it holds, and where the
// units of keepers are.
extension LogRunStore {
    /// See `RunSource.row(of:)`.
    public func row(of run: RunID) throws -> RunRow? {
        try source.row(of: run, holder: holder(of:))
    }

    /// See `RunSource.rows(prefix:)`.
    public func rows(prefix: String) throws -> any RunRowCursor {
        try source.rows(prefix: prefix, holder: holder(of:))
    }

    /// See `RunSource.events(_:)`.
    public func events(_ parts: [RunPart]) throws -> any RunEventCursor {
        if parts.count == 1, let part = parts.first, let kept = keptEvents(of: part.run) {
            return KeptEvents(
                kept.filter { part.positions.contains($0.place.position) }[...])
        }
        return try source.events(parts)
    }

    /// See `RunSource.tail(of:last:)`.
    public func tail(of run: RunID?, last count: Int?) throws -> any RunEventTail {
        try source.tail(of: run, last: count)
    }

    private func holder(of run: RunID) -> String? { table.withLock { $0.runs[run]?.holder } }
}

private struct KeptEvents: RunEventCursor {
    private var events: ArraySlice<StoredEvent>

    init(_ events: ArraySlice<StoredEvent>) { self.events = events }

    mutating func next() throws -> StoredEvent? { events.popFirst() }
}

extension RunStoreError {
    /// What a log refused, as its store says it.
    init(_ error: LogError) {
        self =
            switch error.code {
            case .corrupt: .corrupt(error.description)
            case .unsupportedVersion: .unsupported(error.description)
            default: .unavailable(error.description)
            }
    }
}
