internal import LoomFormat

/// The events of a run before those that a fold is given: where a fold that goes on from an outline
/// looks up what the outline leaves out.
package protocol RunPast {
    /// What reading them can fail by.
    associatedtype Failure: Error

    /// Calls `body` with the events at these positions, in order, until it returns `false`; without
    /// those of kinds that this version does not know.
    func events(
        _ positions: Range<UInt64>, _ body: (RunEvent, RunFold.Place) -> Bool
    ) throws(Failure)

    /// The calls of a key, newest first. Calls of other keys may be among them.
    func calls(of key: ToolKey) throws(Failure) -> [PastCall]
}

/// A call that a ``RunPast`` found by its key.
package struct PastCall: Hashable, Sendable {
    /// The position of its start.
    package var start: UInt64
    /// The position of its newest end. Without it, the end of a call that has ended is looked for
    /// among the events behind its start.
    package var end: UInt64?

    /// Creates a call.
    package init(start: UInt64, end: UInt64? = nil) {
        self.start = start
        self.end = end
    }
}

extension RunOutline {
    /// Whether a fold can go on from here: each position has one event, and it was accepted.
    ///
    /// Of a run with events that were passed over only a fold of all of them knows which.
    package var canBeResumed: Bool { violations.isEmpty }
}

// A fold that goes on from an outline. It is asked to prepare for an event before it judges it, and
// for a call before the table of calls is asked about it.

extension OutlineFold {
    /// The fold of the events that an outline knows.
    ///
    /// Its answers are those of the fold of all events, once it is prepared for the question. The
    /// result of a completed run is not among them.
    ///
    /// - Parameter outline: One that ``RunOutline/canBeResumed``.
    package init(resuming outline: RunOutline, keepsValues: Bool = true) {
        self.init(keepsValues: keepsValues)
        parts = outline
        fold = RunFold(resuming: outline)
    }

    /// The fold of a run that was deleted: its name may begin anew above this epoch.
    package init(deletedAt epoch: UInt64, keepsValues: Bool = true) {
        var outline = RunOutline()
        (outline.summary.epoch, outline.summary.deletedEpoch) = (epoch, epoch)
        self.init(resuming: outline, keepsValues: keepsValues)
    }

    /// Looks up what the next event depends on. Does nothing in a fold of all events.
    package mutating func prepare<Past: RunPast>(
        for event: RunEvent, from past: Past
    ) throws(Past.Failure) {
        while let need = fold.need(of: event.content) { try meet(need, from: past) }
    }

    /// Looks up the call that `start` would make, for ``ToolCallTable/look(up:)``.
    package mutating func prepare<Past: RunPast>(
        forCall start: ToolStart, from past: Past
    ) throws(Past.Failure) {
        while let need = fold.calls.need(ofKey: start) { try meet(need, from: past) }
    }

    /// Looks up the call that began at a position, for ``ToolCallTable/unfinished(at:)`` and
    /// ``ToolCallTable/ended(at:)``.
    package mutating func prepare<Past: RunPast>(
        forCallAt position: UInt64, from past: Past
    ) throws(Past.Failure) {
        while let need = fold.calls.need(ofCall: position) { try meet(need, from: past) }
    }

    /// Looks up every call of the present step and every open call, as a driver of the run wants
    /// them. Calls of explicit and shared keys that have ended are still looked up one by one.
    package mutating func prepareToDrive<Past: RunPast>(from past: Past) throws(Past.Failure) {
        while let need = fold.calls.needOfDriver { try meet(need, from: past) }
    }

    private mutating func meet<Past: RunPast>(
        _ need: CallNeed, from past: Past
    ) throws(Past.Failure) {
        guard let gaps = fold.calls.gaps else { return }
        let finder = CallFinder(
            past: past, cut: gaps.cut, open: gaps.open, deleted: fold.summary.deletedEpoch)
        switch need {
        case .step:
            guard let step = gaps.step else { return }
            var events: [(RunEvent.Content, UInt64)] = []
            try past.events(step..<gaps.cut) { event, place in
                if finder.isOfRun(place), event.content.concernsCalls {
                    events.append((kept(event).content, place.position))
                }
                return true
            }
            fold.calls.beginStep()
            for (content, position) in events { fold.calls.replay(content, at: position) }
        case .key(let key):
            if let found = try finder.newest(of: key) {
                take(found)
            } else {
                let start = ToolStart(
                    attempt: AttemptID(step: 0, attempt: 0), name: "", safety: .pure, key: key,
                    request: [])
                fold.calls.noteUnused(start)
            }
        case .call(let position):
            if let found = try finder.call(at: position) { take(found) }
            fold.calls.gaps?.seenStarts.insert(position)
        case .end(let position):
            let content = try finder.content(at: position)
            if case .toolFinished(let finish)? = content,
                let found = try finder.call(at: finish.start)
            {
                take(found)
            }
            fold.calls.gaps?.seenEnds.insert(position)
        }
    }

    private mutating func take(_ found: FoundCall) {
        var found = found
        let time = EventTime(microseconds: 0)
        if case .toolStarted(let start) = kept(RunEvent(time: time, .toolStarted(found.start)))
            .content
        {
            found.start = start
        }
        if let end = found.end,
            case .toolFinished(let kept) = kept(RunEvent(time: time, .toolFinished(end))).content
        {
            found.end = kept
        }
        fold.calls.take(found)
    }
}

extension ToolCallTable {
    /// The call that began at a position, as it had ended before another. Reads the events between.
    package static func ended<Past: RunPast>(
        at start: UInt64, before position: UInt64, from past: Past
    ) throws(Past.Failure) -> Ended? {
        var table = ToolCallTable()
        guard start < position else { return nil }
        try past.events(start..<position) { event, place in
            switch event.content {
            case .toolStarted:
                if place.position == start { table.replay(event.content, at: start) }
            case .toolFinished(let finish):
                if finish.start == start { table.replay(event.content, at: place.position) }
            case .toolThrew(let call, _):
                if call == start { table.replay(event.content, at: place.position) }
            default: break
            }
            return true
        }
        return table.ended(at: start)
    }
}

extension RunEvent.Content {
    fileprivate var concernsCalls: Bool {
        switch self {
        case .toolStarted, .toolFinished, .toolThrew, .paused, .runCompleted: true
        default: false
        }
    }
}

/// Finds calls among the events of a run before a cut.
private struct CallFinder<Past: RunPast> {
    let past: Past
    let cut: UInt64
    /// The open calls of which only the notes are known.
    let open: [UInt64: OpenCallNotes]
    /// The epoch of the last run of this name that was deleted.
    let deleted: UInt64?

    /// Whether an event is the run's, and not that of a deleted one with the same name.
    func isOfRun(_ place: RunFold.Place) -> Bool { deleted.map { place.epoch > $0 } ?? true }

    /// The event at a position.
    func content(at position: UInt64) throws(Past.Failure) -> RunEvent.Content? {
        guard position < cut else { return nil }
        var found: RunEvent.Content?
        try past.events(position..<(position + 1)) { event, place in
            if isOfRun(place) { found = event.content }
            return found == nil
        }
        return found
    }

    /// The newest call of a key that outlives its step.
    func newest(of key: ToolKey) throws(Past.Failure) -> FoundCall? {
        for call in try past.calls(of: key) where call.start < cut {
            guard case .toolStarted(let start)? = try content(at: call.start), start.key == key
            else { continue }
            return try found(start, call)
        }
        return nil
    }

    /// The newest call of the key of the one that begins at a position; of a call whose key died
    /// with its step, nothing matters any more.
    func call(at position: UInt64) throws(Past.Failure) -> FoundCall? {
        guard case .toolStarted(let start)? = try content(at: position) else { return nil }
        if open[position] != nil { return try found(start, PastCall(start: position)) }
        if case .occurrence = start.key { return nil }
        return try newest(of: start.key)
    }

    private func found(_ start: ToolStart, _ call: PastCall) throws(Past.Failure) -> FoundCall {
        let notes = open[call.start] ?? OpenCallNotes(call: call.start)
        var found = FoundCall(start: start, notes: notes, isOpen: open[call.start] != nil)
        if found.isOpen {
            if let position = notes.thrown,
                case .toolThrew(_, let failure)? = try content(at: position)
            {
                found.thrown = failure
            }
            if let position = notes.cause,
                case .paused(.unknownOutcome(_, let cause))? = try content(at: position)
            {
                found.cause = cause
            }
        } else if let (end, position) = try end(of: call) {
            (found.end, found.endPosition) = (end, position)
        }
        return found
    }

    /// The newest end of a call that has one.
    private func end(of call: PastCall) throws(Past.Failure) -> (ToolFinish, UInt64)? {
        if let position = call.end,
            case .toolFinished(var finish)? = try content(at: position), finish.start == call.start
        {
            // Without an author it is the tool's word if it is the first, else a person's.
            if finish.author == .tool, try lastEnd(of: call.start, before: position) != nil {
                finish.author = .person
            }
            return (finish, position)
        }
        return try lastEnd(of: call.start, before: cut)
    }

    private func lastEnd(
        of start: UInt64, before end: UInt64
    ) throws(Past.Failure) -> (ToolFinish, UInt64)? {
        var found: (ToolFinish, UInt64)?
        guard start < end else { return nil }
        try past.events((start + 1)..<end) { event, place in
            if isOfRun(place), case .toolFinished(var finish) = event.content,
                finish.start == start
            {
                if found != nil, finish.author == .tool { finish.author = .person }
                found = (finish, place.position)
            }
            return true
        }
        return found
    }
}
