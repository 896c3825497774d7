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
    public func row(of run: RunID) throws -> RunRow? { try row(of: run, holder: nil) }

    /// The same for the process that has the log, and knows who holds a run at the moment.
    package func row(of run: RunID, holder: ((RunID) -> String?)?) throws -> RunRow? {
        var pass = try LogRowPass(log, run: run, prefix: "", holder)
        try pass.readAskingForHolders()
        segments.keep(pass.runs[run]?.start, of: run)
        guard let seen = pass.runs[run] else { return nil }
        if let error = seen.readError { throw error }
        return seen.fold.isBegun ? seen.row(run) : nil
    }

    /// See ``RunSource/rows(prefix:)``. Keeps the rows of all these runs in memory, without states.
    public func rows(prefix: String) throws -> any RunRowCursor {
        try rows(prefix: prefix, holder: nil)
    }

    /// The same for the process that has the log, and knows who holds a run at the moment.
    package func rows(
        prefix: String, holder: ((RunID) -> String?)?
    ) throws -> any RunRowCursor {
        var pass = try LogRowPass(log, run: nil, prefix: prefix, holder)
        try pass.readAskingForHolders()
        segments.keep(pass.runs.compactMapValues(\.start))
        return LogRows(pass.runs)
    }

    /// See ``RunSource/events(_:)``.
    public func events(_ parts: [RunPart]) throws -> any RunEventCursor {
        try LogPartEvents(log, parts, segments)
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
    /// Who holds a run; without it the log's lock tells.
    private let holder: ((RunID) -> String?)?
    private var events: LogEvents
    private(set) var runs: [RunID: Seen] = [:]

    struct Seen {
        var fold = ReadFold(keepsValues: false)
        var start: RunSegments.Start?
        var readError: RunReadError?
        /// Who had the run when it was asked last.
        var holder: String?

        mutating func see(_ event: LogEvent) {
            guard readError == nil else { return }
            do throws(RunReadError) {
                try fold.see(StoredEvent(event))
                if start == nil { start = RunSegments.Start(event) }
                start?.see(
                    event, end: fold.nextPosition, wholeStateAt: fold.state.wholeState)
            } catch {
                readError = error
            }
        }

        func row(_ run: RunID) -> RunRow {
            RunRow(run: run, outline: fold.outline, holder: holder, readError: readError)
        }
    }

    init(
        _ log: LogReader, run: RunID?, prefix: String, _ holder: ((RunID) -> String?)?
    ) throws(LogError) {
        (self.log, self.prefix, self.holder) = (log, prefix, holder)
        events = try LogEvents(log, run: run)
    }

    /// Goes on to the end of the log.
    private mutating func readOn() throws(LogError) {
        while let event = try events.next() {
            guard prefix.isEmpty || event.run.rawValue.hasBytePrefix(prefix) else { continue }
            runs[event.run, default: Seen()].see(event)
        }
    }

    /// Goes on to the end of the log, and finds out who holds each run.
    ///
    /// A holder may end a run and then let it go, between a look at the log and one at the holders.
    /// So the log is looked at again: whoever was gone before that look has written all that it
    /// ever will.
    mutating func readAskingForHolders() throws(LogError) {
        try readOn()
        var suspects = try askForHolders()
        while !suspects.isEmpty {
            try readOn()
            // Those that another holder took meanwhile: it may be gone by now, too.
            let remaining = try askForHolders()
            if remaining.allSatisfy({ suspects[$0.key] == $0.value }) { return }
            suspects = remaining
        }
    }

    /// Asks who holds each run. Returns those that say `running` and that nobody has, with their
    /// epochs.
    private mutating func askForHolders() throws(LogError) -> [RunID: UInt64] {
        let writer = holder == nil ? try log.writer() : nil
        var found: [RunID: UInt64] = [:]
        for run in Array(runs.keys) {
            guard let seen = runs[run], seen.fold.isBegun else { continue }
            let summary = seen.fold.summary
            let isRunning = summary.status == .running
            let now: String? =
                if let holder {
                    holder(run)
                } else if isRunning, let writer, summary.holder.contains(writer) {
                    // Of a process that the log's lock names, the words are in the holder's.
                    summary.holder
                } else { nil }
            runs[run]?.holder = now
            if isRunning, now == nil { found[run] = summary.epoch }
        }
        return found
    }
}

/// The rows of a pass, in order of name.
private struct LogRows: RunRowCursor {
    private var runs: [(RunID, LogRowPass.Seen)]

    init(_ runs: [RunID: LogRowPass.Seen]) {
        // The last one first: it goes when it was fetched.
        self.runs = runs.filter { $1.readError != nil || $1.fold.isBegun }.sorted { $0.0 > $1.0 }
            .map { ($0.key, $0.value) }
    }

    mutating func next() throws -> RunRow? {
        guard let (run, seen) = runs.popLast() else { return nil }
        return seen.row(run)
    }
}
