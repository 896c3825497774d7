internal import LoomFormat
public import LoomModel

/// What can be done to a run without its loop: by ``RunControl``, and by other processes through
/// requests.
public enum RunChange: Hashable, Sendable {
    /// The run is given up.
    case cancel(reason: String)
    /// The run stops behind its present step.
    case pause(reason: String)
    /// Labels are set; an empty value takes one away.
    case label([Label])
    /// What the read side keeps, from the present step on.
    case setPolicy(CheckpointPolicy)
    /// What became of a call is said. See ``RunControl/resolve(_:call:as:corrects:)``.
    case resolve(call: UInt64, as: ToolFinish.Outcome, corrects: Bool)

    /// The verb by which other processes ask for it.
    public var verb: String {
        switch self {
        case .cancel: "cancel"
        case .pause: "pause"
        case .label: "label"
        case .setPolicy: "policy"
        case .resolve: "resolve"
        }
    }

    /// The events of the change, of a run that nobody drives, or why it cannot be made.
    func contents(
        of run: RunID, _ fold: RunFold, by asker: String? = nil
    ) throws(RunnerError) -> [RunEvent.Content] {
        let status = fold.summary.status
        switch self {
        case .cancel(let reason):
            guard status.isResumable else { throw .runIsOver(run, status) }
            return [.cancelled(reason: reason)]
        case .pause(let reason):
            guard status.isResumable else { throw .runIsOver(run, status) }
            // It stands already: what was wished is so.
            if status == .paused { return [] }
            return [.paused(Self.pauseReason(reason, by: asker))]
        case .label(let labels): return [.labelled(labels)]
        case .setPolicy(let policy):
            guard policy.isValid else { throw .invalidPolicy }
            return [.policyChanged(policy)]
        case .resolve(let call, let outcome, let corrects):
            let resolved = try Self.resolving(call, outcome, corrects, run, fold)
            var events: [RunEvent.Content] = []
            // What was said is said anew of a run at rest; the driver of this one is gone.
            if resolved.before != nil, status == .running { events.append(.paused(.interrupted)) }
            events.append(
                .toolFinished(ToolFinish(start: call, outcome: outcome, by: resolved.author)))
            return events
        }
    }

    static func pauseReason(_ reason: String, by asker: String?) -> PauseReason {
        .requested(reason.isEmpty ? "\(asker ?? "somebody") asked for it" : reason)
    }

    /// What is about to be said of a call, or why it cannot be said.
    static func resolving(
        _ position: UInt64, _ outcome: ToolFinish.Outcome, _ corrects: Bool, _ run: RunID,
        _ fold: RunFold
    ) throws(RunnerError) -> ResolvedCall {
        if let call = fold.calls.unfinished(at: position) {
            return ResolvedCall(run: run, call: call, outcome: outcome, author: .person)
        }
        guard let ended = fold.calls.ended(at: position),
            fold.summary.status.isResumable || fold.summary.status == .failed
        else { throw .noSuchCall(run, position) }
        var resolved = ResolvedCall(
            run: run, call: ended.call, outcome: outcome, author: .person, before: ended)
        // Others have been answered with it.
        if case .shared = ended.call.start.key { throw .sharedCallIsOver(run, position) }
        if ended.author == .tool {
            guard corrects else { throw .endedByTool(resolved) }
            resolved.author = .correction
        }
        return resolved
    }
}

extension RequestRefusal {
    /// A runner's refusal, as it is told to whoever asked.
    init(_ error: RunnerError) {
        let kind: Kind =
            switch error {
            case .runIsOver, .notFailed, .notOver, .runExists, .otherInput: .wrongState
            case .unknownRun, .noSuchCall: .notFound
            case .held, .fenced, .stillRunning, .callStillRuns: .busy
            case .storage: .failed
            case .damaged, .unsupported, .corrupt, .newerVersion: .damaged
            default: .wrongUse
            }
        self.init(kind, ErrorText.cut(error.description), hint: error.hint)
    }
}
