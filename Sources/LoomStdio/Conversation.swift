internal import Logging
internal import LoomFormat
internal import LoomModel
internal import LoomRunner
internal import Synchronization

/// One step's exchange with the program: the state goes out, tool calls are answered or recorded,
/// the outcome comes back.
final class Conversation: Sendable {
    private let program: StepProgram
    private let context: StepContext
    private let turn: Int64
    private let state = Mutex(State())

    private struct State {
        /// The numbers of the step's calls: each is used once.
        var numbers: Set<Int64> = []
        /// Calls whose last answer is not yet in the program's pipe.
        var openCount = 0
        /// Calls whose last answer is not yet on its way: before it, no outcome may come.
        var unanswered: Set<Int64> = []
        /// Calls that the program makes now, by its number for them.
        var waiting: [Int64: CheckedContinuation<ToolEnd, any Error>] = [:]
        /// Why no call can be asked for any more: the step has ended.
        var ended: (any Error)?
        /// What a call came to that decides about the run, whatever the program makes of it.
        var verdict: (any Error)?
    }

    init(_ program: StepProgram, _ context: StepContext) {
        self.program = program
        self.context = context
        turn = program.beginStep()
    }

    func run(_ value: JSONValue) async throws -> Outcome<JSONValue, JSONValue> {
        program.post(opening(value))
        let result = await withTaskGroup(of: Void.self) { group in
            let result: Result<Outcome<JSONValue, JSONValue>, any Error>
            do {
                result = .success(
                    try await listen { message in
                        group.addTask { await self.answer(message) }
                    })
            } catch {
                result = .failure(error)
                program.breakOff()
            }
            // A call that the program left open has no end any more.
            abandonCalls(because: result)
            return result
        }
        guard let verdict = state.withLock({ $0.verdict }) else { return try result.get() }
        // What the program did wrong is why the outcome of its call is unknown, which the runner
        // knows already.
        if case RunnerError.unknownOutcome = verdict, case .failure(let error) = result,
            error is StepProgramError
        {
            throw error
        }
        throw verdict
    }

    private func opening(_ value: JSONValue) -> JSONValue {
        var labels = JSONObject()
        for (name, value) in context.labels { labels[name.text] = .string(value) }
        return .object([
            "type": .string("step"), "turn": .integer(turn),
            "run_id": .string(context.run.rawValue),
            "step_index": .integer(Int64(context.attempt.step)),
            "attempt_index": .integer(Int64(context.attempt.attempt)),
            "input_hash": .string(context.inputHash.description),
            "idempotency_key": .string(context.idempotencyKey), "labels": .object(labels),
            "state": value,
        ])
    }

    /// Takes messages until the step has an outcome.
    private func listen(
        _ call: (ToolMessage) -> Void
    ) async throws -> Outcome<JSONValue, JSONValue> {
        while true {
            switch try await nextMessage() {
            case .tool(let message):
                try open(message.id)
                call(message)
            case .toolEnd(let id, let end):
                guard let waiting = state.withLock({ $0.waiting.removeValue(forKey: id) }) else {
                    throw StepProgramError.outOfTurn("the end of call \(id)")
                }
                waiting.resume(returning: end)
            case .label(let name, let value): try await context.label(name, value)
            case .log(let level, let message):
                let level = Logger.Level(rawValue: level) ?? .info
                context.logger.log(level: level, "\(message)")
            case .outcome(let outcome):
                if let open = state.withLock({ $0.unanswered.min() }) {
                    throw StepProgramError.outOfTurn("an outcome while call \(open) was open")
                }
                program.endStep()
                switch outcome {
                case .next(let next): return .continue(next)
                case .pause(let next, let reason): return .pause(next, reason: reason)
                case .complete(let result): return .complete(result)
                }
            case .error(let error):
                program.endStep()
                throw error
            case .hello: throw StepProgramError.outOfTurn("hello")
            case .migrated: throw StepProgramError.outOfTurn("a migrated state")
            }
        }
    }

    /// Bounds what a program can have in flight: the requests, and the answers that it leaves in
    /// the pipe.
    private func open(_ id: Int64) throws {
        let limit = program.options.openCallsMax
        try state.withLock { state in
            guard state.numbers.insert(id).inserted else {
                throw StepProgramError.outOfTurn("a second call of number \(id)")
            }
            guard state.openCount < limit else { throw StepProgramError.tooManyCalls(limit) }
            state.openCount += 1
            state.unanswered.insert(id)
        }
    }

    /// The next message, which must be about this step; what is logged late does no harm.
    private func nextMessage() async throws -> ProgramMessage {
        let line = try await program.next()
        if case .log = line.message { return line.message }
        guard line.turn == turn else {
            let number = line.turn.map { "of turn \($0)" } ?? "without a turn"
            throw StepProgramError.outOfTurn("a message \(number) in turn \(turn)")
        }
        return line.message
    }

    private func abandonCalls(because result: Result<Outcome<JSONValue, JSONValue>, any Error>) {
        var reason: any Error = StepProgramError.outOfTurn("an outcome while a call was open")
        if case .failure(let error) = result { reason = error }
        let waiting = state.withLock { state in
            defer { state.waiting = [:] }
            state.ended = reason
            return state.waiting
        }
        for continuation in waiting.values { continuation.resume(throwing: reason) }
    }

    /// Answers one tool call: from the log, or by having the program make it.
    private func answer(_ message: ToolMessage) async {
        defer { state.withLock { $0.openCount -= 1 } }
        let isMade = Mutex(false)
        var reconcile: (@Sendable ([UInt8], ToolCall) async throws -> Reconciliation<[UInt8]>)?
        if message.reconciles {
            reconcile = { request, call in
                let end = try await self.ask(
                    "tool_reconcile", message.id, call,
                    ["request": try JSONValue(parsing: request)])
                switch end {
                case .reconciled(let result):
                    return result.map { .happened($0.canonicalBytes) } ?? .didNotHappen
                // It could not find out: another attempt may.
                case .failed(let error, _): throw error
                case .done:
                    throw StepProgramError.outOfTurn("no word on call \(message.id)")
                }
            }
        }
        do {
            let result = try await context.call(
                message.name, safety: message.safety, request: message.request.canonicalBytes,
                key: message.key, reconcile: reconcile
            ) { call in
                isMade.withLock { $0 = true }
                return try await self.make(message, call)
            }
            let value = try JSONValue(parsing: result)
            await reply(
                isMade.withLock { $0 } ? "tool_recorded" : "tool_result", message.id,
                ["result": value])
        } catch {
            await refuse(message, error)
        }
    }

    private func make(_ message: ToolMessage, _ call: ToolCall) async throws -> [UInt8] {
        switch try await ask("tool_run", message.id, call) {
        case .done(let result): return result.canonicalBytes
        case .failed(let error, let didNotHappen):
            guard didNotHappen, message.safety == .once else { throw error }
            throw ToolDidNotHappen(error.description, category: error.category)
        case .reconciled: throw StepProgramError.outOfTurn("a word on call \(message.id)")
        }
    }

    /// Asks the program something about a call, and waits for its word.
    private func ask(
        _ type: String, _ id: Int64, _ call: ToolCall, _ members: JSONObject = [:]
    ) async throws -> ToolEnd {
        var members = members
        members["idempotency_key"] = .string(call.idempotencyKey)
        let message = members
        return try await withCheckedThrowingContinuation { continuation in
            let ended = state.withLock { state -> (any Error)? in
                if state.ended == nil { state.waiting[id] = continuation }
                return state.ended
            }
            if let ended { return continuation.resume(throwing: ended) }
            Task { await self.reply(type, id, message) }
        }
    }

    private func refuse(_ message: ToolMessage, _ error: any Error) async {
        switch error {
        case is ProgramError, is ToolDidNotHappen: await reply("tool_recorded", message.id, [:])
        case RunnerError.keyMismatch, RunnerError.tooLarge:
            await reply("tool_refused", message.id, ["error": .string(ErrorText.words(error))])
        default:
            // The run pauses, or the store failed: decided, whatever the program does now.
            state.withLock { $0.verdict = $0.verdict ?? error }
            await reply("tool_unknown", message.id, ["error": .string(ErrorText.words(error))])
        }
    }

    /// The answers that end a call.
    private static let lastAnswers: Set = [
        "tool_result", "tool_recorded", "tool_refused", "tool_unknown",
    ]

    private func reply(_ type: String, _ id: Int64, _ members: JSONObject) async {
        var members = members
        members["type"] = .string(type)
        members["id"] = .integer(id)
        // Before it is sent: the program may have its outcome ready.
        if Self.lastAnswers.contains(type) { state.withLock { _ = $0.unanswered.remove(id) } }
        await program.send(.object(members))
    }
}
