internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRuns

/// How a runner gets at a run in its store: claims it, reads it, lets go of it.
struct RunAccess: Sendable {
    let store: any RunStore
    let clock: any RunClock
    /// Who claims, with the process that the store names: readers compare it with the log's holder.
    let holder: String

    init(store: any RunStore, options: RunnerOptions) {
        self.store = store
        clock = options.clock
        let process = store.writer
        let name = options.holder ?? process
        holder = name.contains(process) ? name : "\(name), \(process)"
    }

    /// A run as its events say it is.
    struct Loaded: Sendable {
        let run: RunID
        var outline = OutlineFold()
        /// Where the fold looks up calls of the past, as it goes on from an outline.
        var past: SourcePast?
        var fold: RunFold { outline.fold }
        var track = StateTrack()
    }

    private static let pollMicroseconds: UInt64 = 1_000

    /// Runs `body` with the run claimed; one that is held is refused, or waited for.
    ///
    /// The claim goes when nothing of the run goes on in this process: two steps of one run must
    /// not run at once, and a call that still runs must not be settled, or made again.
    func claimed<Result: Sendable>(
        _ run: RunID, waits: Bool = false, _ body: (ClaimedRun) async throws -> Result
    ) async throws -> Result {
        let claimed = ClaimedRun(run, try await claim(run, waits: waits))
        do {
            let result = try await body(claimed)
            await release(claimed)
            return result
        } catch let error as StepStillRuns {
            releaseLater(claimed, after: error)
            throw error.reason
        } catch {
            await release(claimed)
            throw error
        }
    }

    private func release(_ claimed: ClaimedRun) async {
        claimed.close()
        if claimed.callInFlight != nil { return releaseLater(claimed) }
        await store.release(claimed.run, epoch: claimed.epoch)
    }

    private func releaseLater(_ claimed: ClaimedRun, after step: StepStillRuns? = nil) {
        let entry = BusyRuns.add(claimed.run, of: store) { claimed.callInFlight }
        Task {
            await step?.ended()
            await claimed.becomesIdle()
            entry?.remove()
            await store.release(claimed.run, epoch: claimed.epoch)
        }
    }

    private func claim(_ run: RunID, waits: Bool) async throws -> RunClaim {
        while true {
            do throws(RunStoreError) {
                return try await store.claim(run, holder: holder)
            } catch .held where waits {
                try await clock.sleep(microseconds: Self.pollMicroseconds)
                await Task.yield()
            } catch {
                if case .held = error, let reason = BusyRuns.reason(run, of: store) { throw reason }
                throw RunnerError(error)
            }
        }
    }

    /// Reads what drives a run on: its outline, its present step, and its state from the last whole
    /// one on.
    func load(_ run: RunID) async throws -> Loaded {
        try reading(run) {
            guard let row = try store.row(of: run) else { return Loaded(run: run) }
            let outline = row.outline
            switch row.readError {
            case nil: break
            case .newerVersion:
                throw RunnerError.newerVersion(run, at: outline.summary.nextPosition)
            case let error?: throw RunnerError.corrupt(run, error.description)
            }
            if let violation = outline.violations.first {
                throw RunnerError.corrupt(run, violation.description)
            }
            // What it means is not known, so the run cannot be driven past it.
            if let unknown = outline.unknownEvent {
                throw RunnerError.newerVersion(run, at: unknown)
            }
            let past = SourcePast(store, run, before: outline.summary.nextPosition)
            var loaded = Loaded(
                run: run, outline: OutlineFold(resuming: outline), past: past)
            try loaded.outline.prepareToDrive(from: past)
            let end = outline.summary.nextPosition
            do {
                let whole = RunPart(run, from: outline.state.wholeState, before: end)
                loaded.track = try track(of: whole)
            } catch is FormatError {
                // What was live when the row was read has been archived, without the states that
                // policies hide: from the creation on everything fits together.
                loaded.track = try track(of: RunPart(run, before: end))
            }
            return loaded
        }
    }

    /// The states of a part of a run, which begins with a whole one.
    private func track(of part: RunPart) throws -> StateTrack {
        var track = StateTrack()
        var events = try store.events([part])
        while let stored = try events.next() {
            if let event = try stored.event() { try track.apply(event) }
        }
        return track
    }

    /// Looks up the call that `start` would make.
    func prepare(_ loaded: inout Loaded, forCall start: ToolStart) throws {
        guard let past = loaded.past else { return }
        try reading(loaded.run) { try loaded.outline.prepare(forCall: start, from: past) }
    }

    /// Looks up the call that began at a position.
    func prepare(_ loaded: inout Loaded, forCallAt position: UInt64) throws {
        guard let past = loaded.past else { return }
        try reading(loaded.run) { try loaded.outline.prepare(forCallAt: position, from: past) }
    }

    /// The first event of a run.
    func creation(of run: RunID) throws -> RunCreation? {
        guard case .created(let creation)? = try content(at: 0, of: run) else { return nil }
        return creation
    }

    /// The epoch of the first event of a run: another run of the same name has another one.
    func creationEpoch(of run: RunID) throws -> UInt64? {
        try reading(run) {
            var events = try store.events([RunPart(run, before: 1)])
            return try events.next()?.place.epoch
        }
    }

    /// The result of a run, if it is completed.
    func result(of run: RunID, _ summary: RunSummary) throws -> [UInt8]? {
        guard let end = summary.end,
            case .runCompleted(_, let result)? = try content(at: end, of: run)
        else { return nil }
        return result
    }

    private func content(at position: UInt64, of run: RunID) throws -> RunEvent.Content? {
        try reading(run) {
            var events = try store.events([RunPart(run, from: position, before: position + 1)])
            return try events.next()?.event()?.content
        }
    }

    /// Says as a runner does why a run cannot be read.
    private func reading<Result>(_ run: RunID, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as RunReadError {
            throw RunnerError.corrupt(run, error.description)
        } catch let error as FormatError {
            throw RunnerError.corrupt(run, error.description)
        } catch let error as RunStoreError {
            throw RunnerError(error)
        } catch let error as LogError {
            throw RunnerError(RunStoreError(error))
        }
    }

    func journal(_ claimed: ClaimedRun, _ loaded: Loaded? = nil) -> RunJournal {
        let journal = RunJournal(
            run: claimed.run, store: store, clock: clock, epoch: claimed.epoch,
            outline: loaded?.outline ?? OutlineFold(), past: loaded?.past)
        claimed.keep(journal)
        return journal
    }
}
