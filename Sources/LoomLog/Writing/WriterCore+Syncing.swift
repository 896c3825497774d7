internal import LoomFormat
internal import LoomStorage

// The commit protocol. A sync covers only stores that finished before it began, so the published
// offset is sampled before fdatasync and becomes the durable offset after it (order rules F3 and F4
// of FORMAT.md): MARK is moved only when fdatasync has returned, and waiters wake after MARK. One
// thread syncs at a time; while it does, appends go on and gather for the next sync. That is the
// group commit: nobody is delayed on purpose, and the group is whatever arrived during the sync
// before.

extension WriterCore {
    /// See ``LogWriter/whenDurable(_:_:)``.
    func whenDurable(_ position: LogPosition, _ callback: @escaping LogWriter.DurableCallback) {
        guard generation.isCurrent else { return callback(.forked) }
        let answer = monitor.withLock { state -> Result<Bool, LogError> in
            if position.nextSequence <= state.durableSequence { return .success(true) }
            do throws(LogError) { try state.checkOpen() } catch { return .failure(error) }
            if position > state.position {
                return .failure(
                    LogError(.limitExceeded, "position \(position.nextSequence) is not in the log"))
            }
            state.waiters.append(.init(position: position, callback: callback))
            state.demandedSequence = max(state.demandedSequence, position.nextSequence)
            return .success(false)
        }
        switch answer {
        case .success(true): callback(nil)
        case .success(false):
            monitor.notifyAll()
            if options.driver == .inline { runDueTasks() }
        case .failure(let error): callback(error)
        }
    }

    /// See ``LogWriter/waitUntilDurable(_:)``.
    ///
    /// A caller that may block becomes the leader when nobody syncs: it spares two thread switches.
    func waitUntilDurable(_ position: LogPosition) throws(LogError) {
        try checkFork()
        while true {
            let task = try monitor.wait { state throws(LogError) -> MonitorStep<WriterTask?> in
                if position.nextSequence <= state.durableSequence { return .finish(nil) }
                try state.checkOpen()
                if position > state.position {
                    throw LogError(
                        .limitExceeded, "position \(position.nextSequence) is not in the log")
                }
                if let task = state.taskOfCallback() { return .finish(task) }
                // The worker leads a roll: it has to come to it. One that waits for the archiver is
                // not waited for.
                let comesToRoll = state.isRolling && !state.archiving.holdsRolls
                return state.isSyncing || comesToRoll ? .wait(until: nil) : .finish(.sync)
            }
            guard let task else { return }
            perform(task)
        }
    }

    /// What a sync covers, sampled before it begins.
    private struct Sample {
        let file: any StorageFile
        let offset: Int
        let sequence: UInt64
    }

    /// Takes the right to sync; `nil` when another thread has it or the writer has ended.
    private func beginSync() -> Sample? {
        monitor.withLock { state in
            guard case .open = state.phase, !state.isSyncing else { return nil }
            state.isSyncing = true
            return Sample(
                file: state.active.file, offset: state.active.offset,
                sequence: state.nextSequence)
        }
    }

    /// Gives the right to sync back, wakes whoever waits for it, and then tells the waiters.
    ///
    /// In this order, in failure as in success: a callback may hold the last reference to the
    /// writer, or close it, and both wait for the right.
    func endSync(telling notices: consuming Notices) {
        monitor.withLock { $0.isSyncing = false }
        monitor.notifyAll()
        notices.deliver()
    }

    /// Syncs everything that is published now.
    func sync() {
        guard let sample = beginSync() else { return }
        endSync(telling: cover(sample))
    }

    /// Syncs a sample and returns who waited for it; poisons the writer when that fails.
    private func cover(_ sample: Sample) -> Notices {
        do throws(StorageError) {
            try sample.file.syncData()
            return try markDurable(sample)
        } catch {
            return poison(LogError(error, doing: "syncing the log"))
        }
    }

    /// Records that a sample is durable and returns who waited for it.
    private func markDurable(_ sample: Sample) throws(StorageError) -> Notices {
        try monitor.withLock { state throws(StorageError) in
            state.active.durableOffset = sample.offset
            state.durableSequence = sample.sequence
            let time = now
            state.unsyncedSince = state.unsyncedBytes > 0 ? time : 0
            state.quietSince = time
            try state.mark.setDurable(state.active.durableWord)
            return state.takeDurableWaiters()
        }
    }

    /// Proves on disk that the end is the end, once the log is quiet and synced. Nobody waits for
    /// it.
    func mark() {
        guard beginSync() != nil else { return }
        endSync(telling: coverMark())
    }

    private func coverMark() -> Notices {
        let sample: Sample?
        do throws(StorageError) {
            sample = try monitor.withLock { state throws(StorageError) in
                // A unit may have come in since the mark was found due.
                guard state.unsyncedBytes == 0, state.active.hasRoomForMark else { return nil }
                try state.active.appendMark(.syncMark, sequence: state.nextSequence)
                try state.mark.publish(state.active.publishedWord)
                return Sample(
                    file: state.active.file, offset: state.active.offset,
                    sequence: state.nextSequence)
            }
        } catch {
            return poison(LogError(error, doing: "marking the end of the log"))
        }
        return sample.map(cover) ?? Notices()
    }

    /// Takes the space into use that the preparer filled behind the active segment.
    ///
    /// One sync makes the new size durable and covers what was published before. It holds the right
    /// to sync: of two syncs of one file at once, one could take the other's failure away.
    func grow() {
        guard let sample = beginSync() else { return }
        endSync(telling: coverGrowth(sample))
    }

    private func coverGrowth(_ sample: Sample) -> Notices {
        let filled = monitor.withLock { state -> Int? in
            if case .growth(let capacity) = state.next { capacity } else { nil }
        }
        guard let filled else { return Notices() }
        do throws(StorageError) {
            try sample.file.sync()
            // Without a mapping of the new space, stores there are positional.
            let isMapped = (try? sample.file.mapForAppending(length: filled)) ?? false
            monitor.withLock { state in
                state.active.grow(to: filled, isMapped: isMapped)
                state.next = .none
                state.endRoll()
            }
            return try markDurable(sample)
        } catch {
            return poison(LogError(error, doing: "growing the segment"))
        }
    }
}
