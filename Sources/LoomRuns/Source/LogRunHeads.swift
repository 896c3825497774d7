internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// The runs of a log that a filter may let through, by name: those in archives by the columns of
/// their tables, and between them those of which the live segments hold something.
struct LogRunHeads: RunHeadCursor {
    /// Folds a run of which the live segments hold something.
    typealias Fold = (RunID, LogView, UnitReader) throws -> LiveFolds.Seen?

    private let filter: RunFilter
    private let look: () throws -> LogView
    private let view: LogView
    private let units: UnitReader
    private let fold: Fold
    /// The run that was given or passed over last.
    private var last: RunID?
    private var archived: RunHeads
    private var nextArchived: (run: RunID, head: ArchivedHead)?
    /// Times of creation that are wanted.
    private var created: ClosedRange<UInt64>
    /// The next one last.
    private var live: [RunID]

    /// - Parameters:
    ///   - look: Looks at the log anew, where it was rewritten or tables had to be made anew.
    ///   - last: Runs up to this one are passed over.
    init(
        _ view: LogView, _ filter: RunFilter, behind last: RunID? = nil,
        created: ClosedRange<UInt64> = 0...UInt64.max,
        look: @escaping () throws -> LogView, fold: @escaping Fold
    ) throws {
        (self.view, self.filter, self.look, self.fold, self.last) = (view, filter, look, fold, last)
        units = view.units
        live = try view.liveRuns(prefix: filter.prefix ?? "").reversed()
        var columns = filter.columns
        self.created = created
        columns.created = created
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
                    self = try LogRunHeads(
                        look(), filter, behind: last, created: created, look: look, fold: fold)
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

    mutating func narrow(toCreated times: ClosedRange<EventTime>) {
        created = times.lowerBound.microseconds...times.upperBound.microseconds
        archived.narrow(toCreated: created)
    }

    func sampleOfCreated() -> [EventTime] {
        // Where tables cannot be read, those who go through all of them are told.
        ((try? view.sampleOfCreated(filter.columns)) ?? []).map { EventTime(microseconds: $0) }
    }

    private mutating func fetch() throws -> RunHead? {
        while true {
            switch (nextArchived, live.last) {
            case (nil, nil): return nil
            // What is live of a run is newer.
            case (let archived?, let run?) where archived.run == run:
                nextArchived = try fetchArchived()
            case (let archived?, let run) where run.map({ archived.run < $0 }) ?? true:
                nextArchived = try fetchArchived()
                return RunHead(
                    run: archived.run,
                    created: EventTime(microseconds: archived.head.created),
                    fits: filter.isToldByColumns && archived.head.isKnown)
            case (_, let run?):
                let head = try liveHead(run)
                live.removeLast()
                // Also of one that does not fit: whoever begins anew need not come to it again.
                last = run
                if let head { return head }
            default: return nil
            }
        }
    }

    private func liveHead(_ run: RunID) throws -> RunHead? {
        guard let seen = try fold(run, view, units), seen.isRun else { return nil }
        let summary = seen.outline.summary
        guard filter.mayFit(summary, seen.readError) else { return nil }
        return RunHead(run: run, created: summary.created, fits: false)
    }

    /// The next run in archives.
    private mutating func fetchArchived() throws -> (RunID, ArchivedHead)? {
        while let head = try archived.next() {
            let run: RunID
            do throws(FormatError) {
                run = try RunID(decoding: head.name.rawSpan)
            } catch {
                throw LogError(.corrupt, "the name of a run in an archive: \(error)")
            }
            if let last, run <= last { continue }
            return (run, head)
        }
        return nil
    }
}
