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
/// whole fence. A run that is not in the table is looked up where the log has it: the first claim
/// reads the live segments, later ones cost a look into the tables of archives. The table keeps
/// the runs that are held, and up to 65,536 others that were.
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
    /// The runs that were driven when the backup was made that the log was restored from, and that
    /// this opening has paused: what they did after that is not known.
    public let restoredRuns: [RunID]
    private let source: LogRunSource
    private let table = Mutex(Table())
    /// Where requests of other processes meet the runs that are driven here.
    public let requestDesk = RequestDesk()
    let requests: RequestServer
    /// What becomes of runs that are over, by itself.
    public let retention: RetentionRules?
    let retentionTimer = RetentionTimer()
    private let served: ServedStore
    private let requestThread = Mutex<RequestThread?>(nil)

    private struct Entry {
        var epoch: UInt64 = 0
        var position: UInt64 = 0
        var holder: String?
    }

    private struct Table {
        /// What the log held when it was looked at last. What this process has appended since is
        /// of runs in the table.
        var view: LogView?
        var runs: [RunID: Entry] = [:]
        var heldCount = 0
        /// No run that left the table had a higher epoch: what is claimed again gets one above it.
        var epochFloor: UInt64 = 0
    }

    private static let freeCountMax = 65_536

    /// Opens a log for writing; creates it when there is none.
    ///
    /// From here on the requests of other processes are served: those that were there already
    /// before the first run is claimed.
    ///
    /// - Parameters:
    ///   - handlers: What is done for others besides changing runs and `compact`.
    ///   - retention: What becomes of runs that are over: looked at when an archive was made, in
    ///     the background, once a minute at most.
    /// - Throws: `LogError` with code `locked` when another process has it, and others.
    public init(
        path: FilePath, options: LogOptions = LogOptions(),
        storage: any Storage = POSIXStorage(), handlers: RequestHandlers = RequestHandlers(),
        retention: RetentionRules? = nil
    ) throws(LogError) {
        let served = ServedStore()
        var options = options
        if options.archivesSegments, options.archiving == nil {
            options.archiving = ArchivingOptions(RunIndexer())
        }
        if retention != nil {
            options.archiving?.onArchive = { [weak served] in
                // Not on the archiver's thread: whoever lets go of the store last waits for that.
                Task { await served?.store?.applyRetention() }
            }
        }
        (self.retention, self.served) = (retention, served)
        log = try LogWriter(path: path, options: options, storage: storage)
        reader = try log.reader()
        source = LogRunSource(reader)
        restoredRuns = try Self.settleCopy(log, source)
        requests = RequestServer(
            log.inbox, handlers.withCompaction(of: served), storeID: reader.storeID,
            desk: requestDesk,
            isInline: options.driver == .inline)
        served.store = self
        if options.driver == .threads { startThread() }
    }

    deinit { endRequests() }

    /// Without a thread requests are served when the log is opened next.
    private func startThread() {
        let thread = Self.thread(serving: self)
        guard (try? thread.start()) != nil else { return }
        requestThread.withLock { $0 = thread }
        requestDesk.onLeave { thread.look() }
    }

    private func endRequests() {
        served.store = nil
        requests.close()
        requestDesk.onLeave(nil)
        let thread = requestThread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        thread?.stop()
    }

    /// Closes the log in good order: everything in it is durable when this returns.
    ///
    /// Requests of other processes that have not been carried out by then are served by whoever
    /// opens the log next.
    public func close() throws(LogError) {
        endRequests()
        try log.close()
    }

    /// See ``RunStore/desk``.
    public var desk: RequestDesk? { requestDesk }

    /// The process that has the log open, in the words of its lock.
    public var writer: String { log.holder }

    /// See ``RunStore/claim(_:holder:)``.
    public func claim(_ run: RunID, holder: String) async throws(RunStoreError) -> RunClaim {
        if !requests.hasOpened { await requests.serveOpening(requestAccess) }
        return try table.withLock { table throws(RunStoreError) in
            if let other = table.runs[run]?.holder { throw .held(run: run, by: other) }
            if table.runs.count - table.heldCount > Self.freeCountMax { try dropFree(&table) }
            var entry: Entry =
                if let known = table.runs[run] { known } else { try find(run, &table) }
            entry.epoch &+= 1
            entry.holder = holder
            table.runs[run] = entry
            table.heldCount += 1
            return RunClaim(epoch: entry.epoch, position: entry.position)
        }
    }

    /// How a run stands that is not in the table.
    private func find(_ run: RunID, _ table: inout Table) throws(RunStoreError) -> Entry {
        do {
            var end: (epoch: UInt64, position: UInt64)?
            var triesLeft = 100
            while true {
                let view: LogView =
                    if let view = table.view { view } else { try source.index.view() }
                table.view = view
                do {
                    end = try source.end(of: run, in: view)
                    break
                } catch let error as LogError where error.isRewritten && triesLeft > 0 {
                    // Archived meanwhile.
                    (table.view, triesLeft) = (nil, triesLeft - 1)
                }
            }
            return Entry(
                epoch: max(table.epochFloor, end?.epoch ?? 0), position: end?.position ?? 0)
        } catch let error as LogError {
            throw RunStoreError(error)
        } catch {
            throw .unavailable(ErrorText.words(error))
        }
    }

    /// The epoch up to which events of the name are of a deleted run; `nil` where none was deleted.
    func deletedEpoch(of run: RunID) throws -> UInt64? { try source.deletedEpoch(of: run) }

    /// Forgets the runs that nobody holds: a newer look at the log finds them.
    private func dropFree(_ table: inout Table) throws(RunStoreError) {
        do throws(LogError) {
            table.view = try source.index.view()
        } catch {
            throw RunStoreError(error)
        }
        for entry in table.runs.values where entry.holder == nil {
            table.epochFloor = max(table.epochFloor, entry.epoch)
        }
        table.runs = table.runs.filter { $0.value.holder != nil }
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
                if Self.isDeletion(unit) { table.runs.values[index].position = 0 }
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

    /// Whether the unit deletes its run: it has that one event.
    private static func isDeletion(_ unit: RecordUnit) -> Bool {
        unit.eventCount == 1 && unit.events.first.map { RunEvent.isDeletion($0.rawSpan) } ?? false
    }

    private func durable(_ position: LogPosition) async -> AppendAnswer {
        await withCheckedContinuation { continuation in
            log.whenDurable(position) { error in
                continuation.resume(returning: error.map { .unknown($0.description) } ?? .ok)
            }
        }
    }

    /// See ``RunStore/release(_:epoch:)``.
    public func release(_ run: RunID, epoch: UInt64) async {
        table.withLock { table in
            guard table.runs[run]?.epoch == epoch else { return }
            // Also a run that was claimed and never begun stays in the table: its epoch must not be
            // given again, or an older holder would pass the fence (found by the conformance
            // suite).
            if table.runs[run]?.holder != nil { table.heldCount -= 1 }
            table.runs[run]?.holder = nil
        }
    }
}

// Reading: as from any log, but that this process knows itself which runs it holds.
extension LogRunStore {
    /// See `RunSource.row(of:)`.
    public func row(of run: RunID) throws -> RunRow? {
        try source.row(of: run, holder: holder(of:))
    }

    /// See `RunSource.heads(_:)`.
    public func heads(_ filter: RunFilter) throws -> any RunHeadCursor { try source.heads(filter) }

    /// See `RunSource.events(_:)`.
    public func events(_ parts: [RunPart]) throws -> any RunEventCursor {
        try source.events(parts)
    }

    /// See `RunSource.place(ofRow:of:in:)`.
    public func place(ofRow number: UInt64, of kind: RowKind, in run: RunID) throws -> RowPlace {
        try source.place(ofRow: number, of: kind, in: run)
    }

    /// See `RunSource.calls(of:in:)`.
    public func calls(of key: ToolKey, in run: RunID) throws -> [KeyedCall] {
        try source.calls(of: key, in: run)
    }

    /// See `RunSource.tail(of:last:)`.
    public func tail(of run: RunID?, last count: Int?) throws -> any RunEventTail {
        try source.tail(of: run, last: count)
    }

    private func holder(of run: RunID) -> String? { table.withLock { $0.runs[run]?.holder } }
}

extension RunStoreError {
    /// What a log refused, as its store says it.
    init(_ error: LogError) {
        self =
            switch error.code {
            case .corrupt, .copiedWhileLive: .corrupt(error.description)
            case .unsupportedVersion: .unsupported(error.description)
            default: .unavailable(error.description)
            }
    }
}
