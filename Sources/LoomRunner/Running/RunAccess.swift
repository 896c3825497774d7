internal import LoomFormat
internal import LoomModel

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
        var fold = RunFold()
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
            try await store.read(run, from: 0) { event, place in
                // What it means is not known, so the run cannot be driven past it.
                guard let event else { throw RunnerError.newerVersion(run, at: place.position) }
                try loaded.fold.apply(event, at: place)
                try loaded.track.apply(event)
                if case .created(let creation) = event.content { loaded.creation = creation }
            }
        } catch let error as RunFold.Violation {
            throw RunnerError.corrupt(run, error.description)
        } catch FormatError.unsupported {
            // Thrown while the next event was decoded: nothing else in a run has versions.
            throw RunnerError.newerVersion(run, at: loaded.fold.summary.nextPosition)
        } catch let error as FormatError {
            throw RunnerError.corrupt(run, error.description)
        } catch let error as RunStoreError {
            throw RunnerError(error)
        }
        return loaded
    }

    func journal(_ claimed: ClaimedRun, _ fold: RunFold) -> RunJournal {
        let journal = RunJournal(
            run: claimed.run, store: store, clock: clock, epoch: claimed.epoch, fold: fold)
        claimed.keep(journal)
        return journal
    }
}
