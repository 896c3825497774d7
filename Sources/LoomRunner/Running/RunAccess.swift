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
    func claimed<Result: Sendable>(
        _ run: RunID, waits: Bool = false, _ body: (RunClaim) async throws -> Result
    ) async throws -> Result {
        let claim = try await claim(run, waits: waits)
        do {
            let result = try await body(claim)
            await store.release(run, epoch: claim.epoch)
            return result
        } catch let error as StepStillRuns {
            // Two steps of one run must not run at once: the claim goes when the step does.
            Task {
                await error.ended()
                await store.release(run, epoch: claim.epoch)
            }
            throw error.reason
        } catch {
            await store.release(run, epoch: claim.epoch)
            throw error
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
        } catch let error as FormatError {
            throw RunnerError.corrupt(run, error.description)
        } catch let error as RunStoreError {
            throw RunnerError(error)
        }
        return loaded
    }

    func journal(_ run: RunID, _ claim: RunClaim, _ fold: RunFold) -> RunJournal {
        RunJournal(run: run, store: store, clock: clock, epoch: claim.epoch, fold: fold)
    }
}
