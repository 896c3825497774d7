internal import LoomFormat
internal import LoomModel
internal import LoomRuns

/// A call whose key holds for the whole store: kept in a run of its own, which outlives the runs
/// that use it. Claiming that run is what makes two callers wait for each other.
struct SharedCall: Sendable {
    let key: String
    let start: ToolStart
    let access: RunAccess
    /// The run that uses the key: what the store fails in decides about it.
    let user: RunJournal

    static let loop = "loomlog.key"

    /// Refuses a name that could be that of a key's run.
    static func checkIsFree(_ run: RunID) throws(RunnerError) {
        if run.isKeeper { throw .reservedName(run) }
    }

    private static func keeper(of key: String) throws -> RunID {
        try RunID(RunID.keeperPrefix + ContentHash(of: Array(key.utf8).rawSpan).description)
    }

    /// What the store knows of the call.
    enum Found {
        case completed(ToolCallTable.Completed)
        case mismatch
        case unknown(RunJournal, UInt64)
        case none(RunJournal)
    }

    /// Runs `body` with the key's run claimed, waiting while another caller has it.
    func claimed<Result: Sendable>(
        _ body: (Found) async throws -> Result
    ) async throws -> Result {
        let run = try Self.keeper(of: key)
        var isFound = false
        do {
            return try await access.claimed(run, waits: true) { claim in
                let found = try await look(claim)
                isFound = true
                return try await body(found)
            }
        } catch let error as RunnerError where !isFound {
            throw user.decide(error)
        }
    }

    private func look(_ claim: ClaimedRun) async throws -> Found {
        var loaded = try await access.load(claim.run)
        try access.prepare(&loaded, forCall: start)
        let keeper = access.journal(claim, loaded)
        switch loaded.fold.calls.look(up: start) {
        case .completed(let completed): return .completed(completed)
        case .mismatch: return .mismatch
        case .unknown(let call) where call.mustBeSettled(before: start):
            return .unknown(keeper, call.position)
        case .none, .unknown: return .none(keeper)
        }
    }

    /// Records the start of the call in the key's run; durable when it returns.
    func begin(_ keeper: RunJournal) async throws -> UInt64 {
        let summary = keeper.summary
        var events: [RunEvent.Content] = []
        if summary.nextPosition == 0 {
            let state = JSONValue.object(["key": .string(key)]).canonicalBytes
            events.append(.created(RunCreation(loop: Self.loop, state: state)))
        }
        let attempt = AttemptID(step: 0, attempt: summary.nextAttempt)
        var start = start
        start.attempt = attempt
        events += [
            .resumed(holder: user.run.rawValue), .attemptStarted(attempt), .toolStarted(start),
        ]
        return try await record(events, in: keeper) + UInt64(events.count) - 1
    }

    /// Notes in the key's run that the user was paused for the call that is open there.
    func wait(for keeper: RunJournal) async throws {
        guard !keeper.summary.holder.hasSameBytes(as: user.run.rawValue) else { return }
        _ = try await record([.resumed(holder: user.run.rawValue)], in: keeper)
    }

    private func record(
        _ events: [RunEvent.Content], in keeper: RunJournal
    ) async throws -> UInt64 {
        do throws(RunnerError) {
            return try await keeper.record(events, isBarrier: true)
        } catch {
            throw user.decide(error)
        }
    }

    /// Settles the unfinished call of a key that a run made or was paused for.
    ///
    /// Not one that another run has made since: of that nobody has said anything.
    ///
    /// - Throws: ``RunnerError/sharedCallIsOver(_:_:)`` where the tool itself has ended the key's
    ///   call, and its run only did not hear of it.
    static func resolve(
        _ key: String, _ call: ToolCallTable.Call, as outcome: ToolFinish.Outcome, for run: RunID,
        _ access: RunAccess, waits: Bool = true
    ) async throws {
        let keeper = try keeper(of: key)
        try await access.claimed(keeper, waits: waits) { claim in
            var loaded = try await access.load(keeper)
            try access.prepare(&loaded, forCall: call.start)
            if case .completed(let completed) = loaded.fold.calls.look(up: call.start),
                completed.author == .tool
            {
                throw RunnerError.sharedCallIsOver(run, call.position)
            }
            guard let call = loaded.fold.calls.unfinished.last,
                try await users(of: call.position, in: keeper, access).contains(
                    ByteString(run.rawValue))
            else { return }
            try await access.journal(claim, loaded)
                .finish(call.position, outcome, by: .person, isBarrier: true)
        }
    }

    /// The run that made a call of the key's run, and those that were paused for it since.
    private static func users(
        of position: UInt64, in keeper: RunID, _ access: RunAccess
    ) async throws -> Set<ByteString> {
        var users: Set<ByteString> = []
        // Who made the call stands before it, in the same unit.
        let first = position >= 2 ? position - 2 : 0
        var events = try access.store.events([RunPart(keeper, from: first)])
        while let stored = try events.next() {
            guard case .resumed(let holder)? = try stored.event()?.content else { continue }
            if stored.place.position < position { users = [] }
            users.insert(ByteString(holder))
        }
        return users
    }
}
