internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRuns
internal import Synchronization

// Requests about runs: through the run's driver, or by a claim of the server's own.

extension RequestServer {
    /// A request that can be served.
    struct Received: Sendable {
        var name: RequestName
        var request: RunRequest
        /// What an earlier server had answered.
        var answer: [UInt8]?
    }

    /// Requests that are served together.
    enum Batch {
        case run(RunID, [(received: Received, change: RunChange)])
        case work(Received)
    }

    enum Outcome { case done, busy }

    /// Reads requests; refuses those that are none, and leaves those alone that are not for here.
    func received(_ names: [RequestName], _ access: RunAccess) throws -> [Received] {
        var received: [Received] = []
        for name in names {
            switch try inbox.read(name) {
            case nil: continue
            case .irregular(let reason)?:
                pass(name)
                remark("\(reason): left alone", access)
            case .invalid(let reason)?: try refuse(name, RequestRefusal(.wrongUse, reason))
            case .request(let bytes, let owner, let answer)?:
                do throws(RequestRefusal) {
                    let request = try RunRequest(bytes, name, owner: owner, store: storeID)
                    received.append(Received(name: name, request: request, answer: answer))
                } catch {
                    try refuse(name, error)
                }
            }
        }
        return received
    }

    private func pass(_ name: RequestName) {
        state.withLock { state in
            // Names of requests that are gone are forgotten in time.
            if state.passed.count > Self.servedMax { state.passed = [] }
            state.passed.insert(name)
        }
    }

    /// Gathers requests by run, in order; those of verbs that nobody here knows are left alone.
    func batches(_ received: [Received]) throws -> [Batch] {
        var batches: [Batch] = []
        var places: [RunID: Int] = [:]
        for item in received {
            let (name, verb) = (item.name, item.request.verb)
            guard !state.withLock({ $0.served.contains(name.id) }) else {
                // Somebody has put it back: it was carried out.
                if try inbox.take(name) { try inbox.finish(name) }
                continue
            }
            guard RunChange.isKnown(verb) else {
                if handlers[verb] == nil { pass(name) } else { batches.append(.work(item)) }
                continue
            }
            guard let run = item.request.target?.run, !run.isKeeper else {
                try refuse(name, RequestRefusal(.wrongUse, "\(verb) is asked of a run"))
                continue
            }
            let change: RunChange
            do throws(RequestRefusal) {
                change = try RunChange(verb, item.request.arguments)
            } catch {
                try refuse(name, error)
                continue
            }
            if let place = places[run], case .run(_, let items) = batches[place] {
                batches[place] = .run(run, items + [(item, change)])
            } else {
                places[run] = batches.count
                batches.append(.run(run, [(item, change)]))
            }
        }
        return batches
    }

    func serve(_ batch: Batch, _ access: RunAccess) async throws -> Outcome {
        switch batch {
        case .work(let received):
            try await work(received)
            return .done
        case .run(let run, let items):
            for (index, item) in items.enumerated() {
                guard let journal = desk.journal(of: run) else {
                    return try await serveAtRest(run, Array(items[index...]), access)
                }
                guard try await serve(item.received, item.change, journal, access) == .done else {
                    return .busy
                }
            }
            return .done
        }
    }

    /// Serves a request about a run that is driven here.
    private func serve(
        _ item: Received, _ change: RunChange, _ journal: RunJournal, _ access: RunAccess
    ) async throws -> Outcome {
        guard try inbox.take(item.name) else { return .done }
        let next = journal.summary.nextPosition
        if try isCarriedOut(item, next, access) {
            try end(item, nil)
            return .done
        }
        let (run, request) = (journal.run, item.request)
        if case .pause(let reason) = change {
            state.withLock { _ = $0.underway.insert(item.name) }
            let pause = ParkedPause(
                asked: request.asked(.done), reason: RunChange.pauseReason(reason, by: request.by)
            ) { isDone in
                self.settled(item, isDone)
            }
            if journal.park(pause) { return .done }
            state.withLock { _ = $0.underway.remove(item.name) }
            return .busy
        }
        var stops = false
        if case .cancel = change { stops = true }
        let answer: Asked.Answer
        do throws(RunnerError) {
            answer = try await journal.carryOut(request, stops: stops) {
                fold throws(RequestRefusal) in
                if case .resolve = change {
                    throw RequestRefusal(
                        .busy, "run \(run) is running: its step decides about its calls")
                }
                return try Self.contents(change, run, fold, request)
            }
        } catch {
            // The driver let go of the run meanwhile, and another has it.
            if case .fenced = error { return .busy }
            throw error
        }
        try end(item, request.asked(answer))
        return .done
    }

    private static func contents(
        _ change: RunChange, _ run: RunID, _ fold: RunFold, _ request: RunRequest
    ) throws(RequestRefusal) -> [RunEvent.Content] {
        do throws(RunnerError) {
            return try change.contents(of: run, fold, by: request.by)
        } catch {
            throw RequestRefusal(error)
        }
    }

    /// The driver has paused the run, or ended without that.
    private func settled(_ item: Received, _ isDone: Bool) {
        // What cannot be ended now is found carried out by the next one to serve.
        if isDone { try? end(item, item.request.asked(.done)) }
        state.withLock { _ = $0.underway.remove(item.name) }
    }

    /// Serves requests about a run that nobody drives, under a claim.
    private func serveAtRest(
        _ run: RunID, _ items: [(received: Received, change: RunChange)], _ access: RunAccess
    ) async throws -> Outcome {
        do {
            return try await access.claimed(run) { claim in
                guard claim.position > 0 else {
                    for item in items where try inbox.take(item.received.name) {
                        try refuse(item.received.name, RequestRefusal(.unknownRun(run)))
                    }
                    return .done
                }
                let (loaded, epoch): (RunAccess.Loaded, UInt64?)
                do {
                    loaded = try await access.load(run)
                    epoch = try access.creationEpoch(of: run)
                } catch let error as RunnerError {
                    for item in items where try inbox.take(item.received.name) {
                        try refuse(item.received.name, RequestRefusal(error))
                    }
                    return .done
                }
                let journal = access.journal(claim, loaded)
                for item in items where try inbox.take(item.received.name) {
                    guard item.received.request.target?.epoch == epoch else {
                        try refuse(
                            item.received.name,
                            RequestRefusal(
                                .notFound,
                                "the run \(run) that was meant is gone; another has "
                                    + "its name"))
                        continue
                    }
                    try await serveClaimed(item.received, item.change, journal, access)
                }
                return .done
            }
        } catch let error as RunnerError {
            switch error {
            case .held, .stillRunning, .callStillRuns, .fenced: return .busy
            default: throw error
            }
        }
    }

    private func serveClaimed(
        _ item: Received, _ change: RunChange, _ journal: RunJournal, _ access: RunAccess
    ) async throws {
        let (run, request) = (journal.run, item.request)
        if try isCarriedOut(item, journal.summary.nextPosition, access) {
            try end(item, nil)
            return
        }
        let refusal = try await settleSharedCall(change, journal, access)
        let answer = try await journal.carryOut(request) { fold throws(RequestRefusal) in
            if let refusal { throw refusal }
            return try Self.contents(change, run, fold, request)
        }
        try end(item, request.asked(answer))
    }

    /// A call with a shared key is settled in the key's run first.
    private func settleSharedCall(
        _ change: RunChange, _ journal: RunJournal, _ access: RunAccess
    ) async throws -> RequestRefusal? {
        guard case .resolve(let call, let outcome, let corrects) = change else { return nil }
        let fold = try journal.fold(preparedForCallAt: call)
        guard
            let resolved = try? RunChange.resolving(call, outcome, corrects, journal.run, fold),
            case .shared(let key) = resolved.call.start.key
        else { return nil }
        do {
            try await SharedCall.resolve(
                key, resolved.call, as: outcome, for: journal.run, access, waits: false)
            return nil
        } catch RunnerError.sharedCallIsOver(let run, let call) {
            return RequestRefusal(.sharedCallIsOver(run, call))
        }
    }

    /// Whether an earlier process carried the request out: its answer is in the run then.
    private func isCarriedOut(
        _ item: Received, _ nextPosition: UInt64, _ access: RunAccess
    ) throws -> Bool {
        guard let target = item.request.target,
            state.withLock({ $0.early?.contains(item.name) != false })
        else { return false }
        // An asker that saw more of the run than there is: a copy of the log was put back.
        let first = target.position <= nextPosition ? target.position : 0
        var events = try access.store.events([RunPart(target.run, from: first)])
        while let stored = try events.next() {
            if case .asked(let asked)? = try stored.event()?.content, asked.id == item.request.id {
                return true
            }
        }
        return false
    }

    /// The answer is in the run: the request's file goes.
    private func end(_ item: Received, _ asked: Asked?) throws {
        state.withLock { state in
            state.served.insert(item.name.id)
            state.servedOrder.append(item.name.id)
            guard state.servedOrder.count > Self.servedMax else { return }
            let old = state.servedOrder.prefix(Self.servedMax / 2)
            state.served.subtract(old)
            state.servedOrder.removeFirst(old.count)
        }
        try inbox.finish(item.name)
        if let asked, let run = item.request.target?.run { desk.tell(run, asked) }
    }

    /// Refuses what no run can hold.
    func refuse(_ name: RequestName, _ refusal: RequestRefusal) throws {
        guard try inbox.take(name) else { return }
        try gate.withLock { isOpen throws(LogError) in
            if isOpen { try inbox.refuse(name, RefusalFields.bytes(refusal)) }
        }
    }
}
