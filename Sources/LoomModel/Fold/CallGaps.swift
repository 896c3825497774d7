/// What the table of calls does not know of a fold that goes on from an outline.
///
/// Of the events before, the fold has seen none. The outline names the open calls; all else is
/// looked up when an event depends on it.
struct CallGaps: Sendable {
    /// The position of the first event that the outline does not know.
    let cut: UInt64
    /// The first event of the step that was present at the cut; `nil` once its events were seen, or
    /// it is over. Nothing changes in the table before.
    var step: UInt64?
    /// Open calls of which only the notes are known, by the position of their start.
    var open: [UInt64: OpenCallNotes] = [:]
    /// Keys that were looked up and that no call has had.
    var unused: Set<ToolCallTable.Identity> = []
    /// Positions that were looked at, to find a call that starts there.
    var seenStarts: Set<UInt64> = []
    /// Positions that were looked at, to find a call that ends there.
    var seenEnds: Set<UInt64> = []

    init(_ outline: RunOutline) {
        cut = outline.summary.nextPosition
        if outline.summary.stepStart < cut { step = outline.summary.stepStart }
        for call in outline.unfinishedCalls where call < cut {
            open[call] = OpenCallNotes(call: call)
        }
        for notes in outline.unfinishedNotes where open[notes.call] != nil {
            open[notes.call] = notes
        }
    }
}

/// What has to be looked up before the table can judge an event.
enum CallNeed: Hashable {
    /// The events of the step that was present at the cut.
    case step
    /// The newest call of a key.
    case key(ToolKey)
    /// The call that starts at a position.
    case call(UInt64)
    /// The call that ends at a position.
    case end(UInt64)
}

/// A call of the events before, as it was found.
struct FoundCall {
    var start: ToolStart
    var notes: OpenCallNotes
    var thrown: Failure?
    var cause: Failure?
    /// Its newest end.
    var end: ToolFinish?
    /// The position of that.
    var endPosition: UInt64 = 0
    var isOpen: Bool
}

// Each need goes away once it is met, whatever was found.
extension ToolCallTable {
    /// What is needed to look up the call that `start` would make.
    func need(ofKey start: ToolStart) -> CallNeed? {
        guard let gaps else { return nil }
        if gaps.step != nil { return .step }
        let identity = Self.identity(of: start)
        if identity.isOfStep || entry(identity) != nil || gaps.unused.contains(identity) {
            return nil
        }
        return .key(start.key)
    }

    /// What is needed to change a call, if it is open.
    func need(ofOpen position: UInt64) -> CallNeed? {
        guard let gaps, gaps.open[position] != nil else { return nil }
        if gaps.step != nil { return .step }
        return gaps.seenStarts.contains(position) ? nil : .call(position)
    }

    /// What is needed to know the call that began at a position, whether it has ended or not.
    func need(ofCall position: UInt64) -> CallNeed? {
        guard let gaps, position < gaps.cut, !gaps.seenStarts.contains(position),
            unfinished(at: position) == nil, ended(at: position) == nil
        else { return nil }
        return gaps.step != nil ? .step : .call(position)
    }

    /// What is needed to know whether a call completed at a position.
    func need(ofEnd position: UInt64) -> CallNeed? {
        guard let gaps, position < gaps.cut, !gaps.seenEnds.contains(position),
            !isCompleted(by: position)
        else { return nil }
        return gaps.step != nil ? .step : .end(position)
    }

    /// What is needed before a step ends: which of the open calls are its own.
    var needOfStepEnd: CallNeed? {
        guard let gaps, let step = gaps.step, gaps.open.keys.contains(where: { $0 >= step })
        else { return nil }
        return .step
    }

    /// What is needed so that every open call, and every call of the present step, is known.
    var needOfDriver: CallNeed? {
        guard let gaps else { return nil }
        if gaps.step != nil { return .step }
        return gaps.open.keys.filter { !gaps.seenStarts.contains($0) }.min().map { .call($0) }
    }
}

extension ToolCallTable {
    /// Begins to take in the events of the step that was present at the cut.
    mutating func beginStep() {
        guard var gaps, let step = gaps.step else { return }
        gaps.step = nil
        // The others are found among the events.
        gaps.open = gaps.open.filter { $0.key < step }
        self.gaps = gaps
    }

    /// Takes in an event of that step, which was accepted when it came.
    mutating func replay(_ content: RunEvent.Content, at position: UInt64) {
        switch content {
        case .toolStarted(let start): self.start(start, at: position)
        // Of a call that is not of this step: it is found with its key.
        case .toolFinished(let finish): self.finish(finish, at: position)
        case .toolThrew(let start, let failure): note(failure, of: start, at: position)
        case .paused(.unknownOutcome(let call, let cause?)):
            note(cause: cause, of: call, at: position)
        case .runCompleted: endStep()
        default: break
        }
    }

    /// Takes in the newest call of its key.
    mutating func take(_ found: FoundCall) {
        let identity = Self.identity(of: found.start)
        let position = found.notes.call
        gaps?.open[position] = nil
        gaps?.seenStarts.insert(position)
        guard entry(identity) == nil else { return }
        var call = Call(position: position, start: found.start)
        (call.thrown, call.cause) = (found.thrown, found.cause)
        var entry = Entry(call: call, completed: nil, isOpen: found.isOpen, notes: found.notes)
        if let end = found.end {
            if case .completed(let result) = end.outcome {
                entry.completed = Completed(
                    start: found.start, position: found.endPosition, result: result,
                    author: end.author)
            } else {
                entry.otherEnd = end
            }
        }
        set(entry, for: identity)
        if found.isOpen { open(call, identity) }
    }

    /// Keeps that no call has this key.
    mutating func noteUnused(_ start: ToolStart) {
        gaps?.unused.insert(Self.identity(of: start))
    }
}
