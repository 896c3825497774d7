public import LoomFormat
public import LoomModel

/// What can be done to a run without its loop: retry, cancel, delete, resolve, label, change its
/// policy.
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
        try await change(run, .cancel(reason: reason))
    }

    /// Pauses a run that says it is running and that nobody drives; one that is paused stays so.
    public func pause(_ run: RunID, reason: String = "") async throws {
        try await change(run, .pause(reason: reason))
    }

    /// Makes a change of any kind.
    ///
    /// - Returns: Of a call that was resolved: what was known of it before.
    @discardableResult
    public func make(_ change: RunChange, of run: RunID) async throws -> ResolvedCall? {
        guard case .resolve(let call, let outcome, let corrects) = change else {
            try await self.change(run, change)
            return nil
        }
        return try await resolve(run, call: call, as: outcome, corrects: corrects)
    }

    /// Deletes a run that is over: from here on every read says that there is no such run, and the
    /// next archives leave its events out. Its name may begin anew.
    ///
    /// - Parameter evenFailed: Whether a failed run may be deleted, too; `retry` could open it.
    /// - Throws: ``RunnerError/notOver(_:_:)`` for a run that can go on.
    public func delete(_ run: RunID, evenFailed: Bool = false) async throws {
        try await change(run) { fold in
            let status = fold.summary.status
            guard status == .completed || status == .cancelled || status == .failed && evenFailed
            else { throw RunnerError.notOver(run, status) }
            return [.deleted]
        }
    }

    /// Sets labels; an empty value takes one away.
    public func label(_ run: RunID, _ labels: [Label]) async throws {
        try await change(run, .label(labels))
    }

    /// Changes what the read side keeps, from the present step on; of the past, what both policies
    /// show is shown.
    public func setPolicy(_ run: RunID, _ policy: CheckpointPolicy) async throws {
        try await change(run, .setPolicy(policy))
    }

    /// Says what became of a `.once` call whose outcome nobody knew, by the position of its start.
    ///
    /// `completed` with what the tool returned, in the tool's own shape: nobody checks it before
    /// the step reads it. `didNotHappen`, or `failed` with the reason: it may be made again. A call
    /// with a shared key is settled in the whole store. What a person said of another call may be
    /// said anew, while nobody drives the run and its step has not ended: the later word holds.
    ///
    /// - Parameter corrects: Overrules what the tool itself said of a call that it ended. Reads of
    ///   the run tell so from then on.
    /// - Returns: The call, and what was known of it before.
    /// - Throws: ``RunnerError/endedByTool(_:)`` for a call that the tool ended, unless it is
    ///   corrected; ``RunnerError/noSuchCall(_:_:)``; ``RunnerError/sharedCallIsOver(_:_:)``.
    @discardableResult
    public func resolve(
        _ run: RunID, call position: UInt64, as outcome: ToolFinish.Outcome,
        corrects: Bool = false
    ) async throws -> ResolvedCall {
        // A key's run is resolved through those that use it: it would wait for itself.
        try SharedCall.checkIsFree(run)
        // The run itself first: while somebody drives it, the key is not touched either.
        return try await access.claimed(run) { claim in
            guard claim.position > 0 else { throw RunnerError.unknownRun(run) }
            var loaded = try await access.load(run)
            try access.prepare(&loaded, forCallAt: position)
            let resolved = try RunChange.resolving(position, outcome, corrects, run, loaded.fold)
            if case .shared(let key) = resolved.call.start.key {
                try await SharedCall.resolve(
                    key, resolved.call, as: outcome, for: run, access)
            }
            let change = RunChange.resolve(call: position, as: outcome, corrects: corrects)
            let events = try change.contents(of: run, loaded.fold, by: access.holder)
            try await access.journal(claim, loaded).record(events, isBarrier: true)
            return resolved
        }
    }

    private func change(_ run: RunID, _ change: RunChange) async throws {
        try await self.change(run) { try change.contents(of: run, $0, by: access.holder) }
    }

    /// Records something of a run that nobody drives.
    private func change(
        _ run: RunID, _ contents: (RunFold) throws -> [RunEvent.Content]
    ) async throws {
        try SharedCall.checkIsFree(run)
        try await access.claimed(run) { claim in
            guard claim.position > 0 else { throw RunnerError.unknownRun(run) }
            let loaded = try await access.load(run)
            let events = try contents(loaded.fold)
            guard !events.isEmpty else { return }
            try await access.journal(claim, loaded).record(events, isBarrier: true)
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

    /// See ``RunControl/resolve(_:call:as:corrects:)``.
    @discardableResult
    public func resolve(
        _ run: RunID, call: UInt64, as outcome: ToolFinish.Outcome, corrects: Bool = false
    ) async throws -> ResolvedCall {
        try await control.resolve(run, call: call, as: outcome, corrects: corrects)
    }

    private var control: RunControl { RunControl(store: store, options: options) }
}
