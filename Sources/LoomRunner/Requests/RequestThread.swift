internal import LoomLog
internal import LoomStorage

/// The thread that waits for requests and serves them: steps that keep all of Swift's threads busy
/// do not delay them. In idle it sleeps, and looks at nothing.
///
/// An executor, so that what serves may wait for a sync without a thread.
final class RequestThread: TaskExecutor {
    /// Does what is due.
    ///
    /// - Returns: Nanoseconds after which something is to be tried again; `nil`: nothing is.
    typealias Turn = @Sendable () async -> UInt64?

    private struct State {
        var jobs: [UnownedJob] = []
        var watch: (any FolderWatch)?
        var isStopped = false
        /// Whether a turn is under way, and whether another is due when it ends.
        var isTurning = false
        var isDue = true
        var retryAfter: UInt64?
    }

    /// A look into the folder where it cannot be watched: 250 ms.
    private static let slowPeriod: UInt64 = 250_000_000

    private let state = Monitor(State())
    private let makeWatch: @Sendable () -> (any FolderWatch)?
    private let machine: any Machine
    private let turn: Turn

    init(
        _ machine: any Machine, watch: @escaping @Sendable () -> (any FolderWatch)?,
        turn: @escaping Turn
    ) {
        self.machine = machine
        makeWatch = watch
        self.turn = turn
    }

    func start() throws(StorageError) {
        try WorkerThread.start("loom-requests") { self.run() }
    }

    /// Ends the thread, once a turn that is under way has ended.
    func stop() { wake { $0.isStopped = true } }

    /// Has a turn begin soon.
    func look() { wake { $0.isDue = true } }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        wake { $0.jobs.append(job) }
    }

    private func wake(_ change: (inout State) -> Void) {
        let watch = state.withLock { state in
            change(&state)
            return state.watch
        }
        watch?.wake()
    }

    private enum Work {
        case run([UnownedJob])
        case wait((any FolderWatch)?, UInt64?)
        case end
    }

    private func run() {
        while true {
            switch nextWork() {
            case .end: return
            case .run(let jobs):
                for job in jobs { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
            case .wait(let watch, let retryAfter):
                guard let watch else {
                    let made = makeWatch() ?? SlowWatch(machine, period: Self.slowPeriod)
                    // What came before it is not told by it.
                    state.withLock { ($0.watch, $0.isDue) = (made, true) }
                    continue
                }
                see(watch.wait(nanoseconds: retryAfter))
            }
        }
    }

    private func nextWork() -> Work {
        let (work, beginsTurn) = state.withLock { state -> (Work?, Bool) in
            if !state.jobs.isEmpty {
                defer { state.jobs = [] }
                return (.run(state.jobs), false)
            }
            if state.isStopped, !state.isTurning { return (.end, false) }
            if state.watch == nil { return (.wait(nil, nil), false) }
            if state.isDue, !state.isTurning, !state.isStopped {
                (state.isDue, state.isTurning, state.retryAfter) = (false, true, nil)
                return (nil, true)
            }
            return (.wait(state.watch, state.isTurning ? nil : state.retryAfter), false)
        }
        if beginsTurn { begin() }
        return work ?? .run([])
    }

    private func begin() {
        Task(executorPreference: self) {
            let retryAfter = await self.turn()
            self.state.withLock { state in
                state.isTurning = false
                state.retryAfter = retryAfter
            }
        }
    }

    private func see(_ change: FolderChange) {
        state.withLock { state in
            switch change {
            case .names: state.isDue = true
            case .woken: break
            case .nothing: state.isDue = state.isDue || state.retryAfter != nil
            case .gone: state.watch = nil
            }
        }
    }
}
