public import LoomFormat
public import LoomModel

/// What can be done to a run without its loop: retry, cancel, resolve, label, change its policy.
///
/// Each call claims the run, records one event as a barrier, and lets go. Of a run that somebody
/// drives it throws ``RunnerError/held(_:by:)``.
///
/// ```swift
/// try await RunControl(store: store).retry(RunID("demo"))
/// ```
public struct RunControl: Sendable {
    private let access: RunAccess

    /// Creates the control of a store's runs; of the options, holder and clock count.
    public init(store: any RunStore, options: RunnerOptions = RunnerOptions()) {
        access = RunAccess(store: store, options: options)
    }

    /// Opens a failed run again, from its last committed state. Resuming drives it on.
    public func retry(_ run: RunID) async throws {
        try await change(run) { fold in
            guard fold.summary.status == .failed else {
                throw RunnerError.notFailed(run, fold.summary.status)
            }
            return [.retried]
        }
    }

    /// Gives a run up: it cannot be resumed any more.
    public func cancel(_ run: RunID, reason: String = "") async throws {
        try await change(run) { fold in
            guard fold.summary.status.isResumable else {
                throw RunnerError.runIsOver(run, fold.summary.status)
            }
            return [.cancelled(reason: reason)]
        }
    }

    /// Sets labels; an empty value takes one away.
    public func label(_ run: RunID, _ labels: [Label]) async throws {
        try await change(run) { _ in [.labelled(labels)] }
    }

    /// Changes what the read side keeps, from the present step on; of the past, what both policies
    /// show is shown.
    public func setPolicy(_ run: RunID, _ policy: CheckpointPolicy) async throws {
        guard policy.isValid else { throw RunnerError.invalidPolicy }
        try await change(run) { _ in [.policyChanged(policy)] }
    }

    /// Says what became of a `.once` call whose outcome nobody knew, by the position of its start.
    ///
    /// `completed` with what the tool returned, in the tool's own shape: nobody checks it before
    /// the step reads it. `didNotHappen`, or `failed` with the reason: it may be made again. A call
    /// with a shared key is settled in the whole store. What was said of another call may be
    /// corrected, while nobody drives the run and its step has not ended: the later word holds.
    public func resolve(
        _ run: RunID, call position: UInt64, as outcome: ToolFinish.Outcome
    ) async throws {
        // The run itself first: while somebody drives it, the key is not touched either.
        try await record(run) { fold in
            let open = fold.calls.unfinished(at: position)
            guard let call = open ?? Self.correctable(position, fold) else {
                throw RunnerError.noSuchCall(run, position)
            }
            if case .shared(let key) = call.start.key {
                try await SharedCall.resolve(key, as: outcome, for: run, access)
            }
            return [.toolFinished(ToolFinish(start: position, outcome: outcome))]
        }
    }

    /// A completed call whose end may be said anew; not one of the whole store, which others have
    /// been answered with.
    private static func correctable(_ position: UInt64, _ fold: RunFold) -> ToolCallTable.Call? {
        guard [.paused, .failed].contains(fold.summary.status),
            let call = fold.calls.completed(at: position)
        else { return nil }
        if case .shared = call.start.key { return nil }
        return call
    }

    /// Records something of a run that nobody drives.
    private func change(
        _ run: RunID, _ contents: (RunFold) throws -> [RunEvent.Content]
    ) async throws {
        try SharedCall.checkIsFree(run)
        try await record(run, contents)
    }

    private func record(
        _ run: RunID, _ contents: (RunFold) async throws -> [RunEvent.Content]
    ) async throws {
        try await access.claimed(run) { claim in
            guard claim.position > 0 else { throw RunnerError.unknownRun(run) }
            let fold = try await access.load(run).fold
            let events = try await contents(fold)
            try await access.journal(run, claim, fold).record(events, isBarrier: true)
        }
    }
}

extension Runner {
    /// See ``RunControl/retry(_:)``.
    public func retry(_ run: RunID) async throws { try await control.retry(run) }

    /// See ``RunControl/cancel(_:reason:)``.
    public func cancel(_ run: RunID, reason: String = "") async throws {
        try await control.cancel(run, reason: reason)
    }

    /// See ``RunControl/resolve(_:call:as:)``.
    public func resolve(
        _ run: RunID, call: UInt64, as outcome: ToolFinish.Outcome
    ) async throws { try await control.resolve(run, call: call, as: outcome) }

    private var control: RunControl { RunControl(store: store, options: options) }
}
