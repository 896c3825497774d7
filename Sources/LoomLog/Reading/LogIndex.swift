internal import LoomFormat
internal import LoomStorage

/// Finds what a log holds of a run without reading the rest: in archives by their tables, in the
/// live segments by an index in memory, which reads on when it is asked.
///
/// Opening it reads the live segments once, at most a few of 32 MiB; from there on a look costs
/// what was appended since the look before, and a microsecond where nothing was.
package final class LogIndex: Sendable {
    let log: LogReader
    private let leaves = LeafCache()
    /// Makes tables anew that cannot be read.
    private let semantics: (any ArchiveSemantics)?
    private let state = Monitor<State?>(nil)

    /// Of one thread at a time: a class, so that a look copies nothing.
    private final class State {
        var snapshot: LogSnapshot
        var live = LiveRuns()
        var cursor: LogCursor
        var probe: MarkProbe?
        /// Archives whose tables could not be read.
        var damaged: Set<UInt64> = []
        /// Those of which the events are damaged, too.
        var unmendable: Set<UInt64> = []

        /// Whether an archive waits for tables.
        var isDamaged: Bool {
            snapshot.archives.archives.contains {
                !$0.isMended && damaged.contains($0.entry.segmentID)
            }
        }

        /// The sequence behind all events; the live segments may hold none.
        var end: UInt64 { max(live.nextSequence, snapshot.firstLiveSequence) }

        init(_ snapshot: LogSnapshot, _ cursor: LogCursor, _ probe: MarkProbe?) {
            (self.snapshot, self.cursor, self.probe) = (snapshot, cursor, probe)
        }
    }

    /// Finds things in a log that is being read.
    ///
    /// - Parameter semantics: With it, damaged tables of archives cost time and no answer.
    package init(_ log: LogReader, mending semantics: (any ArchiveSemantics)? = nil) {
        (self.log, self.semantics) = (log, semantics)
    }

    /// Looks at the log again.
    ///
    /// - Returns: What it holds from its start to its present end.
    package func view() throws(LogError) -> LogView {
        try withState { state throws(LogError) in
            try refresh(state)
            return LogView(self, state.snapshot, end: state.end)
        }
    }

    /// Looks at the log again and calls `body` with what it holds; once more when that was
    /// rewritten meanwhile.
    package func withView<Result>(
        _ body: (LogView) throws(LogError) -> Result
    ) throws(LogError) -> Result {
        var triesLeft = 100
        while true {
            do throws(LogError) {
                return try body(try view())
            } catch {
                triesLeft -= 1
                guard error.code == .rewritten, triesLeft > 0 else { throw error }
            }
        }
    }

    /// Makes the next look a whole one: something that was seen is gone, and archiving publishes
    /// nothing in MARK.
    func distrust() { state.withLock { $0?.probe = nil } }

    /// Runs what reads tables of archives. Where they are damaged the next look makes them anew.
    ///
    /// - Throws: ``LogError`` with code `rewritten` in that case.
    func reading<Result>(
        _ body: () throws(LogError) -> Result
    ) throws(LogError) -> Result {
        do throws(LogError) {
            return try body()
        } catch {
            throw answer(to: error)
        }
    }

    /// The error as whoever reads is told: to look anew, where damage can be mended.
    func answer(to error: LogError) -> LogError {
        guard semantics != nil, let archive = error.tablesOf else { return error }
        let mayMend = state.withLock { state -> Bool in
            guard let known = state, !known.unmendable.contains(archive) else { return false }
            state?.damaged.insert(archive)
            state?.probe = nil
            return true
        }
        return mayMend
            ? LogError(.rewritten, "tables are made anew: \(error.message)", cause: error) : error
    }

    /// What was known when it was looked at last; looks where it never was.
    package func lastView() throws(LogError) -> LogView {
        try withState { state throws(LogError) in
            LogView(self, state.snapshot, end: state.end)
        }
    }

    private func withState<Result>(
        _ body: (State) throws(LogError) -> Result
    ) throws(LogError) -> Result {
        try state.withLock { state throws(LogError) in
            if let state { return try body(state) }
            let begun = try begin()
            state = begun
            return try body(begun)
        }
    }

    /// Opens everything and reads the live segments.
    private func begin() throws(LogError) -> State {
        let probe = MarkProbe(log)
        let snapshot = try LogSnapshot(
            of: log, after: nil, leaves: leaves, damaged: [], semantics)
        let state = State(snapshot, try log.cursor(from: snapshot.firstLiveSequence), probe)
        try readOn(state)
        return state
    }

    private func refresh(_ state: State) throws(LogError) {
        if state.probe?.isUnchanged() ?? false { return }
        // Before the look: what changes meanwhile is seen by the next one.
        var probe = state.probe
        state.probe = nil
        if probe?.renew() != true { probe = MarkProbe(log) }
        let manifests = ManifestStore(directory: log.directory, storage: log.storage)
        let newest = try manifests.newestGeneration()
        if state.isDamaged || newest > state.snapshot.generation { try adopt(state) }
        try readOn(state)
        state.probe = probe
    }

    /// Goes on with the newest manifest.
    private func adopt(_ state: State) throws(LogError) {
        state.snapshot = try LogSnapshot(
            of: log, after: state.snapshot, leaves: leaves, damaged: state.damaged, semantics)
        for archive in state.snapshot.archives.archives where !archive.isMended {
            if let id = state.damaged.remove(archive.entry.segmentID) {
                state.unmendable.insert(id)
            }
        }
        let live = Set(state.snapshot.live.map(\.segmentID))
        state.live.keep(only: live)
        if state.cursor.isInArchive || !live.contains(state.cursor.segmentID) {
            let next = max(state.snapshot.firstLiveSequence, state.live.nextSequence)
            state.cursor = try log.cursor(from: next)
        }
    }

    /// Reads what was appended. Where the cursor comes to an archive, what it was reading has been
    /// archived meanwhile.
    private func readOn(_ state: State) throws(LogError) {
        var triesLeft = 100
        while true {
            if state.cursor.isInArchive {
                triesLeft -= 1
                guard triesLeft > 0 else {
                    throw LogError(
                        .io, "the log changes faster than it can be read",
                        path: log.directory.root)
                }
                try adopt(state)
                continue
            }
            // Taken out, so that it is changed in place.
            var live = LiveRuns()
            swap(&live, &state.live)
            defer { swap(&live, &state.live) }
            guard try state.cursor.nextUnit({ live.see($0) }) else { return }
        }
    }
}

// What a view asks.
extension LogIndex {
    /// What the live segments hold of a run; `nil` when nothing.
    struct Live {
        let serial: Int
        let units: Range<Int>
        let epoch: UInt64
        let position: UInt64
        let isMixed: Bool
        let mayBeDeleted: Bool
        /// The sequence behind the last event of the log that was seen by then.
        let logEnd: UInt64
    }

    func live(_ run: RunID, _ snapshot: LogSnapshot) throws(LogError) -> Live? {
        try withState(of: snapshot) { state in
            state.live[run].map {
                Live(
                    serial: $0.serial, units: $0.first..<$0.end, epoch: $0.epoch,
                    position: $0.position, isMixed: $0.isMixed,
                    mayBeDeleted: $0.mayBeDeleted, logEnd: state.end)
            }
        }
    }

    /// The names of the runs of which the live segments hold something, that begin so, in order.
    func liveRuns(prefix: String, _ snapshot: LogSnapshot) throws(LogError) -> [RunID] {
        try withState(of: snapshot) { state in
            state.live.names.filter { $0.rawValue.hasBytePrefix(prefix) }.sorted()
        }
    }

    /// The number of the first unit of a run that may have an event at a position.
    func unit(
        at position: UInt64, of run: RunID, _ snapshot: LogSnapshot
    ) throws(LogError) -> Int? {
        try withState(of: snapshot) { $0.live[run]?.unit(at: position) }
    }

    /// What is live beside the archives of a snapshot.
    ///
    /// - Throws: ``LogError`` with code `rewritten` when the index has gone on to a newer one: what
    ///   was archived since is in neither.
    private func withState<Result>(
        of snapshot: LogSnapshot, _ body: (State) -> Result
    ) throws(LogError) -> Result {
        try withState { state throws(LogError) in
            guard state.snapshot === snapshot else {
                throw LogError(.rewritten, "the log was rewritten while it was read")
            }
            return body(state)
        }
    }

    /// The places of some units of a run from one on; `nil` when they are not live any more.
    func places(
        of run: RunID, _ serial: Int, from first: Int, before end: Int
    ) throws(LogError) -> [LogPlace]? {
        try withState { state in
            guard let live = state.live[run], live.serial == serial, first >= live.first
            else { return nil }
            let last = max(first, min(end, first + 1024, live.end))
            let range = (first - live.first)..<(last - live.first)
            return live.units[range].map {
                LogPlace(
                    segmentID: state.live.segments[Int($0.segment)], offset: Int($0.offset))
            }
        }
    }
}
