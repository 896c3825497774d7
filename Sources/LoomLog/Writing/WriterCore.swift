internal import LoomFormat
internal import LoomStorage

/// The writer's work, shared between the callers, the worker and the preparer.
final class WriterCore: Sendable {
    let monitor: Monitor<WriterState>
    let options: LogOptions
    let storage: any AnchoredStorage
    let maker: SegmentMaker
    let manifests: ManifestEditor
    let holder: String
    private let lock: any StorageLock
    let generation = ForkGeneration.current

    init(opening: LogOpening, opened: LogOpening.Opened) {
        options = opening.options
        storage = opening.storage
        maker = opening.maker
        manifests = opened.manifests
        holder = opening.holder
        lock = opened.lock
        let now = opening.storage.machine.monotonicNanoseconds()
        monitor = Monitor(
            WriterState(
                active: opened.active, mark: opened.mark, nextSequence: opened.nextSequence,
                archiving: ArchivingState(opened.manifests.manifest, now: now), now: now))
    }

    var now: UInt64 { storage.machine.monotonicNanoseconds() }

    /// Throws in a forked child: it has neither the threads nor the lock. To be called before the
    /// monitor is locked, which a thread of the parent may have held at the fork.
    func checkFork() throws(LogError) {
        if !generation.isCurrent { throw .forked }
    }

    /// Throws when the log is no longer where it was opened: what is written would be out of reach,
    /// or end up in another log.
    func checkInPlace(_ state: borrowing WriterState) throws(StorageError) {
        try storage.checkInPlace([lock.place, state.mark.place, state.active.place])
        // A copy over the files leaves them where they are: then what was last written is gone.
        try state.active.checkLastBlock()
        try state.mark.check(state.active.publishedWord)
    }

    func checkInPlace() throws(StorageError) {
        try monitor.withLock { state throws(StorageError) in try checkInPlace(state) }
    }

    /// Starts the threads, if there are to be any.
    func start() throws(LogError) {
        guard options.driver == .threads else { return }
        do throws(StorageError) {
            try WorkerThread.start("loom-sync") { self.work() }
            try WorkerThread.start("loom-prepare") { self.prepareInBackground() }
            guard options.archiving != nil else { return }
            try WorkerThread.start("loom-archive") { self.archiveInBackground() }
        } catch {
            abandon()
            throw LogError(error, doing: "starting the threads of the log")
        }
    }

    /// The worker's life: what is due, until the writer ends.
    private func work() {
        monitor.withLock { $0.workerIdentity = WorkerThread.currentIdentity }
        while true {
            let task = monitor.wait { state -> MonitorStep<WriterTask> in
                state.workerSleeps = false
                let task = state.nextTask(options: self.options, now: self.now)
                guard case .sleep(let until) = task else { return .finish(task) }
                state.workerSleeps = true
                return .wait(until: until)
            }
            if case .finish = task { return }
            perform(task)
        }
    }

    func perform(_ task: WriterTask) {
        switch task {
        case .sync: sync()
        case .mark: mark()
        case .grow: grow()
        case .roll: roll()
        case .finish, .sleep: break
        }
    }

    /// Without threads: everything that is due, by the caller.
    func runDueTasks() {
        guard options.driver == .inline, generation.isCurrent else { return }
        while true {
            prepareIfDue()
            // Who waits for the archiver is the archiver.
            if monitor.withLock({ $0.isRolling && $0.archiving.holdsRolls }) { archiveIfDue() }
            let task = monitor.withLock { $0.nextTask(options: options, now: now) }
            switch task {
            case .finish, .sleep: return
            default: perform(task)
            }
        }
    }

    /// Stops everything that stores: the first failure holds.
    ///
    /// - Returns: Every waiter, to be told when the calling thread holds nothing of the writer.
    func poison(_ error: LogError) -> Notices {
        let told = LogError(
            .poisoned, "not durable: \(error.message)", path: error.path, cause: error)
        let notices = monitor.withLock { state in
            let cause = error.cause as? StorageError
            if let cause, cause.operation == .sync { state.mark.disown() }
            switch state.phase {
            case .open, .closing: state.phase = .poisoned(error)
            case .closed, .poisoned: break
            }
            return state.takeWaiters(telling: told)
        }
        monitor.notifyAll()
        return notices
    }

    /// Ends in good order: the log is durable, says so by its close block, and takes no more space
    /// than it needs.
    func close() throws(LogError) {
        try checkFork()
        stopArchiving(within: options.archiving?.closeNanosecondsMax ?? 0)
        archiveBeforeClosing()
        switch quiesce(for: .closing) {
        case .ended: return
        case .poisoned(let error):
            release(removesPrepared: false)
            throw error
        case .quiet: break
        }
        monitor.notifyAll()
        let (notices, failure) = finish()
        release(removesPrepared: failure == nil)
        notices.deliver()
        if let failure { throw failure }
    }

    /// Goes away without a word, as a killed process does: the next opening recovers.
    func abandon() {
        guard generation.isCurrent else { return }
        stopArchiving(within: 0)
        switch quiesce(for: .closed) {
        case .ended: return
        case .poisoned: release(removesPrepared: false)
        case .quiet:
            let error = LogError(.closed, "the writer went away before this was durable")
            let notices = monitor.withLock { $0.takeWaiters(telling: error) }
            monitor.notifyAll()
            release(removesPrepared: true)
            notices.deliver()
        }
    }

    private enum Quiescence {
        /// No thread works on the files, and none will.
        case quiet
        /// The writer had ended before.
        case ended
        /// An earlier failure had stopped it; this call ends it.
        case poisoned(LogError)
    }

    /// Waits until no other thread works on the files, then sets the phase.
    private func quiesce(for phase: WriterState.Phase) -> Quiescence {
        monitor.wait { state -> MonitorStep<Quiescence> in
            if state.isSyncing { return .wait(until: nil) }
            if case .preparing = state.next { return .wait(until: nil) }
            switch state.phase {
            case .closed: return .finish(.ended)
            case .closing: return .wait(until: nil)
            case .poisoned(let error):
                state.phase = .closed
                return .finish(.poisoned(error))
            case .open:
                state.phase = phase
                return .finish(.quiet)
            }
        }
    }

    /// Syncs, writes the close block behind what is durable, syncs it, gives blank space back,
    /// and names the end in a manifest.
    ///
    /// - Returns: Who is to be told, and why it failed if it did.
    private func finish() -> (Notices, LogError?) {
        // Nothing is written behind a seal whose roll a full disk held up: opening finishes it.
        let needsMark = monitor.withLock {
            !$0.active.isSealed && ($0.unsyncedBytes > 0 || !$0.active.endsInClose)
        }
        do throws(LogError) {
            if needsMark {
                do throws(StorageError) {
                    try writeCloseBlock()
                } catch {
                    throw LogError(error, doing: "closing the log")
                }
            }
            giveBlankSpaceBack()
            if needsMark { try nameEnd() }
        } catch {
            return (poison(error), error)
        }
        let notices = monitor.withLock { state in
            state.phase = .closed
            return state.takeDurableWaiters()
        }
        monitor.notifyAll()
        return (notices, nil)
    }

    private func writeCloseBlock() throws(StorageError) {
        try checkInPlace()
        let file = monitor.withLock { $0.active.file }
        try file.syncData()
        try monitor.withLock { state throws(StorageError) in
            state.active.durableOffset = state.active.offset
            state.durableSequence = state.nextSequence
            try state.active.appendMark(.close, sequence: state.nextSequence)
            try state.mark.publish(state.active.publishedWord)
        }
        try file.syncData()
        try monitor.withLock { state throws(StorageError) in
            state.active.durableOffset = state.active.offset
            try state.mark.setDurable(state.active.durableWord)
        }
    }

    /// Cuts off what was filled ahead of need. On a full disk that makes room for the manifest.
    ///
    /// Best effort: what stays takes space and harms nothing.
    private func giveBlankSpaceBack() {
        let (file, kept) = monitor.withLock { ($0.active.file, $0.active.leastCapacity) }
        try? file.truncate(to: kept)
    }

    /// Records the closed end in a manifest, so that a later loss of the end is found and the next
    /// writer goes on in this segment.
    ///
    /// Without room for a manifest the log is closed all the same: everything is durable, and the
    /// next writer begins a segment.
    private func nameEnd() throws(LogError) {
        let entry = monitor.withLock {
            $0.active.manifestEntry(state: .active, sequence: $0.nextSequence)
        }
        do throws(LogError) {
            try manifests.edit { $0.replaceLast(with: entry) }
        } catch {
            guard error.code == .outOfSpace || error.code == .limitExceeded else { throw error }
        }
    }

    /// Gives up all files, and the lock last: nothing of them is mapped any more when somebody else
    /// opens the log and judges what the disk has.
    ///
    /// - Parameter removesPrepared: False after a failure: a manifest whose sync failed may name
    ///   the file.
    private func release(removesPrepared: Bool) {
        let (prepared, file, mark) = monitor.withLock { state in
            var prepared: PreparedSegment?
            if case .segment(let segment) = state.next { prepared = segment }
            state.next = .none
            return (prepared, state.active.file, state.mark)
        }
        if let prepared {
            if removesPrepared { maker.discard(prepared) } else { try? prepared.file.close() }
        }
        try? file.close()
        mark.close()
        lock.release()
    }
}
