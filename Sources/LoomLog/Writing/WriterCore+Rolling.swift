internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

// Rolling: the active segment is sealed and the prepared one takes its place.
//
//   1. sync            what was acknowledged is durable in the old segment
//   2. seal, sync      the old segment is complete and says so
//   3. header, sync    the new segment names the old one's end
//   4. manifest        the commit point: the old one sealed, the new one active
//   5. switch          appends go on
//
// A crash before 4 leaves a sealed tail that the next opening finishes (rule E); the new file has
// no unit and is removed. No unit is appended between 1 and 5. Out of space in 4 can be tried
// again: what was sealed stays sealed, and the steps before are not repeated.

extension WriterCore {
    /// How long to wait before space is looked for again.
    private static let retryNanoseconds: UInt64 = 100_000_000

    /// Whether the next segment should be prepared now; takes the duty when it should.
    ///
    /// It is made when half of the active one is used, so that a short run leaves nothing to
    /// remove.
    func isPreparationDue(_ state: inout WriterState) -> Bool {
        guard case .open = state.phase else { return false }
        switch state.next {
        case .preparing, .ready: return false
        case .failed(_, let retryAt): return retryAt <= now || state.isRolling
        case .none:
            return state.isRolling || state.active.offset >= state.active.capacity / 2
        }
    }

    /// The preparer's life.
    func prepareInBackground() {
        while true {
            let ends = monitor.wait { state -> MonitorStep<Bool> in
                switch state.phase {
                case .open: break
                case .closing, .closed, .poisoned: return .finish(true)
                }
                if case .failed(_, let retryAt) = state.next, !state.isRolling {
                    return retryAt <= self.now ? .finish(false) : .wait(until: retryAt)
                }
                return self.isPreparationDue(&state) ? .finish(false) : .wait(until: nil)
            }
            if ends { return }
            prepareIfDue()
        }
    }

    /// Makes the next segment when it is due.
    func prepareIfDue() {
        let capacity = monitor.withLock { state -> Int? in
            guard isPreparationDue(&state) else { return nil }
            state.next = .preparing
            let doubled = min(options.segmentBytesMax, state.active.capacity * 2)
            return max(doubled, state.rollBytes).roundedUp(to: FormatLimits.pageBytes)
        }
        guard let capacity else { return }
        do throws(StorageError) {
            try checkInPlace()
        } catch {
            monitor.withLock { $0.next = .none }
            return poison(LogError(error, doing: "making the next segment"))
        }
        let next: WriterState.Next
        do throws(StorageError) {
            let id = manifests.reserveSegmentID()
            next = .ready(try maker.prepare(id, capacity: capacity))
        } catch {
            next = .failed(
                LogError(error, doing: "securing space for the log"),
                retryAt: now + Self.retryNanoseconds)
        }
        monitor.withLock { state in
            // A larger unit may have come while a smaller segment was made.
            if case .ready(let segment) = next, segment.capacity < state.rollBytes {
                maker.discard(segment)
                state.next = .none
            } else {
                state.next = next
            }
        }
        monitor.notifyAll()
    }

    /// Seals the active segment and makes the prepared one active.
    func roll() {
        let claimed = monitor.withLock { state -> PreparedSegment? in
            guard case .open = state.phase, !state.isSyncing, state.isRolling,
                case .ready(let prepared) = state.next
            else { return nil }
            state.isSyncing = true
            return prepared
        }
        guard let prepared = claimed else { return }
        var waiters: [WriterState.Waiter] = []
        defer { endSync(telling: waiters) }
        do throws(StorageError) {
            try checkInPlace()
            let file = monitor.withLock { $0.active.file }
            try file.syncData()
            try seal()
            try file.syncData()
            if try replaceActive(with: prepared, telling: &waiters) { try file.close() }
        } catch {
            poison(LogError(error, doing: "rolling to a new segment"))
        }
    }

    private func seal() throws(StorageError) {
        try monitor.withLock { state throws(StorageError) in
            // A roll that was held up by a full disk has sealed already.
            guard !state.active.isSealed else { return }
            state.active.durableOffset = state.active.offset
            try state.active.appendMark(
                .seal, sequence: state.nextSequence, payload: state.active.counts.encoded())
            try state.mark.publish(state.active.publishedWord)
        }
    }

    /// - Returns: Whether the segment was replaced; false when there was no room for the manifest.
    private func replaceActive(
        with prepared: PreparedSegment, telling waiters: inout [WriterState.Waiter]
    ) throws(StorageError) -> Bool {
        let (header, sealed) = monitor.withLock { state in nextHeader(prepared, state) }
        let active = try maker.begin(prepared, header: header, isFirstAfterOpen: false)
        do throws(LogError) {
            let entry = active.manifestEntry(state: .active, sequence: header.firstSequence)
            try manifests.edit { manifest in
                manifest.replaceLast(with: sealed)
                manifest.segments.append(entry)
            }
        } catch {
            guard error.code == .outOfSpace else {
                throw (error.cause as? StorageError)
                    ?? StorageError(.write, maker.directory.root, .ioError)
            }
            waiters = hold(prepared, error)
            return false
        }
        waiters = try monitor.withLock { state throws(StorageError) in
            state.active = active
            state.next = .none
            state.isRolling = false
            state.rollBytes = 0
            state.durableSequence = state.nextSequence
            state.unsyncedSince = 0
            try state.mark.publish(active.publishedWord)
            try state.mark.setDurable(active.durableWord)
            return state.takeDurableWaiters()
        }
        return true
    }

    /// The roll could not be finished for want of space: everything durable is told, the rest
    /// waits.
    private func hold(
        _ prepared: PreparedSegment, _ error: LogError
    ) -> [WriterState.Waiter] {
        maker.discard(prepared)
        return monitor.withLock { state in
            state.next = .failed(error, retryAt: now + Self.retryNanoseconds)
            state.durableSequence = state.nextSequence
            state.active.durableOffset = state.active.offset
            return state.takeDurableWaiters()
        }
    }

    /// The header of the next segment, and the entry that seals the active one.
    private func nextHeader(
        _ prepared: PreparedSegment, _ state: borrowing WriterState
    ) -> (SegmentHeader, ManifestSegment) {
        let machine = storage.machine
        let manifest = manifests.manifest
        let sealed = state.active.manifestEntry(state: .sealed, sequence: state.nextSequence)
        let header = SegmentHeader(
            storeID: manifest.storeID, segmentID: prepared.segmentID,
            writerID: manifest.writerID, writerEpoch: manifest.writerEpoch,
            firstSequence: state.nextSequence, salt: machine.random(),
            predecessor: Predecessor(
                segmentID: sealed.segmentID, byteLength: sealed.validEnd,
                lastHash: sealed.lastHash),
            created: machine.wallMicroseconds())
        return (header, sealed)
    }
}
