internal import LoomModel

/// One managed call of a tool: found in the log, or recorded around the tool's body.
struct ManagedCall<Response: Sendable>: Sendable {
    let context: StepContext
    let name: String
    let safety: ToolSafety
    let key: ToolKey?
    let request: [UInt8]
    let perform: @Sendable (ToolCall) async throws -> Response
    /// Of a call of this tool by its request: of this one, or of one that stands against it.
    let reconcile: (@Sendable ([UInt8], ToolCall) async throws -> Reconciliation<Response>)?
    let encode: @Sendable (Response) throws -> [UInt8]
    let decode: @Sendable ([UInt8]) throws -> Response

    private var journal: RunJournal { context.scope.journal }

    func run() async throws -> Response {
        let call = ToolStart(
            attempt: context.attempt, name: name, safety: safety, key: key ?? .occurrence(0),
            request: request)
        try RunnerLimits.check(call)
        while true {
            let (found, start) = try await journal.lookOrBegin(call, isNumbered: key == nil)
            switch found {
            case .begun(let position):
                return try await ending(position) { try await make(start, position) }
            case .completed(let completed):
                try await journal.reuse(completed, in: context.attempt)
                return try decoded(completed)
            case .mismatch: throw mismatch(start)
            case .unknown(let known):
                let settled = try await ending(known.position) { () async throws -> Response? in
                    if case .shared(let key) = start.key {
                        return try await shared(key, start, known.position)
                    }
                    return try await settle(start, [(journal, known.position)])
                }
                // Known not to have happened: it is begun anew.
                if let settled { return settled }
            case .unsettled(let other):
                try await ending(other.position) { try await settleOther(other) }
            }
        }
    }

    /// Settles a call of the tool that an earlier attempt left open, and that the step has not come
    /// to again: before it is settled no other one is begun.
    private func settleOther(_ other: ToolCallTable.Call) async throws {
        // One with a shared key is settled where the key is kept, by whoever makes that call.
        if case .shared = other.start.key {
            throw journal.decide(.unknownOutcome(tool: name, call: other.position))
        }
        _ = try await settle(other.start, [(journal, other.position)])
    }

    private func mismatch(_ start: ToolStart) -> RunnerError {
        switch start.key {
        case .explicit(let key), .shared(let key): .keyMismatch(key: key, tool: name)
        case .occurrence: .keyMismatch(key: name, tool: name)
        }
    }

    /// Runs `body`, and lets go of a call whatever becomes of it: others may wait for it.
    private func ending<Result>(
        _ position: UInt64, _ body: () async throws -> Result
    ) async throws -> Result {
        defer { journal.end(position) }
        return try await body()
    }

    private func make(_ start: ToolStart, _ position: UInt64) async throws -> Response {
        guard case .shared(let key) = start.key else {
            return try await perform(start, [(journal, position)])
        }
        return try await shared(key, start, position)
    }

    /// Through the run that keeps the key for the whole store: it knows more than this run does.
    private func shared(
        _ key: String, _ start: ToolStart, _ position: UInt64
    ) async throws -> Response {
        let kept = SharedCall(
            key: key, start: start, access: context.scope.access, user: journal)
        return try await kept.claimed { found in
            switch found {
            case .completed(let completed):
                let response = try decoded(completed)
                try await journal.finish(
                    position, .completed(result: completed.result), by: completed.author,
                    isBarrier: true)
                return response
            case .mismatch:
                let error = mismatch(start)
                try await journal.finish(
                    position, .failed(Failure(recording: error)), isBarrier: true)
                throw error
            case .unknown(let keeper, let keptAt):
                try await kept.wait(for: keeper)
                let places = [(keeper, keptAt)]
                if let settled = try await settle(start, places, in: position) {
                    try await journal.finish(
                        position, .completed(result: try encoded(settled)), isBarrier: true)
                    return settled
                }
                let again = try await kept.begin(keeper)
                return try await perform(start, [(keeper, again), (journal, position)])
            case .none(let keeper):
                let keptAt = try await kept.begin(keeper)
                return try await perform(start, [(keeper, keptAt), (journal, position)])
            }
        }
    }

    /// Finds out what became of a `.once` call; returns its response when it happened.
    private func settle(
        _ start: ToolStart, _ places: [(RunJournal, UInt64)], in own: UInt64? = nil
    ) async throws -> Response? {
        guard let reconcile else {
            throw journal.decide(.unknownOutcome(tool: name, call: own ?? places[0].1))
        }
        switch try await reconcile(start.request, call(start)) {
        case .happened(let response):
            try await finish(places, .completed(result: try encoded(response)), isBarrier: true)
            return response
        case .didNotHappen:
            try await finish(places, .didNotHappen, isBarrier: true)
            return nil
        }
    }

    /// Runs the tool and records its end at each place; the last place is in the step's own run.
    private func perform(
        _ start: ToolStart, _ places: [(RunJournal, UInt64)]
    ) async throws -> Response {
        let response: Response
        let result: [UInt8]
        do {
            response = try await perform(call(start))
            result = try encoded(response)
        } catch {
            let isHostGone = error is any StepHostError
            if isHostGone || error is CancellationError, safety != .once { throw error }
            // A `.once` call that threw may have happened all the same, unless it says otherwise.
            guard safety != .once || error is ToolDidNotHappen else {
                let own = places[places.count - 1].1
                if !isHostGone, !(error is CancellationError) {
                    await journal.note(error, of: own)
                }
                guard reconcile != nil else {
                    throw journal.decide(.unknownOutcome(tool: name, call: own))
                }
                // Whoever was cut is asked by the next attempt: now there may be no time left.
                if isHostGone || Task.isCancelled { throw error }
                if let settled = try await settle(start, places, in: own) { return settled }
                throw error
            }
            try await finish(places, .failed(Failure(recording: error)), isBarrier: false)
            throw error
        }
        // The result of a pure tool can always be had again; that of others must not be lost.
        try await finish(places, .completed(result: result), isBarrier: safety != .pure)
        return response
    }

    /// A result that somebody gave by hand may be of another shape.
    private func decoded(_ completed: ToolCallTable.Completed) throws -> Response {
        try Self.fitting(name) { try decode(completed.result) }
    }

    /// Decodes a recorded result of a tool.
    static func fitting(_ name: String, _ decode: () throws -> Response) throws -> Response {
        do {
            return try decode()
        } catch let error as DecodingError {
            throw StepFailure(
                "the recorded result of \(name) does not fit: \(DecodingWords.words(error)); "
                    + "resolve can correct what was said of the call", category: .validation)
        }
    }

    private func encoded(_ response: Response) throws -> [UInt8] {
        let bytes = try encode(response)
        try RunnerLimits.checkValue(bytes.count, "response of \(name)")
        return bytes
    }

    private func finish(
        _ places: [(RunJournal, UInt64)], _ outcome: ToolFinish.Outcome, isBarrier: Bool
    ) async throws {
        for (place, position) in places {
            do throws(RunnerError) {
                try await place.finish(position, outcome, isBarrier: isBarrier)
            } catch {
                if case .stepIsOver = error { throw error }
                // The store failed, here or under the shared key: no failure of the tool.
                throw journal.decide(error)
            }
        }
    }

    private func call(_ start: ToolStart) -> ToolCall {
        ToolCall(
            idempotencyKey: start.idempotencyKey(in: journal.run), attempt: context.attempt)
    }
}
