internal import LoomFormat
internal import LoomStorage

// Space is secured ahead of need, so that an append never meets a full disk halfway. One thread,
// the preparer, fills it: the file of the next segment, or more of the active one where a clean
// close had given its space back. Before it fills anything it looks at what the disk has left. When
// that is too little it looks again after 1 second, then 2, 4 and so on up to 5 minutes, and at
// once when an append waits.

extension WriterCore {
    /// The first pause and the longest one between two looks while no append waits.
    private static let pauses: ClosedRange<UInt64> = 1_000_000_000...300_000_000_000
    /// Appends within this time after space was filled in vain are refused without another try.
    private static let refusalNanoseconds: UInt64 = 100_000_000

    /// Whether space should be secured now.
    func isPreparationDue(_ state: inout WriterState) -> Bool {
        guard state.isRolling || state.active.wantsSpace, case .open = state.phase else {
            return false
        }
        switch state.next {
        case .preparing, .growth: return false
        case .segment(let prepared):
            // A larger unit came than the segment was made for.
            return state.isRolling && !state.isSyncing && prepared.capacity < state.rollBytes
        case .failed(let retryAt): return state.isRolling || retryAt <= now
        case .none: return true
        }
    }

    /// The preparer's life.
    func prepareInBackground() {
        while true {
            let ends = monitor.wait { state -> MonitorStep<Bool> in
                guard case .open = state.phase else { return .finish(true) }
                if self.isPreparationDue(&state) { return .finish(false) }
                guard case .failed(let retryAt) = state.next, state.active.wantsSpace else {
                    return .wait(until: nil)
                }
                return .wait(until: retryAt)
            }
            if ends { return }
            prepareIfDue()
        }
    }

    /// Secures space when it is due.
    func prepareIfDue() {
        let manifest = manifests.manifest
        // A superseded file takes a third of a segment's row.
        let segmentCount = manifest.segments.count + manifest.superseded.count / 3
        let claimed = monitor.withLock { state -> (SpacePlan, PreparedSegment?)? in
            guard isPreparationDue(&state) else { return nil }
            var outgrown: PreparedSegment?
            if case .segment(let prepared) = state.next { outgrown = prepared }
            state.next = .preparing
            return (SpacePlan(state, options, segmentCount: segmentCount), outgrown)
        }
        guard let (plan, outgrown) = claimed else { return }
        if let outgrown { maker.discard(outgrown) }
        do throws(StorageError) {
            try checkInPlace()
        } catch {
            monitor.withLock { $0.next = .none }
            return poison(LogError(error, doing: "making room in the log")).deliver()
        }
        let secured = secure(plan)
        monitor.withLock { settle(plan, secured, &$0) }
        monitor.notifyAll()
    }

    private enum Secured {
        case space(WriterState.Next)
        case refused(WriterState.Shortage)
    }

    private func secure(_ plan: SpacePlan) -> Secured {
        do throws(LogError) {
            if case .segment = plan.target {
                try manifests.checkRoomForSegment(countMax: options.segmentCountMax)
                try manifests.checkSequence(plan.nextSequence)
            }
        } catch {
            return .refused(.init(error: error, need: 0, pausesUntil: 0))
        }
        let root = maker.directory.root
        // Where the system cannot say, filling tells.
        let available = (try? storage.availableBytes(at: root)) ?? .max
        guard let bytes = plan.bytes(available: available) else {
            let error = LogError(
                .outOfSpace,
                "securing space for the log: No space left on device: \(available) bytes are left, "
                    + "\(plan.least + plan.reserve) are needed", path: root)
            return .refused(.init(error: error, need: plan.need, pausesUntil: 0))
        }
        do throws(StorageError) {
            switch plan.target {
            case .segment:
                let id = manifests.reserveSegmentID()
                return .space(.segment(try maker.prepare(id, capacity: bytes)))
            case .growth(let file, let capacity):
                try maker.grow(file, from: capacity, to: capacity + bytes)
                return .space(.growth(capacity: capacity + bytes))
            }
        } catch {
            return .refused(
                .init(
                    error: LogError(error, doing: "securing space for the log"), need: plan.need,
                    pausesUntil: refusalEnd))
        }
    }

    /// Until when a refusal that filled space in vain holds without another try.
    var refusalEnd: UInt64 { now.addingSaturating(Self.refusalNanoseconds) }

    /// Records what came of a plan. A refusal ends the roll that it was for: units that need less
    /// ask again.
    private func settle(_ plan: SpacePlan, _ secured: Secured, _ state: inout WriterState) {
        switch secured {
        case .space(let next):
            state.next = next
            state.spacePause = 0
        case .refused(let shortage):
            state.spacePause = min(
                max(state.spacePause * 2, Self.pauses.lowerBound), Self.pauses.upperBound)
            // An append that came meanwhile may take what was spared ahead of need.
            if state.isRolling && !plan.isNeeded {
                state.next = .none
            } else {
                hold(shortage, &state)
            }
        }
    }

    /// Refuses whoever waits for room, and looks for space again later.
    func hold(_ shortage: WriterState.Shortage, _ state: inout WriterState) {
        state.next = .failed(retryAt: now.addingSaturating(state.spacePause))
        state.shortage = shortage
        state.shortageCount += 1
        state.endRoll()
    }
}
