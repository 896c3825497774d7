internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// The runs of a log that a filter may let through, by name: those in archives by the columns of
/// their tables, and between them those of which the live segments hold something.
struct LogRunHeads: RunHeadCursor {
    private let filter: RunFilter
    private let look: () throws -> LogView
    private let fold: (RunID) throws -> LiveFolds.Seen?
    /// The run that was given last.
    private var last: RunID?
    private var archived: RunHeads
    private var nextArchived: (run: RunID, head: ArchivedHead)?
    /// The next one last.
    private var live: [RunID]
    private let liveSet: Set<RunID>

    /// - Parameters:
    ///   - look: Looks at the log anew, where tables had to be made anew.
    ///   - last: Runs up to this one are passed over.
    init(
        _ view: LogView, _ filter: RunFilter, behind last: RunID? = nil,
        look: @escaping () throws -> LogView,
        fold: @escaping (RunID) throws -> LiveFolds.Seen?
    ) throws {
        (self.filter, self.look, self.fold, self.last) = (filter, look, fold, last)
        live = try view.liveRuns(prefix: filter.prefix ?? "").reversed()
        liveSet = Set(live)
        var columns = filter.columns
        if let last {
            live.removeAll { $0 <= last }
            let name = Array(last.rawValue.utf8)
            if columns.from.lexicographicallyPrecedes(name) { columns.from = name }
        }
        archived = try view.heads(columns)
        nextArchived = try fetchArchived()
    }

    mutating func next() throws -> RunHead? {
        var (triesLeft, isStale) = (100, false)
        while true {
            do {
                if isStale {
                    self = try LogRunHeads(look(), filter, behind: last, look: look, fold: fold)
                    isStale = false
                }
                let head = try fetch()
                if let head { last = head.run }
                return head
            } catch let error as LogError where error.isRewritten && triesLeft > 0 {
                (triesLeft, isStale) = (triesLeft - 1, true)
            }
        }
    }

    private mutating func fetch() throws -> RunHead? {
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
            if let last, run <= last { continue }
            if !liveSet.contains(run) { return (run, head) }
        }
        return nil
    }
}
