internal import LoomFormat
internal import LoomModel

/// Fetches the values that a row leaves out and a view shows: the state of a run that is not over,
/// the result of one that is completed.
struct RunValues {
    let row: RunRow
    private var track = StateTrack()
    private var result: [UInt8]?
    /// Follows the states where events were passed over: only a fold knows which.
    private var position: RunPosition?
    private var completion = CompletionVisitor()
    private var readError: RunReadError?

    init(_ row: RunRow) {
        self.row = row
        readError = row.readError
        if row.readError == nil, !row.outline.violations.isEmpty {
            position = RunPosition(row.run, .run, keepsValues: false, followsStates: needsState)
        }
    }

    private var summary: RunSummary { row.outline.summary }
    private var needsState: Bool { summary.status != .completed && row.readError == nil }

    /// The events that are needed; `nil` for none.
    var part: RunPart? {
        // Where events were passed over, positions do not tell which.
        if position != nil { return RunPart(row.run, from: 0, before: .max) }
        guard row.readError == nil else { return nil }
        if needsState {
            return RunPart(
                row.run, from: row.outline.state.wholeState, before: summary.nextPosition)
        }
        return summary.end.map { RunPart(row.run, from: $0, before: $0 + 1) }
    }

    /// Takes one of those events.
    mutating func take(_ stored: StoredEvent) throws {
        guard readError == nil else { return }
        do {
            if let position {
                guard position.nextPosition < summary.nextPosition else { return }
                try self.position?.visit(stored, &completion)
                result = completion.result
            } else if let event = try stored.event() {
                try take(event, stored)
            }
        } catch let error as RunReadError {
            readError = error
        }
    }

    private mutating func take(_ event: RunEvent, _ stored: StoredEvent) throws(RunReadError) {
        if case .runCompleted(_, let result) = event.content { self.result = result }
        do throws(FormatError) {
            try track.apply(event)
        } catch {
            throw .unreadable(stored, error)
        }
    }

    /// Fetches them all.
    ///
    /// What was live when the row was read may be archived by now, without the states that policies
    /// hide: where that does not fit together, the run is read anew from its creation on.
    mutating func read(from source: any RunSource) throws {
        guard let part else { return }
        try read(part, from: source)
        if row.readError == nil, readError != nil {
            self = RunValues(row)
            try read(RunPart(part.run, before: part.positions.upperBound), from: source)
        }
    }

    private mutating func read(_ part: RunPart, from source: any RunSource) throws {
        var events = try source.events([part])
        while let stored = try events.next() { try take(stored) }
    }

    /// What the run is now.
    mutating func view() throws(RunReadError) -> RunView {
        if let readError { throw readError }
        return RunView(row, state: needsState ? try state() : nil, result: result)
    }

    /// The same for a list, which one run that cannot be read must not end.
    mutating func viewInList() -> RunView {
        do throws(RunReadError) {
            return try view()
        } catch {
            return RunView(row, state: nil, result: nil, readError: error)
        }
    }

    private mutating func state() throws(RunReadError) -> [UInt8] {
        if var position { return try position.state() }
        do {
            return try track.present()
        } catch {
            throw .corrupt(row.run, "its state: \(error)")
        }
    }
}

/// Keeps the result that the run's completion has.
private struct CompletionVisitor: RunVisitor {
    var result: [UInt8]?

    mutating func after(
        _ event: RunEvent, at place: RunFold.Place, _ position: inout RunPosition
    ) {
        if case .runCompleted(_, let result) = event.content { self.result = result }
    }
}
