internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// A pass over the events of all runs at once, which keeps of each what a list needs to choose its
/// rows: no states.
struct RunListing {
    private let log: LogReader
    private let filter: RunFilter
    private var events: EventCursor
    private var runs: [RunID: Seen] = [:]

    private struct Seen {
        var position: RunPosition
        var span: RunSpan?
        var readError: RunReadError?
        var resultBytes = 0

        init(_ run: RunID) {
            position = RunPosition(run, keeping: .none, followsFrom: nil)
        }
    }

    init(_ log: LogReader, _ filter: RunFilter) throws(LogError) {
        (self.log, self.filter) = (log, filter)
        events = try EventCursor(log, run: nil)
    }

    /// Goes on to the end of the log.
    private mutating func readOn() throws {
        var visitor = ResultLength()
        while let event = try events.next() {
            if let prefix = filter.prefix, !event.run.rawValue.hasBytePrefix(prefix) { continue }
            try Self.see(event, &runs[event.run, default: Seen(event.run)], &visitor)
        }
    }

    private static func see(
        _ event: LogEvent, _ seen: inout Seen, _ visitor: inout ResultLength
    ) throws {
        guard seen.readError == nil else { return }
        do {
            try seen.position.visit(event, &visitor)
            seen.span = RunSpan(seen.span, event)
            if let count = visitor.take() { seen.resultBytes = count }
        } catch let error as RunReadError {
            seen.readError = error
        }
    }

    /// Goes on to the end of the log, and finds the runs whose driver is gone. See
    /// ``RunPass/readOnAskingTheLock()``.
    mutating func readOnAskingTheLock() throws -> Set<RunID> {
        try readOn()
        while true {
            let writer = try log.writer()
            let suspects = abandoned(writer)
            if suspects.isEmpty { return [] }
            try readOn()
            // Those that another process took meanwhile: it may be gone by now, too.
            let remaining = abandoned(writer)
            if remaining.allSatisfy({ suspects[$0.key] == $0.value }) { return Set(remaining.keys) }
        }
    }

    /// The runs that say `running` and whose holder does not have the log, with their epochs.
    private func abandoned(_ writer: String?) -> [RunID: UInt64] {
        var found: [RunID: UInt64] = [:]
        for (run, seen) in runs
        where seen.position.outline.isBegun && seen.position.outline.isAbandoned(writer) {
            found[run] = seen.position.outline.summary.epoch
        }
        return found
    }

    /// The runs that fit the filter, in no order.
    func entries(_ isAbandoned: Set<RunID>) -> [RunList.Entry] {
        runs.compactMap { run, seen in
            let outline = seen.position.outline
            guard seen.readError != nil || outline.isBegun else { return nil }
            // Those that keep shared keys are listed only when they are asked for.
            if run.isKeeper && filter.prefix?.hasBytePrefix(RunID.keeperPrefix) != true {
                return nil
            }
            let isAbandoned = isAbandoned.contains(run)
            let status = RunView.status(
                of: outline.summary, isInterrupted: isAbandoned, seen.readError)
            guard filter.fits(outline.summary, status: status) else { return nil }
            let showsState = outline.summary.status != .completed && seen.readError == nil
            return RunList.Entry(
                run: run, created: outline.summary.created, span: seen.span,
                readError: seen.readError, isAbandoned: isAbandoned,
                wholeState: showsState ? outline.wholeState : nil,
                bytes: seen.resultBytes + (showsState ? outline.stateBytes : 0))
        }
    }
}

/// Notes how long the result of a run is.
private struct ResultLength: RunVisitor {
    private var count: Int?

    mutating func after(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) {
        if case .runCompleted(_, let result) = event.content { count = result.count }
    }

    mutating func take() -> Int? {
        defer { count = nil }
        return count
    }
}
