internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// The runs of a log that a filter may let through, by name: those in archives by the columns of
/// their tables, and between them those of which the live segments hold something.
struct LogRunHeads: RunHeadCursor {
    private let filter: RunFilter
    private let fold: (RunID) throws -> LiveFolds.Seen?
    private var archived: RunHeads
    private var nextArchived: (run: RunID, head: ArchivedHead)?
    /// The next one last.
    private var live: [RunID]
    private let liveSet: Set<RunID>

    init(
        _ view: LogView, _ filter: RunFilter, _ fold: @escaping (RunID) throws -> LiveFolds.Seen?
    ) throws {
        (self.filter, self.fold) = (filter, fold)
        live = try view.liveRuns(prefix: filter.prefix ?? "").reversed()
        liveSet = Set(live)
        archived = try view.heads(filter.columns)
        nextArchived = try fetchArchived()
    }

    mutating func next() throws -> RunHead? {
        while true {
            switch (nextArchived, live.last) {
            case (nil, nil): return nil
            case (let archived?, let run) where run.map({ archived.run < $0 }) ?? true:
                nextArchived = try fetchArchived()
                return RunHead(
                    run: archived.run,
                    created: EventTime(microseconds: archived.head.created),
                    fits: filter.isToldByColumns && archived.head.isKnown)
            case (_, let run?):
                live.removeLast()
                if let head = try liveHead(run) { return head }
            default: return nil
            }
        }
    }

    private func liveHead(_ run: RunID) throws -> RunHead? {
        guard let seen = try fold(run), seen.isRun else { return nil }
        let summary = seen.outline.summary
        guard filter.mayFit(summary, seen.readError) else { return nil }
        return RunHead(run: run, created: summary.created, fits: false)
    }

    /// The next run in archives of which the live segments hold nothing.
    private mutating func fetchArchived() throws -> (RunID, ArchivedHead)? {
        while let head = try archived.next() {
            let run: RunID
            do throws(FormatError) {
                run = try RunID(decoding: head.name.rawSpan)
            } catch {
                throw LogError(.corrupt, "the name of a run in an archive: \(error)")
            }
            if !liveSet.contains(run) { return (run, head) }
        }
        return nil
    }
}
