public import LoomFormat
public import LoomLog
public import LoomModel
public import LoomStorage
public import SystemPackage

/// Runs read from a log, also while it is written: needs no program and no lock.
///
/// The first read opens the archives and reads the live segments; from there on an answer costs
/// what it reads and what was appended since the one before, whatever the log holds. Who holds a
/// run is told by the log's lock: the process that has the log has its runs.
public final class LogRunSource: RunSource {
    /// The log.
    public let log: LogReader
    /// Where the log has what of a run.
    package let index: LogIndex
    private let folds = LiveFolds()

    /// Looks at a log; changes nothing in it.
    public convenience init(
        path: FilePath, storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        self.init(try LogReader(path: path, storage: storage))
    }

    /// Reads the runs of a log that is being read already.
    public init(_ log: LogReader) {
        self.log = log
        index = LogIndex(log, mending: RunIndexer())
    }

    /// See ``RunSource/row(of:)``.
    public func row(of run: RunID) throws -> RunRow? { try row(of: run, holder: nil) }

    /// The same for the process that has the log, and knows who holds a run at the moment.
    package func row(of run: RunID, holder: ((RunID) -> String?)?) throws -> RunRow? {
        while true {
            let (generation, found) = try looking { view throws in
                (view.generation, try folds.fold(run, in: view, self))
            }
            guard let seen = found, seen.isRun else { return nil }
            let row = RunRow(
                run: run, outline: seen.outline,
                holder: try self.holder(of: run, seen.outline.summary, holder),
                readError: seen.readError)
            guard row.isAbandoned else { return row }
            // A holder may end a run and then let it go, between a look at the log and one at the
            // holders. Whoever was gone before another look at the log has written all that it
            // ever will.
            let isSame = try looking { view throws in
                try view.live(run)?.mark == seen.mark && view.generation == generation
            }
            if isSame { return row }
        }
    }

    /// The epoch of the last event of a run and the position of its next one; `nil` when the log
    /// has nothing of it.
    package func end(
        of run: RunID, in view: LogView
    ) throws -> (epoch: UInt64, position: UInt64)? {
        let live = try view.live(run)
        guard let seen = try folds.fold(run, in: view, self) else { return nil }
        let epoch = max(seen.outline.summary.epoch, live?.epoch ?? 0)
        guard seen.readError == nil else {
            // Of what cannot be read at least the place is known.
            let archived = try view.archived(run)?.endPosition
            return (epoch, live?.position ?? archived ?? seen.outline.summary.nextPosition)
        }
        return (epoch, seen.outline.summary.nextPosition)
    }

    /// What is known of a run, also of one that was deleted; `nil` when the log has nothing of it.
    package func outline(of run: RunID) throws -> RunOutline? {
        try looking { try folds.fold(run, in: $0, self) }?.outline
    }

    /// Asks a view of the log; a newer one where the log was rewritten meanwhile.
    func looking<Result>(_ body: (LogView) throws -> Result) throws -> Result {
        var triesLeft = 100
        while true {
            do {
                return try body(index.view())
            } catch let error as LogError where error.isRewritten && triesLeft > 0 {
                triesLeft -= 1
            }
        }
    }

    private func holder(
        of run: RunID, _ summary: RunSummary, _ holder: ((RunID) -> String?)?
    ) throws(LogError) -> String? {
        if let holder { return holder(run) }
        // Of a process that the log's lock names, the words are in the holder's.
        guard summary.status == .running, let writer = try log.writer(),
            summary.holder.contains(writer)
        else { return nil }
        return summary.holder
    }

    /// See ``RunSource/heads(_:)``. Decodes of the runs in archives the columns that filters ask
    /// for, and folds those of which the live segments hold something.
    public func heads(_ filter: RunFilter) throws -> any RunHeadCursor {
        try looking { view in
            try LogRunHeads(
                view, filter, look: { try self.index.view() },
                fold: { run, view, units in try self.folds.fold(run, in: view, self, units) })
        }
    }

    /// See ``RunSource/events(_:)``. Those of one run after the other.
    public func events(_ parts: [RunPart]) throws -> any RunEventCursor {
        LogPartEvents(parts) { part in
            try self.looking { view in
                let epoch = try self.deletedEpoch(inLiveOf: part.run, view)
                return try view.events(of: part.run, at: part.positions, above: epoch)
            }
        }
    }

    /// The epoch up to which events of the name are of a run that the live segments delete. An
    /// archive in which the run begins says itself that older ones are of no moment.
    private func deletedEpoch(inLiveOf run: RunID, _ view: LogView) throws -> UInt64? {
        guard let live = try view.live(run), live.mayBeDeleted else { return nil }
        return try folds.fold(run, in: view, self)?.fold.summary.deletedEpoch
    }

    /// The epoch up to which events of the name are of a deleted run; `nil` where none was deleted.
    package func deletedEpoch(of run: RunID) throws -> UInt64? {
        try looking { view in
            if let epoch = try deletedEpoch(inLiveOf: run, view) { return epoch }
            return try view.archived(run)?.deletedEpoch
        }
    }

    /// What archives know of a run; `nil` where the live segments delete it.
    private func archived(_ run: RunID, _ view: LogView) throws -> RunTableRow? {
        guard let row = try view.archived(run), !row.flags.contains(.deleted) else { return nil }
        guard let epoch = try deletedEpoch(inLiveOf: run, view) else { return row }
        return row.outline?.summary.deletedEpoch == epoch ? row : nil
    }

    /// See ``RunSource/place(ofRow:of:in:)``. Found in the tables of archives, and in the live
    /// segments by the marks that the fold of the run has left.
    public func place(ofRow number: UInt64, of kind: RowKind, in run: RunID) throws -> RowPlace {
        try looking { try place(ofRow: number, of: kind, in: run, $0) }
    }

    private func place(
        ofRow number: UInt64, of kind: RowKind, in run: RunID, _ view: LogView
    ) throws -> RowPlace {
        let archived = try archived(run, view)
        if let place = try livePlace(ofRow: number, of: kind, in: run, view, archived) {
            return place
        }
        guard let archived else { return .start }
        if let end = archived.outline, kind.count(in: end.rowCounts) <= number {
            return RowPlace(
                position: end.summary.nextPosition, counts: RowKind.counts(end.rowCounts),
                wholeState: end.state.wholeState)
        }
        guard let found = try view.place(in: run, { kind.count(in: $0) <= number }) else {
            return .start
        }
        let wholeState =
            found.wholeState
            ?? found.earlier.flatMap { $0.outline?.state.wholeState } ?? 0
        return RowPlace(
            position: found.position, counts: RowKind.counts(found.counts), wholeState: wholeState)
    }

    /// A place behind what is archived of a run; `nil` where there is none before the row.
    private func livePlace(
        ofRow number: UInt64, of kind: RowKind, in run: RunID, _ view: LogView,
        _ archived: RunTableRow?
    ) throws -> RowPlace? {
        guard try view.live(run) != nil,
            let place = try folds.fold(run, in: view, self)?.marks.place(ofRow: number, of: kind)
        else { return nil }
        guard let archived else { return place }
        // Of what was archived since the mark was left, only archives know what became of it.
        guard place.position > archived.endPosition else { return nil }
        if place.wholeState >= archived.endPosition { return place }
        return archived.outline.map {
            RowPlace(
                position: place.position, counts: place.counts, wholeState: $0.state.wholeState)
        }
    }

    /// See ``RunSource/calls(of:in:)``. Found in the key tables of archives, then compared; in the
    /// live segments by reading the run's events there.
    public func calls(of key: ToolKey, in run: RunID) throws -> [KeyedCall] {
        try looking { try calls(of: key, in: run, $0) }
    }

    private func calls(of key: ToolKey, in run: RunID, _ view: LogView) throws -> [KeyedCall] {
        guard key.fingerprint != nil, let archived = try archived(run, view) else {
            return try calls(of: key, in: RunPart(run))
        }
        // A person may have said anew, in the live segments, how an archived call ended.
        let (calls, ends) = try callsAndEnds(
            of: key, in: RunPart(run, from: archived.endPosition))
        return try calls + archivedCalls(of: key, in: run, view, ends: ends)
    }

    /// The calls that archives have, newest first.
    ///
    /// - Parameter ends: Ends behind the archives, by the position of the call's start.
    private func archivedCalls(
        of key: ToolKey, in run: RunID, _ view: LogView, ends: [UInt64: UInt64] = [:]
    ) throws -> [KeyedCall] {
        guard let fingerprint = key.fingerprint else { return [] }
        var calls: [KeyedCall] = []
        for call in try view.calls(of: fingerprint, in: run) {
            // Two keys may have one fingerprint.
            var events = try view.events(of: run, at: call.start..<call.start + 1)
            guard let event = try events.next(),
                case .toolStarted(let start)? = try StoredEvent(event).event()?.content,
                start.key == key
            else { continue }
            calls.append(KeyedCall(start: call.start, end: ends[call.start] ?? call.end))
        }
        return calls
    }

    /// What archives hold of a run, for a fold that goes on from there: it waits for no other fold.
    func archivedPast(of run: RunID, before cut: UInt64) -> SourcePast {
        SourcePast(
            run, before: cut,
            events: { part in
                LogPartEvents([part]) { part in
                    try self.looking { try $0.events(of: part.run, at: part.positions) }
                }
            },
            calls: { key in try self.looking { try self.archivedCalls(of: key, in: run, $0) } })
    }

    /// See ``RunSource/tail(of:last:)``.
    public func tail(of run: RunID?, last count: Int?) throws -> any RunEventTail {
        try LogTail(self, run, last: count)
    }
}

extension RowKind {
    /// The count of this kind.
    func count(in counts: RowCountVector) -> UInt64 {
        switch self {
        case .steps: counts.steps
        case .attempts: counts.attempts
        case .remarkableAttempts: counts.remarkableAttempts
        case .toolCalls: counts.toolCalls
        }
    }

    /// All counts by kind.
    static func counts(_ counts: RowCountVector) -> [RowKind: UInt64] {
        Dictionary(uniqueKeysWithValues: allCases.map { ($0, $0.count(in: counts)) })
    }
}
