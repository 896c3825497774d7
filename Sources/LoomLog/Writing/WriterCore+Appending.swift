internal import LoomFormat
internal import LoomStorage

extension WriterCore {
    private enum Attempt {
        case appended(Appended, wakesWorker: Bool)
        case noRoom
    }

    /// See ``LogWriter/append(_:)``.
    func append(_ unit: borrowing RecordUnit) throws(LogError) -> Appended {
        try checkFork()
        try validate(unit)
        while true {
            let attempt: Attempt
            do throws(StorageFailure) {
                attempt = try monitor.withLock { state throws(StorageFailure) in
                    try self.attempt(unit, &state)
                }
            } catch {
                switch error {
                case .refused(let error): throw error
                case .failed(let error):
                    let failure = LogError(error, doing: "appending")
                    poison(failure)
                    throw LogError(
                        .poisoned, failure.message, path: failure.path, cause: failure)
                }
            }
            switch attempt {
            case .appended(let appended, let wakesWorker):
                if wakesWorker { monitor.notifyAll() }
                return appended
            case .noRoom:
                try makeRoom()
            }
        }
    }

    /// A refusal changed nothing; a failure of the storage is the end of this writer.
    private enum StorageFailure: Error {
        case refused(LogError)
        case failed(StorageError)
    }

    private func validate(_ unit: borrowing RecordUnit) throws(LogError) {
        guard unit.eventCount > 0 else {
            throw LogError(.limitExceeded, "a unit without events")
        }
        guard unit.payloadBytesMax <= FormatLimits.unitBytesMax else {
            throw LogError(
                .limitExceeded,
                "a unit of \(unit.payloadBytesMax) bytes, above \(FormatLimits.unitBytesMax)")
        }
    }

    private func attempt(
        _ unit: borrowing RecordUnit, _ state: inout WriterState
    ) throws(StorageFailure) -> Attempt {
        do throws(LogError) { try state.checkOpen() } catch { throw .refused(error) }
        guard !state.isRolling, !state.active.isSealed, state.active.hasRoom(for: unit) else {
            state.isRolling = true
            state.rollBytes = max(state.rollBytes, segmentBytes(for: unit))
            return .noRoom
        }
        let isBarrier = unit.isBarrier && options.durability != .off
        let place = LogPlace(segmentID: state.active.segmentID, offset: state.active.offset)
        do throws(StorageError) {
            if unit.isBarrier { try checkInPlace(state.active) }
            try state.active.append(
                unit, sequence: state.nextSequence,
                isBarrier: isBarrier || options.durability == .full)
            try state.mark.publish(state.active.publishedWord)
        } catch {
            // Before the lock is given up: nobody may store where this store was cut.
            state.phase = .poisoned(LogError(error, doing: "appending"))
            throw .failed(error)
        }
        let wakesWorker = wakesWorker(&state)
        return .appended(acknowledge(unit, isBarrier, place, &state), wakesWorker: wakesWorker)
    }

    private func acknowledge(
        _ unit: borrowing RecordUnit, _ isBarrier: Bool, _ place: LogPlace,
        _ state: inout WriterState
    ) -> Appended {
        state.nextSequence += UInt64(unit.eventCount)
        if state.unsyncedSince == 0 && options.durability != .off { state.unsyncedSince = now }
        let needsSync =
            switch options.durability {
            case .off: false
            case .normal: isBarrier || state.unsyncedBytes > options.unsyncedBytesMax
            case .full: true
            }
        return Appended(position: state.position, needsSync: needsSync, place: place)
    }

    /// The worker is woken only when it sleeps and its next task moved: not for every append.
    private func wakesWorker(_ state: inout WriterState) -> Bool {
        let prepares = isPreparationDue(&state)
        // In `full` whoever waits for the unit sees to its sync; `off` asks for none.
        guard state.workerSleeps, options.durability == .normal else { return prepares }
        let isFirst = state.unsyncedSince == 0
        return prepares || isFirst || state.unsyncedBytes >= options.syncBytes
    }

    /// The segment size that a unit needs: most units fit any.
    private func segmentBytes(for unit: borrowing RecordUnit) -> Int {
        ActiveSegment.byteCountMax(payloadCount: unit.payloadBytesMax)
            + SegmentHeader.byteCount + 2 * FormatLimits.sealReserveBytes
    }

    /// Waits until a new segment is active, or until it is known that there will be none.
    private func makeRoom() throws(LogError) {
        monitor.notifyAll()
        if options.driver == .inline { runDueTasks() }
        try monitor.wait { state throws(LogError) -> MonitorStep<Void> in
            try state.checkOpen()
            guard state.isRolling else { return .finish(()) }
            if case .failed(let error, _) = state.next {
                // Nothing was appended: smaller units may still fit, and the next call tries again.
                state.isRolling = false
                throw error
            }
            return .wait(until: nil)
        }
    }
}
