internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// Folds one run's part of an archive onto what older archives know of the run. Leaves out what is
/// of a run of its name that was deleted, and the bytes that its policies hide.
struct RunSlice: ArchiveSlice {
    private let run: RunID
    /// What the fold looks up, where it goes on from an outline.
    private var past: ArchivedEvents?
    private var fold: ReadFold
    private var flags: RunTableFlags = []
    private var calls: [UInt64: ArchivedRun.Call] = [:]
    private var countsBefore = RowCountVector()
    /// Whether an event was met that cannot be read: every read ends there.
    private var isOver = false

    /// The last epoch of runs of its name that were deleted, by what is known by now.
    let deletedEpoch: UInt64?
    /// What leaves bytes out; `nil` where all stay.
    private var blanking: SliceBlanking?
    /// Whether bytes are left out: asked at every event, where a look at the above would copy it.
    private let leavesOut: Bool
    /// Whether it is known what the part's events say in the end.
    private let knowsEnd: Bool
    /// Whether an event was left out that deletes the run, and whether any was not.
    private var leftDeletionOut = false
    private var gaveSome = false

    /// - Parameters:
    ///   - past: What older archives hold of the run. Without an outline from which a fold can go
    ///     on, its events are folded first.
    ///   - newest: What newer archives know of the run, where they have something.
    ///   - own: What is known behind the part's last event, where bytes may be left out.
    init(
        _ run: RunID, after past: (any ArchivedPast)?, newest: RunOutline?, own: RunOutline?
    ) throws(LogError) {
        (self.run, deletedEpoch, knowsEnd) = (run, newest?.summary.deletedEpoch, own != nil)
        if let own { blanking = SliceBlanking(newest: newest ?? own, part: own) }
        leavesOut = blanking != nil
        fold = past?.outline.map { ReadFold(resuming: $0) } ?? ReadFold(keepsValues: false)
        if let past, past.outline == nil {
            // Also those at positions that no runner gives.
            try past.events(0..<UInt64.max) { (epoch, position, body) throws(LogError) in
                _ = try see(RunFold.Place(position: position, epoch: epoch), body)
                return true
            }
            calls = [:]
        } else {
            self.past = past.map { ArchivedEvents($0) }
        }
        if let deleted = deletedEpoch, fold.summary.deletedEpoch ?? 0 < deleted {
            // The events that it is folded from are no events of the present run.
            fold = ReadFold(resuming: OutlineFold(deletedAt: deleted).outline)
            flags.insert(.begunAnew)
        }
        countsBefore = fold.rowCounts
    }

    mutating func pass(
        epoch: UInt64, position: UInt64, _ head: EventHead, _ body: RawSpan
    ) -> Bool? {
        if isOver || leavesOut { return nil }
        if let deletedEpoch, epoch <= deletedEpoch { return nil }
        let place = RunFold.Place(position: position, epoch: epoch)
        guard let ordinary = fold.seeOrdinary(head, body, at: place) else { return nil }
        gaveSome = true
        // Not by `==`, which would be called through its protocol.
        return if case .wholeState = ordinary { true } else { false }
    }

    var counts: RowCountVector { fold.rowCounts }

    mutating func take(
        epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
    ) throws(LogError) {
        let place = RunFold.Place(position: position, epoch: epoch)
        if let deletedEpoch, epoch <= deletedEpoch {
            leftDeletionOut = leftDeletionOut || RunEvent.isDeletion(body)
            return
        }
        if let head = EventHead(body),
            let isWholeState = pass(epoch: epoch, position: position, head, body)
        {
            return try give(
                epoch, position, sequence, body,
                ArchiveProgress(counts: fold.rowCounts, isWholeState: isWholeState))
        }
        gaveSome = true
        let accepted = try see(place, body)
        let isWholeState =
            accepted != nil && fold.isBegun
            && (fold.state.wholeState == position || RunEvent.isWholeCommit(body))
        let progress = ArchiveProgress(counts: fold.rowCounts, isWholeState: isWholeState)
        guard leavesOut else { return try give(epoch, position, sequence, body, progress) }
        try blanking?.take(
            SliceBlanking.Stored(
                epoch: epoch, position: position, sequence: sequence,
                body: [UInt8](copying: body), progress: progress),
            accepted, give: give)
    }

    /// Folds an event; returns it if it was accepted.
    private mutating func see(
        _ place: RunFold.Place, _ body: RawSpan
    ) throws(LogError) -> RunEvent? {
        // Nothing more is known of the run.
        if isOver { return nil }
        let stored = StoredEvent(run: run, place: place, body: [UInt8](copying: body))
        guard let event = read(stored) else {
            if !isOver { fold.skip(at: place) }
            return nil
        }
        if let past { try fold.prepare(for: event, from: past) }
        do throws(RunReadError) {
            guard try fold.take(event, stored) else { return nil }
        } catch {
            end()
            return nil
        }
        note(event, at: place.position)
        return event
    }

    /// Reads an event; `nil` for one of a kind that this version does not know, or that cannot be
    /// read.
    private mutating func read(_ stored: StoredEvent) -> RunEvent? {
        do throws(RunReadError) {
            let event = try stored.event()
            if event == nil { flags.insert(.unknownKinds) }
            return event
        } catch {
            end()
            return nil
        }
    }

    /// Ends the fold. A reader of a newer version folds the run anew, this one tells the same
    /// error.
    private mutating func end() {
        flags.insert(.unknownKinds)
        isOver = true
    }

    /// Keeps the calls that later steps may be answered from: those that begin in this part, and
    /// those of older parts that end in it.
    private mutating func note(_ event: RunEvent, at position: UInt64) {
        switch event.content {
        case .deleted: calls = [:]
        case .toolStarted(let start):
            guard let key = start.key.fingerprint else { return }
            calls[position] = .init(key: key, start: position, end: nil)
        case .toolFinished(let finish):
            if calls[finish.start] != nil {
                calls[finish.start]?.end = position
            } else if let key = fold.calls.ended(at: finish.start)?.call.start.key.fingerprint {
                calls[finish.start] = .init(key: key, start: finish.start, end: position)
            }
        default: return
        }
    }

    mutating func finish(give: Give) throws(LogError) -> ArchivedRun? {
        try blanking?.finish(give: give)
        // Of a run that a newer archive deletes, that one keeps the epoch.
        if !gaveSome, !leftDeletionOut { return nil }
        return leftDeletionOut && !gaveSome ? deletedRow : row
    }

    /// The row of a run of which nothing is left but its last epoch.
    private var deletedRow: ArchivedRun {
        var row = ArchivedRun()
        row.flags = .deleted
        row.summary = fold.outline.encoded()
        return row
    }

    private var row: ArchivedRun {
        let outline = fold.outline
        var row = ArchivedRun()
        // Of a run that cannot be read only a reader knows what it is to it.
        row.status = outline.isBegun && !isOver ? outline.summary.status.code : 0
        row.category = outline.summary.lastFailureCategory?.code ?? 0
        row.loop = outline.summary.loop
        row.labels = outline.summary.labels.sorted { $0.key < $1.key }
            .map { ($0.key.text, $0.value) }
        row.created = outline.summary.created.microseconds
        row.updated = outline.summary.updated.microseconds
        row.flags = flags
        // What nobody left out may still be there.
        if !knowsEnd, outline.hidesStoredBytes { row.flags.insert(.blankingDue) }
        row.countsBefore = countsBefore
        row.summary = outline.encoded()
        // Of a run that is over nothing is answered any more.
        if outline.isBegun,
            outline.summary.status.isResumable || outline.summary.status == .failed
        {
            row.calls = calls.values.sorted { $0.start < $1.start }
        }
        return row
    }
}
