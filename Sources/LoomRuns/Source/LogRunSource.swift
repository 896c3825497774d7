public import LoomFormat
public import LoomLog
internal import LoomModel
public import LoomStorage
public import SystemPackage

/// Runs read from a log, also while it is written: needs no program and no lock.
///
/// In this version every row is made by a pass over the log, so that its time grows with the log.
/// Who holds a run is told by the log's lock: the process that has the log has its runs.
public final class LogRunSource: RunSource {
    /// The log.
    public let log: LogReader
    private let segments = RunSegments()

    /// Looks at a log; changes nothing in it.
    public convenience init(
        path: FilePath, storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        self.init(try LogReader(path: path, storage: storage))
    }

    /// Reads the runs of a log that is being read already.
    public init(_ log: LogReader) { self.log = log }

    /// See ``RunSource/row(of:)``.
    public func row(of run: RunID) throws -> RunRow? {
        var pass = try LogRowPass(log, run: run, prefix: "")
        let writer = try pass.readAskingTheLock()
        segments.keep(pass.runs[run]?.start, of: run)
        guard let seen = pass.runs[run] else { return nil }
        if let error = seen.readError { throw error }
        return seen.fold.isBegun ? seen.row(run, writer) : nil
    }

    /// See ``RunSource/rows(prefix:)``. Keeps the rows of all these runs in memory, without states.
    public func rows(prefix: String) throws -> any RunRowCursor {
        var pass = try LogRowPass(log, run: nil, prefix: prefix)
        let writer = try pass.readAskingTheLock()
        segments.keep(pass.runs.compactMapValues(\.start))
        return LogRows(pass.runs, writer)
    }

    /// See ``RunSource/events(_:)``.
    public func events(_ parts: [RunPart]) throws -> any RunEventCursor {
        try LogPartEvents(log, parts, from: segments.start(of: parts))
    }

    /// See ``RunSource/tail(of:last:)``. The last events are counted first, by a pass over the log.
    public func tail(of run: RunID?, last count: Int?) throws -> any RunEventTail {
        try LogTail(log, run, last: count)
    }
}

/// A pass over the log that folds a run, or all whose names begin alike, into their rows.
private struct LogRowPass {
    private let log: LogReader
    private let prefix: String
    private var events: LogEvents
    private(set) var runs: [RunID: Seen] = [:]

    struct Seen {
        var fold = ReadFold(keepsValues: false)
        var start: RunSegments.Start?
        var readError: RunReadError?

        mutating func see(_ event: LogEvent) {
            guard readError == nil else { return }
            do throws(RunReadError) {
                try fold.see(StoredEvent(event))
                if start == nil { start = RunSegments.Start(event) }
                start?.see(event, wholeStateAt: fold.state.wholeState)
            } catch {
                readError = error
            }
        }

        func row(_ run: RunID, _ writer: String?) -> RunRow {
            let outline = fold.outline
            // Of a process that the log's lock names, the words are in the holder's.
            let isHeld =
                outline.summary.status == .running
                && writer.map { outline.summary.holder.contains($0) } ?? false
            return RunRow(
                run: run, outline: outline, holder: isHeld ? outline.summary.holder : nil,
                readError: readError)
        }
    }

    init(_ log: LogReader, run: RunID?, prefix: String) throws(LogError) {
        (self.log, self.prefix) = (log, prefix)
        events = try LogEvents(log, run: run)
    }

    /// Goes on to the end of the log.
    private mutating func readOn() throws(LogError) {
        while let event = try events.next() {
            guard prefix.isEmpty || event.run.rawValue.hasBytePrefix(prefix) else { continue }
            runs[event.run, default: Seen()].see(event)
        }
    }

    /// Goes on to the end of the log, and finds out who has it.
    ///
    /// A process may end a run and then let the log go, between a look at the log and one at the
    /// lock. So the log is looked at again: whoever was gone before that look has written all that
    /// it ever will.
    mutating func readAskingTheLock() throws(LogError) -> String? {
        try readOn()
        while true {
            let writer = try log.writer()
            let suspects = abandoned(writer)
            if suspects.isEmpty { return writer }
            try readOn()
            // Those that another process took meanwhile: it may be gone by now, too.
            let remaining = abandoned(writer)
            if remaining.allSatisfy({ suspects[$0.key] == $0.value }) { return writer }
        }
    }

    /// The runs that say `running` and whose holder does not have the log, with their epochs.
    private func abandoned(_ writer: String?) -> [RunID: UInt64] {
        var found: [RunID: UInt64] = [:]
        for (run, seen) in runs where seen.fold.isBegun {
            let summary = seen.fold.summary
            guard summary.status == .running else { continue }
            if writer.map({ summary.holder.contains($0) }) != true { found[run] = summary.epoch }
        }
        return found
    }
}

/// The rows of a pass, in order of name.
private struct LogRows: RunRowCursor {
    private let writer: String?
    private var runs: [(RunID, LogRowPass.Seen)]

    init(_ runs: [RunID: LogRowPass.Seen], _ writer: String?) {
        self.writer = writer
        // The last one first: it goes when it was fetched.
        self.runs = runs.filter { $1.readError != nil || $1.fold.isBegun }.sorted { $0.0 > $1.0 }
            .map { ($0.key, $0.value) }
    }

    mutating func next() throws -> RunRow? {
        guard let (run, seen) = runs.popLast() else { return nil }
        return seen.row(run, writer)
    }
}
