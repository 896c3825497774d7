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
        var outline = OutlineFold()
        var fold: RunFold { outline.fold }
        var track = StateTrack()
        var creation: RunCreation?
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

    func load(_ run: RunID) async throws -> Loaded {
        var loaded = Loaded()
        do {
            var events = try store.events([RunPart(run)])
            while let stored = try events.next() { try loaded.take(stored) }
        } catch let error as RunFold.Violation {
            throw RunnerError.corrupt(run, error.description)
        } catch FormatError.unsupported {
            // Thrown while the next event was decoded: nothing else in a run has versions.
            throw RunnerError.newerVersion(run, at: loaded.fold.summary.nextPosition)
        } catch let error as FormatError {
            throw RunnerError.corrupt(run, error.description)
        } catch let error as RunStoreError {
            throw RunnerError(error)
        } catch let error as LogError {
            throw RunnerError(RunStoreError(error))
        }
        return loaded
    }

    func journal(_ claimed: ClaimedRun, _ outline: OutlineFold = OutlineFold()) -> RunJournal {
        let journal = RunJournal(
            run: claimed.run, store: store, clock: clock, epoch: claimed.epoch, outline: outline)
        claimed.keep(journal)
        return journal
    }
}

extension RunAccess.Loaded {
    /// Takes the next event in.
    fileprivate mutating func take(_ stored: StoredEvent) throws {
        guard let event = try RunEvent(decoding: stored.body.rawSpan) else {
            // What it means is not known, so the run cannot be driven past it.
            throw RunnerError.newerVersion(stored.run, at: stored.place.position)
        }
        do throws(OutlineFold.Refusal) {
            try outline.apply(event, at: stored.place)
        } catch {
            switch error {
            case .violation(let violation): throw violation
            case .delta(let error): throw error
            }
        }
        try track.apply(event)
        if case .created(let creation) = event.content { self.creation = creation }
    }
}
