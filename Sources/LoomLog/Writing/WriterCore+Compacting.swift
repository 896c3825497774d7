internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

// Compaction: the archiver's work, done now and by the thread that asks for it. Each archive is
// rewritten and committed by itself, with the steps of WriterCore+Archiving, so that whoever stops
// halfway has a log with a part of the work done.
//
// Oldest first: the event that hides or deletes something stands in a newer archive than what it
// hides, and is rewritten when what it hides is gone.

extension WriterCore {
    func compact(
        _ order: CompactionOrder, _ report: (CompactionProgress) throws(LogError) -> Void
    ) throws(LogError) -> CompactionProgress {
        try withArchiver { archiving throws(LogError) in
            try checkCompactionSpace()
            if order.endsSegment {
                try endSegment()
            }
            let pinsHold = !order.removesAtOnce
            var progress = begunProgress { $0.state != .active }
            try archiveWaiting(archiving, &progress)
            let ids = manifests.manifest.segments.filter { $0.role == .archive }.map(\.segmentID)
            progress.archiveCount = ids.count
            for id in ids {
                try rewrite(id, archiving, &progress)
                progress.archivesDone += 1
                try sweep(archiving, pinsHold: pinsHold, &progress)
                try tell(progress, report)
                // Appends went on.
                var later = CompactionProgress()
                try archiveWaiting(archiving, &later)
            }
            try sweep(archiving, pinsHold: pinsHold, &progress)
            if !pinsHold { try checkGone() }
            return progress
        }
    }

    /// The progress of work on some segments that has not begun.
    func begunProgress(
        _ isAmong: (ManifestSegment) -> Bool
    ) -> CompactionProgress {
        var progress = CompactionProgress()
        progress.bytesBefore = manifests.manifest.segments.filter(isAmong)
            .reduce(0) { $0 + $1.validEnd }
        progress.bytesAfter = progress.bytesBefore
        return progress
    }

    private func sweep(
        _ archiving: ArchivingOptions, pinsHold: Bool, _ progress: inout CompactionProgress
    ) throws(LogError) {
        let gone = try ending { () throws(Ending) in
            try sweep(archiving, pinsHold: pinsHold)
        }
        progress.removed += gone.map {
            "\(FileName.segments)/\(FileName.segment($0.segmentID, role: $0.role))"
        }
    }

    /// Throws when the disk has no room for the largest file that may be rewritten and for what is
    /// appended meanwhile.
    func checkCompactionSpace() throws(LogError) {
        let segments = manifests.manifest.segments
        guard var input = segments.max(by: { $0.validEnd < $1.validEnd }) else { return }
        let active = monitor.withLock { UInt64($0.active.offset) }
        input.validEnd = max(input.validEnd, active)
        try ending { () throws(Ending) in try checkSpace([input][...]) }
    }

    /// Takes the archiver's place for a while.
    func withArchiver<Result>(
        _ body: (ArchivingOptions) throws(LogError) -> Result
    ) throws(LogError) -> Result {
        try checkFork()
        guard let archiving = options.archiving else {
            throw LogError(
                .limitExceeded, "this log is open without archives: there is nothing to rewrite",
                path: maker.directory.root)
        }
        try monitor.wait { state throws(LogError) -> MonitorStep<Void> in
            try state.checkArchiverGoesOn()
            if state.archiving.isReserved { return .wait(until: nil) }
            state.archiving.isReserved = true
            return .finish(())
        }
        var isWorking = false
        defer {
            monitor.withLock { state in
                state.archiving.isReserved = false
                if isWorking { state.archiving.isWorking = false }
                state.archiving.hasWork = true
            }
            updateHold()
            monitor.notifyAll()
        }
        // A close waits for the same, and may come first.
        try monitor.wait { state throws(LogError) -> MonitorStep<Void> in
            try state.checkArchiverGoesOn()
            if state.archiving.isWorking { return .wait(until: nil) }
            state.archiving.isWorking = true
            return .finish(())
        }
        isWorking = true
        updateHold()
        return try body(archiving)
    }

    /// Tells whoever asked for the work how far it is: it may close the log.
    func tell(
        _ progress: CompactionProgress, _ report: (CompactionProgress) throws(LogError) -> Void
    ) throws(LogError) {
        monitor.withLock { $0.archiving.toldThread = WorkerThread.currentIdentity }
        defer { monitor.withLock { $0.archiving.toldThread = nil } }
        try report(progress)
        try goOn()
    }

    /// Archives what has ended.
    private func archiveWaiting(
        _ archiving: ArchivingOptions, _ progress: inout CompactionProgress
    ) throws(LogError) {
        while true {
            try goOn()
            let durable = monitor.withLock { $0.durableSequence }
            let manifest = manifests.manifest
            guard let job = ArchivePlan.next(manifest, durable: durable, merges: false) else {
                return
            }
            try replace(job, archiving, &progress)
        }
    }

    private func rewrite(
        _ id: UInt64, _ archiving: ArchivingOptions, _ progress: inout CompactionProgress
    ) throws(LogError) {
        let manifest = manifests.manifest
        guard let index = manifest.segments.firstIndex(where: { $0.segmentID == id }) else {
            return
        }
        let search = CompactionSearch(
            directory: maker.directory, storage: storage, semantics: archiving.semantics,
            pace: ArchivePace { () throws(LogError) in try self.goOn() })
        if try search.isDue(index, of: manifest) {
            try replace(.rewrite(id), archiving, &progress)
        }
    }

    func replace(
        _ job: ArchivePlan.Job, _ archiving: ArchivingOptions,
        _ progress: inout CompactionProgress
    ) throws(LogError) {
        let manifest = manifests.manifest
        let before = manifest.segments.filter { job.inputs.contains($0.segmentID) }
            .reduce(0) { $0 + $1.validEnd }
        let entry = try ending { () throws(Ending) in try perform(job, manifest, archiving) }
        if let entry { progress.replace(before, by: entry.validEnd) }
    }

    /// What was deleted is gone only when its files are.
    private func checkGone() throws(LogError) {
        guard let left = manifests.removable.first else { return }
        throw LogError(
            .io, "a file that was replaced could not be removed: it still has what was deleted",
            path: maker.directory.segments.appending(
                FileName.segment(left.segmentID, role: left.role)))
    }

    func ending<Result>(
        _ body: () throws(Ending) -> Result
    ) throws(LogError) -> Result {
        do throws(Ending) {
            return try body()
        } catch {
            switch error {
            case .putOff(let error): throw error
            case .stopped: throw LogError(.closed, "the log was closed")
            case .unknown(let error):
                poison(error).deliver()
                throw error
            }
        }
    }
}

extension WriterState {
    /// Throws when nobody may take the archiver's place: the log is closed, or who asks is told of
    /// such work at the moment, and would wait for itself.
    fileprivate func checkArchiverGoesOn() throws(LogError) {
        try checkOpen()
        guard archiving.stopsAt == nil else { throw LogError(.closed, "the log was closed") }
        guard archiving.toldThread != WorkerThread.currentIdentity else {
            throw LogError(.limitExceeded, "a compaction is asked for in the report of another")
        }
    }
}
