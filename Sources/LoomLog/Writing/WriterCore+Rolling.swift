internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

// Rolling: the active segment is sealed and the prepared one takes its place.
//
//   1. sync            what was acknowledged is durable in the old segment
//   2. seal, sync      the old segment is complete and says so
//   3. header, sync    the new segment names the old one's end
//   4. manifest        the commit point: the old one sealed, the new one active
//   5. switch          appends go on; the archiver has a segment more
//
// A crash before 4 leaves a sealed tail that the next opening finishes (rule E); the new file has
// no unit and is removed. No unit is appended between 1 and 5. Out of space in 4 can be tried
// again: what was sealed stays sealed, and the steps before are not repeated.

extension WriterCore {
    /// Seals the active segment and makes the prepared one active.
    func roll() {
        let claimed = monitor.withLock { state -> PreparedSegment? in
            guard case .open = state.phase, !state.isSyncing, state.isRolling,
                case .segment(let prepared) = state.next
            else { return nil }
            state.isSyncing = true
            return prepared
        }
        guard let prepared = claimed else { return }
        endSync(telling: rollOver(to: prepared))
    }

    private func rollOver(to prepared: PreparedSegment) -> Notices {
        do throws(StorageError) {
            try checkInPlace()
            let file = monitor.withLock { $0.active.file }
            try file.syncData()
            try seal()
            try file.syncData()
            let end = monitor.withLock { $0.active.offset }
            let (isReplaced, notices) = try replaceActive(with: prepared)
            if isReplaced {
                updateHold()
                // The manifest that ends the segment is durable: its blank space is given back.
                try? file.truncate(to: end.roundedUp(to: FormatLimits.pageBytes))
                try file.close()
            }
            return notices
        } catch {
            return poison(LogError(error, doing: "rolling to a new segment"))
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
        with prepared: PreparedSegment
    ) throws(StorageError) -> (Bool, Notices) {
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
            return (false, holdRoll(prepared, error))
        }
        let notices = try monitor.withLock { state throws(StorageError) in
            state.active = active
            state.next = .none
            state.endRoll()
            state.durableSequence = state.nextSequence
            state.unsyncedSince = 0
            state.archiving.hasWork = true
            try state.mark.publish(active.publishedWord)
            try state.mark.setDurable(active.durableWord)
            return state.takeDurableWaiters()
        }
        return (true, notices)
    }

    /// The roll could not be finished for want of space: everything durable is told, units that
    /// wait are refused, and the next one tries again.
    private func holdRoll(_ prepared: PreparedSegment, _ error: LogError) -> Notices {
        maker.discard(prepared)
        return monitor.withLock { state in
            hold(.init(error: error, need: 0, pausesUntil: refusalEnd), &state)
            state.durableSequence = state.nextSequence
            state.active.durableOffset = state.active.offset
            state.unsyncedSince = 0
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
