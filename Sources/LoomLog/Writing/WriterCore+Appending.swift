internal import LoomFormat
internal import LoomStorage

extension WriterCore {
    private enum Attempt {
        case appended(Appended, wakesWorker: Bool)
        case noRoom(RoomRequest)
    }

    /// What a unit that found no room waits for.
    private struct RoomRequest {
        /// Bytes that a segment must have for the unit.
        let need: Int
        /// Refusals of space before this request: they answer others.
        let shortagesBefore: UInt64
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
                    poison(failure).deliver()
                    throw LogError(
                        .poisoned, failure.message, path: failure.path, cause: failure)
                }
            }
            switch attempt {
            case .appended(let appended, let wakesWorker):
                if wakesWorker { monitor.notifyAll() }
                return appended
            case .noRoom(let request):
                try makeRoom(request)
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
            return .noRoom(try requestRoom(segmentBytes(for: unit), &state))
        }
        let isBarrier = unit.isBarrier && options.durability != .off
        let place = LogPlace(segmentID: state.active.segmentID, offset: state.active.offset)
        do throws(StorageError) {
            if unit.isBarrier { try checkInPlace(state) }
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

    /// Ends the active segment, unless it has no event: then what it holds can be archived.
    func endSegment() throws(LogError) {
        let ended = monitor.withLock { $0.active.segmentID }
        let need = SegmentHeader.byteCount + 2 * FormatLimits.sealReserveBytes
        while true {
            let request = try monitor.withLock { state throws(LogError) -> RoomRequest? in
                try state.checkOpen()
                guard state.active.segmentID == ended,
                    state.active.firstSequence < state.nextSequence
                else { return nil }
                do throws(StorageFailure) {
                    return try self.requestRoom(need, &state)
                } catch {
                    switch error {
                    case .refused(let error): throw error
                    case .failed(let error): throw LogError(error, doing: "ending a segment")
                    }
                }
            }
            guard let request else { return }
            try makeRoom(request)
        }
    }

    /// The worker is woken only when it sleeps and its next task moved: not for every append.
    private func wakesWorker(_ state: inout WriterState) -> Bool {
        let prepares = state.active.wantsSpace && isPreparationDue(&state)
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

    /// Asks for room. Where space was just filled in vain, the answer is the same without a try.
    private func requestRoom(
        _ need: Int, _ state: inout WriterState
    ) throws(StorageFailure) -> RoomRequest {
        if let shortage = state.shortage, shortage.need <= need, now < shortage.pausesUntil {
            throw .refused(shortage.error)
        }
        state.isRolling = true
        state.rollBytes = max(state.rollBytes, need)
        return RoomRequest(need: need, shortagesBefore: state.shortageCount)
    }

    /// Waits until there is more room, or until it is known that there will be none.
    private func makeRoom(_ request: RoomRequest) throws(LogError) {
        monitor.notifyAll()
        if options.driver == .inline { runDueTasks() }
        while true {
            let task = try monitor.wait { state throws(LogError) -> MonitorStep<WriterTask?> in
                try state.checkOpen()
                if state.shortageCount != request.shortagesBefore, let shortage = state.shortage {
                    // What was refused may have been for a larger unit: then this one asks again.
                    if shortage.need <= request.need { throw shortage.error }
                    return .finish(nil)
                }
                guard state.isRolling else { return .finish(nil) }
                if let task = state.taskOfCallback() { return .finish(task) }
                return .wait(until: nil)
            }
            guard let task else { return }
            perform(task)
        }
    }
}
