internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRuns
internal import LoomStorage

/// A request that was left about a run.
struct LeftRequest: Sendable {
    let name: RequestName
    let target: RunRequest.Target
    let change: RunChange

    /// Looks for the answer in the run.
    ///
    /// - Throws: The refusal; ``RequestError/lost`` where there is no answer.
    func read(_ log: LogReader, servedBy server: String?) throws -> ChangedRun {
        let source = LogRunSource(log)
        var events = try source.events([RunPart(target.run, from: target.position)])
        while let stored = try events.next() {
            guard case .asked(let asked)? = try stored.event()?.content, asked.id == name.id else {
                continue
            }
            var resolved: ResolvedCall?
            switch (asked.answer, change) {
            case (.done, .resolve): resolved = try self.resolved(stored.place.position, source)
            case (.done, _): break
            case (.refused(let refusal), _):
                try explain(stored.place.position, source)
                throw refusal
            }
            return ChangedRun(run: target.run, by: server, resolved: resolved)
        }
        throw RequestError.lost
    }

    /// The run as it was before an event.
    private func fold(before end: UInt64, _ source: LogRunSource) throws -> RunFold {
        var outline = OutlineFold()
        var events = try source.events([RunPart(target.run, before: end)])
        while let stored = try events.next() {
            guard let event = try stored.event() else {
                try outline.skip(at: stored.place)
                continue
            }
            try outline.apply(event, at: stored.place)
        }
        return outline.fold
    }

    /// Throws the refusal with all that the runner has to say of it, where it can be found again.
    private func explain(_ position: UInt64, _ source: LogRunSource) throws {
        guard let fold = try? fold(before: position, source) else { return }
        _ = try change.contents(of: target.run, fold)
    }

    private func resolved(_ position: UInt64, _ source: LogRunSource) throws -> ResolvedCall? {
        guard case .resolve(let call, let outcome, let corrects) = change, position > 0 else {
            return nil
        }
        // The call's end stands before the answer.
        guard let fold = try? fold(before: position - 1, source) else { return nil }
        return try? RunChange.resolving(call, outcome, corrects, target.run, fold)
    }
}

extension RequestAsker {
    private static let lookMicroseconds: ClosedRange<UInt64> = 2_000...100_000

    func request(
        _ verb: String, _ arguments: JSONValue, _ target: RunRequest.Target?
    ) -> RunRequest {
        let id = RequestID(low: log.machine.random(), high: log.machine.random())
        let by = String(decoding: by.utf8.prefix(512), as: UTF8.self)
        return RunRequest(
            id: id, verb: verb, arguments: arguments, by: by, store: log.storeID, target: target)
    }

    func leave(_ request: RunRequest) throws -> RequestName {
        try log.inbox.submit(try request.encoded(), id: request.id)
    }

    /// Leaves a request about a run.
    ///
    /// - Throws: ``RunnerError/unknownRun(_:)``, and what is wrong with the run.
    func leave(_ run: RunID, _ change: RunChange) throws -> LeftRequest {
        try SharedCall.checkIsFree(run)
        let source = LogRunSource(log)
        guard let row = try source.row(of: run) else { throw RunnerError.unknownRun(run) }
        var first = try source.events([RunPart(run, before: 1)])
        let epoch = try first.next()?.place.epoch ?? 0
        let target = RunRequest.Target(
            run: run, epoch: epoch, position: row.outline.summary.nextPosition)
        let name = try leave(request(change.verb, try change.arguments(), target))
        return LeftRequest(name: name, target: target, change: change)
    }

    /// Waits until a request is served; serves it itself when it can open the log.
    ///
    /// - Parameter holder: Who had the log when the request was left: it may be served before the
    ///   first look.
    /// - Returns: Where the request stands, and who served it; `nil`: this process.
    func wait(
        for name: RequestName, of holder: String?
    ) async throws -> (stage: RequestStage, by: String?) {
        let start = log.machine.monotonicNanoseconds()
        var look = Self.lookMicroseconds.lowerBound
        var server = holder
        if let holder { onWaiting(holder) }
        var shown: [UInt8]?
        var openings = 0
        while true {
            let stage = try log.inbox.stage(of: name)
            switch stage {
            case .waiting:
                try await giveUpIfDue(name, since: start, server)
            case .taken(let progress):
                if let progress, progress != shown {
                    shown = progress
                    show(progress)
                }
                if Task.isCancelled { throw RequestError.leftTaken }
            case .refused, .answered:
                log.inbox.forget(name)
                return (stage, server)
            case .gone: return (stage, server)
            }
            if let holder = try log.writer() {
                if server == nil { onWaiting(holder) }
                server = holder
                try? await Task.sleep(for: .microseconds(look))
                look = min(look * 2, Self.lookMicroseconds.upperBound)
            } else {
                // Nobody has the log: whoever had it and is gone may have left the request.
                guard try await serve(name) else { continue }
                server = nil
                openings += 1
                // Something fails here again and again: the next one to open the log may do better.
                if openings == 3 { throw RequestError.leftTaken }
            }
        }
    }

    private func show(_ bytes: [UInt8]) {
        guard let fields = try? CanonicalJSONDecoder().decode(AnswerFields.self, from: bytes),
            !fields.last, let value = fields.value
        else { return }
        onProgress(value)
    }

    /// Takes a request back that nobody has taken up, when the asker has been cancelled or has
    /// waited long enough.
    private func giveUpIfDue(
        _ name: RequestName, since start: UInt64, _ server: String?
    ) async throws {
        let waited = log.machine.monotonicNanoseconds() - start
        let isOver = patience.map { waited >= $0.clampedMicroseconds * 1_000 } ?? false
        guard Task.isCancelled || isOver else { return }
        // Taken up in this moment: it is carried out.
        guard try log.inbox.withdraw(name) else { return }
        if Task.isCancelled { throw RequestError.withdrawn }
        throw RequestError.notTaken(by: server ?? "another process")
    }

    /// Opens the log, which serves what is in its inbox, and closes it.
    ///
    /// - Returns: Whether it could be opened: false while another process has it.
    private func serve(_ name: RequestName) async throws -> Bool {
        let store: LogRunStore
        do {
            store = try await open()
        } catch let error as LogError where error.code == .locked {
            return false
        } catch {
            // The log cannot be opened, which is told; the request goes, if it still can.
            _ = try? log.inbox.withdraw(name)
            throw error
        }
        await store.serveRequests()
        try store.close()
        guard case .waiting = try log.inbox.stage(of: name) else { return true }
        _ = try log.inbox.withdraw(name)
        throw RequestError.notTaken(by: "this program")
    }
}
