internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

// Archiving: what was ended is gathered by run into an archive, which takes its place. One thread,
// the archiver, does all of it; each step may be cut by a crash.
//
//   1. plan       what to archive or merge next: see ``ArchivePlan``
//   2. build      a file that no manifest lists: written, synced, read back from the disk
//   3. tails      what recovery had set aside in the inputs is kept in quarantine/
//   4. manifest   the commit point: the archive in, its inputs out and listed as superseded
//   5. unlink     superseded files, when no reader has pinned a generation that lists them
//   6. manifest   the next one, whoever writes it, leaves out the rows of files that are gone
//
// A crash before 4 leaves an archive that is not listed, which the next opening removes. A failure
// of the work leaves the log as it was: appends go on, and the job is tried again after 1 second,
// then 2, 4 and so on up to 5 minutes. Only when nobody knows which manifest holds is the writer
// poisoned.

extension WriterCore {
    /// How long the archiver waits between two looks at superseded files that are pinned.
    private static let sweepNanoseconds: UInt64 = 2_000_000_000
    /// How long it leaves the disk to others after each 4 MiB.
    private static let yieldNanoseconds: UInt64 = 1_000_000

    /// The archiver's life.
    func archiveInBackground() {
        while true {
            let ends = monitor.wait { state -> MonitorStep<Bool> in
                guard case .open = state.phase, state.archiving.stopsAt == nil else {
                    return .finish(true)
                }
                if state.archiving.isDue(self.now) { return .finish(false) }
                return .wait(until: state.archiving.wakesAt)
            }
            if ends { return }
            archiveIfDue()
        }
    }

    /// Does one piece of the archiver's work, when some is due.
    func archiveIfDue() {
        guard let archiving = options.archiving else { return }
        let isClaimed = monitor.withLock { state -> Bool in
            guard case .open = state.phase, state.archiving.isDue(now) else { return false }
            state.archiving.isWorking = true
            state.archiving.sweepAt = nil
            return true
        }
        guard isClaimed else { return }
        let notices = archive(archiving)
        updateHold()
        monitor.withLock { $0.archiving.isWorking = false }
        monitor.notifyAll()
        notices.deliver()
    }

    /// Lets the archiver end what it does within a time, and begin nothing more.
    func stopArchiving(within nanoseconds: UInt64) {
        let deadline = now.addingSaturating(nanoseconds)
        // Whoever is told of the work would wait for itself: the work ends when it returns.
        let isTold = monitor.withLock { state in
            let isTold = state.archiving.toldThread == WorkerThread.currentIdentity
            state.archiving.stopsAt = isTold ? 0 : min(state.archiving.stopsAt ?? .max, deadline)
            state.archiving.holdsRolls = false
            return isTold
        }
        monitor.notifyAll()
        if isTold { return }
        monitor.wait { state -> MonitorStep<Void> in
            state.archiving.isWorking ? .wait(until: nil) : .finish(())
        }
    }

    /// Why the work ended without an archive.
    enum Ending: Error {
        /// Nothing changed; it is tried again later.
        case putOff(LogError)
        /// Nobody knows what holds: the writer must not go on.
        case unknown(LogError)
        /// The writer goes away.
        case stopped
    }

    private func archive(_ archiving: ArchivingOptions) -> Notices {
        do throws(Ending) {
            try sweep(archiving)
            let durable = monitor.withLock { $0.durableSequence }
            monitor.withLock { $0.archiving.hasWork = false }
            let manifest = manifests.manifest
            if let id = try attempt({ () throws(LogError) in
                try archiveToReindex(manifest, archiving)
            }) {
                try reindex(id, manifest, archiving)
                monitor.withLock { $0.archiving.hasWork = true }
                return Notices()
            }
            let job = ArchivePlan.next(manifest, durable: durable, merges: archiving.merges)
            guard let job else { return Notices() }
            try perform(job, manifest, archiving)
            monitor.withLock { state in
                state.archiving.succeed()
                state.archiving.hasWork = true
            }
            try sweep(archiving)
            if case .archive = job { archiving.onArchive() }
            return Notices()
        } catch {
            switch error {
            case .stopped: return Notices()
            case .unknown(let error): return poison(error)
            case .putOff(let error):
                monitor.withLock { state in
                    state.archiving.hasWork = true
                    state.archiving.fail(error, now: now)
                }
                return Notices()
            }
        }
    }

    @discardableResult
    func perform(
        _ job: ArchivePlan.Job, _ manifest: Manifest, _ archiving: ArchivingOptions
    ) throws(Ending) -> ManifestSegment? {
        let place = manifest.segments.firstIndex { $0.segmentID == job.inputs[0] }
        guard let first = place else { return nil }
        let range = first..<(first + job.inputs.count)
        let inputs = manifest.segments[range]
        try checkSpace(inputs)
        try checkPlace()
        let id = manifests.reserveSegmentID()
        let entry = try attempt { () throws(LogError) in
            try build(job, range, manifest, id, archiving)
        }
        do throws(Ending) {
            try attempt { () throws(LogError) in
                try storing("keeping what recovery had set aside") { () throws(StorageError) in
                    let tail = DiscardedTail(directory: maker.directory, storage: storage)
                    for input in inputs { try tail.keep(input) }
                }
            }
            try attempt { () throws(LogError) in try goOn() }
            try checkPlace()
            try commit(job.inputs, entry)
            return entry
        } catch {
            // No manifest lists it, unless nobody knows.
            if case .unknown = error {} else { try? storage.remove(maker.directory.archive(id)) }
            throw error
        }
    }

    private func build(
        _ job: ArchivePlan.Job, _ range: Range<Int>, _ manifest: Manifest, _ id: UInt64,
        _ archiving: ArchivingOptions
    ) throws(LogError) -> ManifestSegment {
        var steps = 0
        let pace = ArchivePace { () throws(LogError) in
            try self.goOn()
            steps += 1
            guard steps % 4 == 0, self.options.driver == .threads else { return }
            self.storage.machine.sleep(nanoseconds: Self.yieldNanoseconds)
        }
        var makesTables = false
        if case .reindex = job { makesTables = true }
        let neighbours = try ArchiveNeighbours(
            of: range, in: manifest, maker.directory, storage, forgivesNewer: makesTables)
        switch job {
        case .archive:
            let building = ArchiveBuilding(
                directory: maker.directory, storage: storage, semantics: archiving.semantics,
                pace: pace)
            return try building.build(range, of: manifest, as: id, beside: neighbours)
        case .merge, .rewrite:
            let merging = ArchiveMerging(
                directory: maker.directory, storage: storage, semantics: archiving.semantics,
                pace: pace)
            let inputs = Array(manifest.segments[range])
            var tier = inputs[0].tier
            if case .merge = job { tier = min(tier, .max - 1) + 1 }
            return try merging.merge(
                inputs, of: manifest, as: id, tier: tier, beside: neighbours)
        case .reindex:
            let reindexing = ArchiveReindexing(
                directory: maker.directory, storage: storage, semantics: archiving.semantics)
            return try reindexing.build(
                manifest.segments[range.lowerBound], of: manifest, as: id, beside: neighbours)
        }
    }

    /// Lists the archive in the place of what it was made of.
    private func commit(_ inputs: [UInt64], _ archive: ManifestSegment) throws(Ending) {
        do throws(LogError) {
            var isListed = false
            try manifests.edit { isListed = $0.supersede(inputs, by: archive) }
            guard isListed else {
                throw LogError(.limitExceeded, "what was archived is no longer in the log")
            }
        } catch {
            guard error.code == .outOfSpace || error.code == .limitExceeded else {
                throw .unknown(error)
            }
            throw .putOff(error)
        }
        let time = now
        monitor.withLock { state in
            for id in inputs { state.archiving.supersededSince[id] = time }
        }
    }

    /// Unlinks superseded files that no reader holds any more.
    ///
    /// - Parameter pinsHold: False where they go whoever reads them.
    /// - Returns: Those that are gone.
    @discardableResult
    func sweep(
        _ archiving: ArchivingOptions, pinsHold: Bool = true
    ) throws(Ending) -> [SupersededSegment] {
        let files = manifests.removable
        guard let newest = files.map(\.generation).max() else { return [] }
        let least = ReaderPins(directory: maker.directory, storage: storage).least(below: newest)
        let (since, time) = (monitor.withLock { $0.archiving.supersededSince }, now)
        var gone: [SupersededSegment] = []
        do throws(LogError) {
            gone = try SupersededFiles(
                directory: maker.directory, storage: storage, manifests: manifests
            )
            .remove { file in
                let age = time - (since[file.segmentID] ?? time)
                return !pinsHold || least >= file.generation
                    || age >= archiving.pinNanosecondsMax
            }
        } catch {
            guard error.code == .outOfSpace || error.code == .limitExceeded else {
                throw .unknown(error)
            }
        }
        let left = manifests.removable
        monitor.withLock { state in
            state.archiving.supersededSince = state.archiving.supersededSince.filter { id, _ in
                left.contains { $0.segmentID == id }
            }
            state.archiving.sweepAt =
                left.isEmpty ? nil : now.addingSaturating(Self.sweepNanoseconds)
        }
        return gone
    }

    func attempt<Result>(
        _ body: () throws(LogError) -> Result
    ) throws(Ending) -> Result {
        do throws(LogError) {
            return try body()
        } catch {
            if error.code == .closed { throw .stopped }
            throw .putOff(error)
        }
    }

    /// Throws once the writer goes away, or has failed.
    func goOn() throws(LogError) {
        let goesOn = monitor.withLock { state -> Bool in
            if case .poisoned = state.phase { return false }
            return state.archiving.stopsAt.map { now < $0 } ?? true
        }
        guard goesOn else { throw LogError(.closed, "the log was closed") }
    }

    func checkPlace() throws(Ending) {
        do throws(StorageError) {
            try checkInPlace()
        } catch {
            throw .unknown(LogError(error, doing: "archiving a segment"))
        }
    }

    /// The last of a disk belongs to the appends.
    func checkSpace(_ inputs: ArraySlice<ManifestSegment>) throws(Ending) {
        let root = maker.directory.root
        let available = (try? storage.availableBytes(at: root)) ?? .max
        let next = monitor.withLock { min($0.active.goal * 2, options.segmentBytesMax) }
        let needed = inputs.reduce(next) { $0 + Int($1.validEnd) }
        guard available < needed else { return }
        throw .putOff(
            LogError(
                .outOfSpace,
                "archiving: No space left on device: \(available) bytes are left, \(needed) are "
                    + "needed", path: root))
    }
}

// Back-pressure: where segments end faster than they are archived, appends that need a new one
// wait. Not for an archiver that cannot do its work.

extension WriterCore {
    /// Decides anew whether appends that need a new segment wait for the archiver.
    func updateHold() {
        guard let archiving = options.archiving else { return }
        let waiting = ArchivePlan.waiting(manifests.manifest.segments)
        let limit = archiving.waitingBytesMax ?? 4 * options.segmentBytesMax
        let holds = monitor.withLock { state -> Bool in
            let found = state.archiving.found
            let bytes = waiting.reduce(0) { sum, segment in
                found.contains(segment.segmentID) ? sum : sum + Int(segment.validEnd)
            }
            let isAble =
                state.archiving.failure == nil && state.archiving.stopsAt == nil
                && !state.archiving.isReserved
            state.archiving.holdsRolls = isAble && state.archiving.hasWork && bytes > limit
            return state.archiving.holdsRolls
        }
        if !holds { monitor.notifyAll() }
    }
}
