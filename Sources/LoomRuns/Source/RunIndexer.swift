package import LoomFormat
package import LoomLog
internal import LoomModel

/// What archives keep of runs: the fold of their events, as everybody else reads them.
///
/// In this version a run's events stand in one archive from the first on: a fold cannot go on from
/// an outline yet.
package struct RunIndexer: ArchiveSemantics {
    /// That of ``RunOutline``'s bytes.
    package var summaryVersion: UInt32 { UInt32(RunOutline.version) }

    /// Creates the indexer.
    package init() {}

    /// See ``ArchiveSemantics/begin(_:after:newest:)``.
    package func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?
    ) throws(LogError) -> any ArchiveSlice { RunSlice(run) }

    /// See ``ArchiveSemantics/movesWhole(_:newest:)``.
    package func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool { true }
}

/// Folds one run's part of an archive.
private struct RunSlice: ArchiveSlice {
    private let run: RunID
    private var fold = ReadFold(keepsValues: false)
    private var flags: RunTableFlags = []
    private var calls: [UInt64: ArchivedRun.Call] = [:]
    /// Whether an event was met that cannot be read: every read ends there.
    private var isOver = false

    init(_ run: RunID) { self.run = run }

    mutating func take(
        epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
    ) throws(LogError) {
        let progress = see(epoch: epoch, position: position, body)
        try give(epoch, position, sequence, body, progress)
    }

    private mutating func see(epoch: UInt64, position: UInt64, _ body: RawSpan) -> ArchiveProgress {
        let stored = StoredEvent(
            run: run, place: .init(position: position, epoch: epoch), body: [UInt8](copying: body))
        do throws(RunReadError) {
            if isOver {
                // Nothing more is known of the run.
            } else if let event = try fold.accept(stored) {
                try fold.apply(event, stored)
                note(event, at: position)
            } else if !RunEvent.isKnown(body) {
                flags.insert(.unknownKinds)
            }
        } catch {
            // A reader of a newer version folds the run anew; this one tells the same error.
            flags.insert(.unknownKinds)
            isOver = true
        }
        return ArchiveProgress(
            counts: fold.rowCounts,
            isWholeState: !isOver && fold.isBegun && fold.state.wholeState == position)
    }

    /// Keeps the calls that later steps may be answered from.
    private mutating func note(_ event: RunEvent, at position: UInt64) {
        switch event.content {
        case .toolStarted(let start):
            guard let key = start.key.fingerprint else { return }
            calls[position] = .init(key: key, start: position, end: nil)
        case .toolFinished(let finish): calls[finish.start]?.end = position
        default: return
        }
    }

    mutating func finish(give: Give) throws(LogError) -> ArchivedRun? {
        let outline = fold.outline
        var row = ArchivedRun()
        row.status = outline.isBegun ? outline.summary.status.code : 0
        row.category = outline.summary.lastFailureCategory?.code ?? 0
        row.loop = outline.summary.loop
        row.labels = outline.summary.labels.sorted { $0.key < $1.key }
            .map { ($0.key.text, $0.value) }
        row.created = outline.summary.created.microseconds
        row.updated = outline.summary.updated.microseconds
        row.flags = flags
        row.summary = outline.encoded()
        // Of a run that is over nothing is answered any more.
        if outline.summary.status.isResumable || outline.summary.status == .failed {
            row.calls = calls.values.sorted { $0.start < $1.start }
        }
        return row
    }
}

extension ToolKey {
    /// The fingerprint of a key that outlives its step.
    var fingerprint: KeyFingerprint? {
        switch self {
        case .explicit(let key): KeyFingerprint(kind: 1, key: Array(key.utf8))
        case .shared(let key): KeyFingerprint(kind: 3, key: Array(key.utf8))
        case .occurrence: nil
        }
    }
}
