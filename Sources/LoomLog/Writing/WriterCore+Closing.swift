internal import LoomFormat
internal import LoomStorage

// Closing: what is live is read whole by the next opening and by every reader, so a close leaves
// little of it. Archiving it is a favour to them: whatever becomes of it, the log is closed.

extension WriterCore {
    /// Archives what is live when it is much, as far as that is done within the time that the
    /// archiver has to end; see ``stopArchiving(within:)``, which has been called.
    ///
    /// A full disk, damage or the end of the time leave the log as it was. Only where nobody knows
    /// which manifest holds, or which bytes are durable, has the writer failed, as ever.
    func archiveBeforeClosing() {
        guard let archiving = options.archiving, claimArchiving(archiving) else { return }
        defer {
            monitor.withLock { $0.archiving.isWorking = false }
            monitor.notifyAll()
        }
        do throws(Ending) {
            try attempt { () throws(LogError) in
                try goOn()
                try endSegment()
            }
            while let job = nextBeforeClosing {
                try attempt { () throws(LogError) in try goOn() }
                try perform(job, manifests.manifest, archiving)
            }
            try sweep(archiving)
        } catch {
            if case .unknown(let error) = error { poison(error).deliver() }
        }
    }

    private var nextBeforeClosing: ArchivePlan.Job? {
        let durable = monitor.withLock { $0.durableSequence }
        return ArchivePlan.next(manifests.manifest, durable: durable, merges: false)
    }

    /// Takes the archiver's place when there is enough to be done and nothing stands against it.
    private func claimArchiving(_ archiving: ArchivingOptions) -> Bool {
        let waiting = ArchivePlan.waiting(manifests.manifest.segments)
            .reduce(0) { $0 + Int($1.validEnd) }
        return monitor.withLock { state in
            guard case .open = state.phase, !state.archiving.isWorking,
                state.archiving.failure == nil,
                waiting + state.active.offset > archiving.liveBytesKept
            else { return false }
            state.archiving.isWorking = true
            return true
        }
    }
}
