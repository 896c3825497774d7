internal import LoomLog
internal import LoomModel
internal import LoomStorage

extension LogRunStore {
    /// Serves the requests of other processes that are there, and waits for the work that they ask
    /// for. A store with threads serves requests as they come; this is for those that wait.
    ///
    /// A request to pause a run that is driven here is served behind the run's present step.
    public func serveRequests() async {
        await requests.serveOpening(requestAccess)
        _ = await requests.serve(requestAccess)
        await requests.finishWork()
    }

    /// Does what the timers have made due, and serves requests, in a log with the driver `inline`.
    public func runTimers() async {
        log.runTimers()
        await serveRequests()
    }

    /// How the server gets at runs, by the clock of the log's machine.
    var requestAccess: RunAccess {
        var options = RunnerOptions()
        options.clock = MachineRunClock(machine: log.machine)
        return RunAccess(store: self, options: options)
    }

    /// Waits for requests on a thread of its own, which does not keep the store.
    static func thread(serving store: LogRunStore) -> RequestThread {
        let requests = store.requests
        return RequestThread(
            store.log.machine,
            watch: { try? requests.inbox.watch() },
            turn: { [weak store] in
                guard let store else { return nil }
                await store.requests.serveOpening(store.requestAccess)
                return await store.requests.serve(store.requestAccess)
            })
    }
}

/// The wall clock of the machine that holds a log.
private struct MachineRunClock: RunClock {
    let machine: any Machine

    func now() -> EventTime { EventTime(microseconds: machine.wallMicroseconds()) }

    func sleep(microseconds: UInt64) async throws {
        try await SystemRunClock().sleep(microseconds: microseconds)
    }
}
