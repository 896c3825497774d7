internal import ArgumentParser
internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRunner
internal import LoomRuns
internal import SystemPackage

/// What the commands share that change a run through a request: beside a program that has the log,
/// too.
struct AskArguments: ParsableArguments {
    static let discussion = """
        A program that has the log is asked to do it, and is waited for. Without one, this command \
        does it.
        """

    @OptionGroup var log: LogArguments
    @OptionGroup var output: OutputArguments
    @Flag(help: "Wait for a program that has the log and does not answer, instead of giving up.")
    var wait = false
    @Flag(help: "Return once the request is on disk; it is carried out in any case.")
    var noWait = false

    func validate() throws {
        if wait && noWait { throw ValidationError("--wait or --no-wait, not both") }
    }

    /// Asks for a change of a run, and prints where the run stands.
    ///
    /// - Parameter done: What was done then, with the run as subject: `was cancelled`.
    func ask(_ run: RunID, _ change: RunChange, _ done: String) async throws {
        let reader = try LogReader(path: log.directory)
        let asker = asker(reader)
        do {
            if noWait {
                try asker.post(run, change)
                return tellPosted()
            }
            let stop = StopSignals(note: "taking the request back; once more to end at once")
            let changed: ChangedRun
            do {
                changed = try await stop.cancelling { try await asker.ask(run, change) }
            } catch let error as RequestError {
                guard let status = stop.status else { throw error }
                Output.note("\(error)")
                throw ExitCode(status)
            }
            if let by = changed.by { Output.note("run \(run) \(done) by \(by), which has the log") }
            try show(run, changed.resolved, in: reader, "run \(run) \(done)")
        } catch let error as LogError where error.code == .limitExceeded {
            // Larger than a request may be: only who has the log can do it.
            try await makeDirectly(run, change, done)
        }
    }

    /// Asks for work that is about no run, and waits until it is done.
    ///
    /// - Returns: What it came to; `nil` when it was only asked for.
    func request(
        _ verb: String, _ arguments: JSONValue,
        _ progress: @escaping @Sendable (JSONValue) -> Void
    ) async throws -> JSONValue? {
        var asker = asker(try LogReader(path: log.directory))
        asker.onProgress = progress
        if noWait {
            try asker.post(verb, arguments)
            tellPosted()
            return nil
        }
        return try await asker.ask(verb, arguments)
    }

    private func asker(_ reader: LogReader) -> RequestAsker {
        let directory = log.directory
        var asker = RequestAsker(reader) { try Self.open(directory) }
        if wait { asker.patience = nil }
        asker.onWaiting = { Output.note("asking \($0), which has the log") }
        return asker
    }

    private func tellPosted() {
        Output.note("the request is on disk; whoever has the log carries it out")
    }

    private static func open(_ directory: FilePath) throws -> LogRunStore {
        var options = LogOptions()
        options.createsIfMissing = false
        let store = try LogRunStore(path: directory, options: options)
        if let warning = store.log.recovery.warning {
            Output.note("warning: \(directory): \(warning)")
        }
        return store
    }

    private func makeDirectly(_ run: RunID, _ change: RunChange, _ done: String) async throws {
        let (resolved, written) = try await log.writing(creates: false, waits: wait) { store in
            (try await RunControl(store: store).make(change, of: run), store.reader)
        }
        try show(run, resolved, in: written, "run \(run) \(done)")
    }

    /// Prints where the run stands, and of a call that was resolved what was known of it.
    private func show(
        _ run: RunID, _ resolved: ResolvedCall?, in log: LogReader, _ done: String
    ) throws {
        let next = NextLine(self.log)
        let view = try Change(what: done, look: next.get(run)).reading {
            try RunReader(log: log).get(run)
        }
        var json = view.json
        if let resolved, case .object(var members) = json {
            members["resolved"] = resolved.json
            json = .object(members)
        }
        let lines = resolved.map { ["resolved \($0)"] } ?? []
        output.print(json, lines + view.lines + [next.after(view)])
    }
}
