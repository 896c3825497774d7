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

    /// The segment that will follow the active one.
    enum Next {
        case none
        case preparing
        case ready(PreparedSegment)
        /// Out of space, or another refusal; tried again at `retryAt`.
        case failed(LogError, retryAt: UInt64)
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

    /// Set while one thread syncs, marks or rolls: it alone touches the active file then, appends
    /// aside.
    var isSyncing = false
    /// Set from the moment that a unit found no room until the next segment is active.
    var isRolling = false
    /// Bytes that the next segment must at least hold.
    var rollBytes = 0
    /// Somebody asked for the sync of all up to here.
    var demandedSequence: UInt64 = 0
    /// When the oldest unsynced byte was stored; 0 when there is none.
    var unsyncedSince: UInt64 = 0
    /// When the last sync ended, or the last unit was appended after it.
    var quietSince: UInt64
    var waiters: [Waiter] = []
    /// Whether the worker sleeps without a deadline and must be woken for timers.
    var workerSleeps = false

    var position: LogPosition { LogPosition(nextSequence: nextSequence) }
    var unsyncedBytes: Int { active.offset - active.durableOffset }

    init(
        active: ActiveSegment, mark: MarkFile,
        nextSequence: UInt64, now: UInt64
    ) {
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
    mutating func takeDurableWaiters() -> [Waiter] {
        let done = waiters.filter { $0.position.nextSequence <= durableSequence }
        if !done.isEmpty { waiters.removeAll { $0.position.nextSequence <= durableSequence } }
        return done
    }
}

/// What the worker does next: a pure choice from the state and the time.
enum WriterTask {
    case sync
    case mark
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
        if isRolling, case .ready = next { return .roll }
        if durableSequence < min(demandedSequence, nextSequence) { return .sync }
        guard options.durability != .off else { return .sleep(until: nil) }
        if unsyncedBytes > 0 {
            let due = unsyncedSince + options.syncDelayNanoseconds
            return unsyncedBytes >= options.syncBytes || due <= now ? .sync : .sleep(until: due)
        }
        guard !active.endsInMark, active.offset > SegmentHeader.byteCount,
            active.hasRoomForMark, !isRolling
        else { return .sleep(until: nil) }
        let due = quietSince + options.idleMarkNanoseconds
        return due <= now ? .mark : .sleep(until: due)
    }
}
