internal import LoomFormat
internal import LoomStorage

/// Everything that a writer changes, behind its one lock.
struct WriterState {
    enum Phase {
        case open
        case closing
        case closed
        /// A write or sync failed; nothing is ever stored again.
        case poisoned(LogError)
    }

    /// Space that is secured ahead of need.
    enum Next {
        case none
        case preparing
        /// The segment that will follow the active one.
        case segment(PreparedSegment)
        /// Filled space of the active file, to be synced before it is used.
        case growth(capacity: Int)
        /// Refused; looked for again at `retryAt`, or as soon as an append waits.
        case failed(retryAt: UInt64)
    }

    /// Why appends that waited for room got none.
    struct Shortage {
        let error: LogError
        /// Bytes that were asked for; a smaller unit may still find room.
        let need: Int
        /// Until then the same answer is given without another try.
        let pausesUntil: UInt64
    }

    /// A caller that is told when a position is durable.
    struct Waiter {
        let position: LogPosition
        let callback: LogWriter.DurableCallback
    }

    var phase = Phase.open
    var active: ActiveSegment
    var mark: MarkFile
    var next = Next.none
    var nextSequence: UInt64
    var durableSequence: UInt64

    /// Set while one thread syncs, marks, grows or rolls: it alone touches the active file then,
    /// appends aside.
    var isSyncing = false
    /// Set from the moment that a unit found no room until there is more of it.
    var isRolling = false
    /// Bytes that the segment must at least hold which the largest waiting unit goes to.
    var rollBytes = 0
    /// The last refusal of space, and how many there were.
    var shortage: Shortage?
    var shortageCount: UInt64 = 0
    /// How long to wait before space is looked for again, while no append waits.
    var spacePause: UInt64 = 0
    /// Somebody asked for the sync of all up to here.
    var demandedSequence: UInt64 = 0
    /// When the oldest unsynced byte was stored; 0 when there is none.
    var unsyncedSince: UInt64 = 0
    /// When the last sync ended, or the last unit was appended after it.
    var quietSince: UInt64
    var waiters: [Waiter] = []
    var archiving: ArchivingState
    /// Whether the worker sleeps without a deadline and must be woken for timers.
    var workerSleeps = false
    /// The thread of the worker, once it runs.
    var workerIdentity: UInt64?

    var position: LogPosition { LogPosition(nextSequence: nextSequence) }
    var unsyncedBytes: Int { active.offset - active.durableOffset }

    init(
        active: ActiveSegment, mark: MarkFile,
        nextSequence: UInt64, archiving: ArchivingState, now: UInt64
    ) {
        self.archiving = archiving
        self.active = active
        self.mark = mark
        self.nextSequence = nextSequence
        durableSequence = nextSequence
        quietSince = now
    }

    /// Throws what an append must throw now.
    func checkOpen() throws(LogError) {
        switch phase {
        case .open: return
        case .closing, .closed:
            throw LogError(.closed, "the log was closed")
        case .poisoned(let error):
            throw LogError(
                .poisoned, "an earlier failure stopped this writer: \(error.message)",
                path: error.path, cause: error)
        }
    }

    /// Takes out the waiters whose position is durable.
    mutating func takeDurableWaiters() -> Notices {
        let done = waiters.filter { $0.position.nextSequence <= durableSequence }
        if !done.isEmpty { waiters.removeAll { $0.position.nextSequence <= durableSequence } }
        return Notices(done, nil)
    }

    /// Takes out all waiters, to be told that their position is not durable.
    mutating func takeWaiters(telling error: LogError) -> Notices {
        defer { waiters = [] }
        return Notices(waiters, error)
    }

    /// There is more room, or it is known that there is none: units that wait try again.
    mutating func endRoll() {
        isRolling = false
        rollBytes = 0
    }
}

/// What the worker does next: a pure choice from the state and the time.
enum WriterTask {
    case sync
    case mark
    case grow
    case roll
    case finish
    case sleep(until: UInt64?)
}

extension WriterState {
    /// The most urgent thing to do now.
    func nextTask(options: LogOptions, now: UInt64) -> WriterTask {
        switch phase {
        case .open: break
        case .closing, .closed, .poisoned: return .finish
        }
        if isSyncing { return .sleep(until: nil) }
        if let task = spaceTask { return task }
        if durableSequence < min(demandedSequence, nextSequence) { return .sync }
        guard options.durability != .off else { return .sleep(until: nil) }
        if unsyncedBytes > 0 {
            let due = unsyncedSince.addingSaturating(options.syncDelayNanoseconds)
            return unsyncedBytes >= options.syncBytes || due <= now ? .sync : .sleep(until: due)
        }
        guard !active.endsInMark, active.offset > SegmentHeader.byteCount,
            active.hasRoomForMark, !isRolling
        else { return .sleep(until: nil) }
        let due = quietSince.addingSaturating(options.idleMarkNanoseconds)
        return due <= now ? .mark : .sleep(until: due)
    }

    /// Takes the space into use that the preparer has filled, if there is any to take.
    private var spaceTask: WriterTask? {
        switch next {
        case .growth: .grow
        case .segment(let prepared):
            isRolling && !archiving.holdsRolls && prepared.capacity >= rollBytes ? .roll : nil
        case .none, .preparing, .failed: nil
        }
    }

    /// What a caller that waits for room must do itself: it runs in a callback on the worker's own
    /// thread, which therefore will not come to it.
    func taskOfCallback() -> WriterTask? {
        workerIdentity == WorkerThread.currentIdentity && !isSyncing ? spaceTask : nil
    }
}

extension UInt64 {
    /// The sum, or the largest number where the sum is above it: "for ever" stays for ever.
    func addingSaturating(_ other: UInt64) -> UInt64 {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? .max : sum
    }
}
