internal import LoomFormat
public import LoomModel
public import LoomRunner
internal import Synchronization

/// A loop whose steps are done by another program, in any language, over its standard input and
/// output: JSON lines, see the article on steps in any language.
///
/// Any number of tasks may drive runs of the loop. Each step has a copy of the program to itself:
/// one that is already there, or a new one, up to ``StepProgramOptions/programsMax``. A copy does
/// one step after the other. One that ends in a step is replaced, and the attempt counts as
/// interrupted; what its tools have completed is answered from the log.
///
/// ```swift
/// let loop = try await StdioLoop(StepProgramOptions(["python3", "counter.py"]))
/// let result = try await Runner(loop, store: store).start(run, state: loop.firstState ?? .null)
/// try await loop.stop()
/// ```
public final class StdioLoop: StepLoop {
    /// The durable name of the loop, as the program says it.
    public let name: String
    /// The version of its states.
    public let stateVersion: UInt64
    /// The first state, when the program has one.
    public let firstState: JSONValue?

    private let options: StepProgramOptions
    private let migrates: Bool
    private let pool: ProgramPool

    /// Starts the program and lets it introduce itself.
    ///
    /// - Throws: ``StepProgramError``; `CancellationError`, and then the program is killed.
    public init(_ options: StepProgramOptions) async throws {
        let pool = ProgramPool(options)
        let introduced = Mutex<ProgramHello?>(nil)
        let program = try await pool.take(for: nil) { program in
            let hello = try await Self.meet(program)
            introduced.withLock { $0 = hello }
        }
        try await pool.giveBack(program, run: nil)
        guard let hello = introduced.withLock({ $0 }) else {
            throw StepProgramError.silent(options.helloTimeout)
        }
        self.options = options
        self.pool = pool
        name = hello.name
        stateVersion = hello.stateVersion
        firstState = hello.state
        migrates = hello.migrates
    }

    /// Ends every copy of the program: closes its input, and kills it if it has not ended a second
    /// later. Steps that run, or wait for a copy, throw ``StepProgramError/stopped``, which pauses
    /// their runs. It may be called again, and the loop used again, which starts the program anew.
    ///
    /// - Throws: ``StepProgramError/notEnded(_:)`` when a copy is still there some seconds after
    ///   SIGKILL. It is then left behind.
    public func stop() async throws { try await pool.stop() }

    /// Ends every step program of this process at once: for a process that is about to end without
    /// ``stop()``.
    public static func killAll() { StepProgram.killAll() }

    /// States as the program gives them, in canonical form.
    public var stateCodec: ValueCodec<JSONValue> { .anyJSON }
    /// Results likewise.
    public var outputCodec: ValueCodec<JSONValue> { .anyJSON }

    /// Exchanges hellos with a program that was just started.
    private static func meet(_ program: StepProgram) async throws -> ProgramHello {
        let options = program.options
        program.post(
            .object([
                "type": .string("hello"), "protocol": .integer(ProgramMessage.version),
                "calls_max": .integer(Int64(options.openCallsMax)),
            ]))
        let isLate = Mutex(false)
        let watch = Task {
            try await Task.sleep(for: options.helloTimeout.sleepable)
            isLate.withLock { $0 = true }
            program.kill()
        }
        defer { watch.cancel() }
        do {
            return try await withTaskCancellationHandler {
                guard case .hello(let hello) = try await program.next().message else {
                    throw StepProgramError.outOfTurn("another message than hello")
                }
                return hello
            } onCancel: {
                program.kill()
            }
        } catch {
            if Task.isCancelled { throw CancellationError() }
            if isLate.withLock({ $0 }) { throw StepProgramError.silent(options.helloTimeout) }
            if case .ended(let how)? = error as? StepProgramError {
                throw StepProgramError.endedAtStart(how)
            }
            throw error
        }
    }

    /// As ``meet(_:)``; a later copy must be what the first one was.
    private func meetAgain(_ program: StepProgram) async throws {
        let hello = try await Self.meet(program)
        guard hello.name.hasSameBytes(as: name), hello.stateVersion == stateVersion else {
            throw StepProgramError.outOfTurn("another name or state version after a restart")
        }
    }

    /// Has the program bring a state of an older version into the present shape.
    ///
    /// Cancelled, it ends as a step does.
    ///
    /// - Throws: `RunnerError.stateVersion` when it cannot; ``StepProgramError``; what it says.
    public func migrate(_ state: [UInt8], from version: UInt64) async throws -> JSONValue {
        guard migrates, version < stateVersion else {
            throw RunnerError.stateVersion(stored: version, expected: stateVersion)
        }
        let state = try JSONValue(parsing: state)
        return try await exchange(for: nil) { program in
            let turn = program.beginStep()
            program.post(
                .object([
                    "type": .string("migrate"), "turn": .integer(turn),
                    "from": .integer(Int64(clamping: version)), "state": state,
                ]))
            return try await Self.migrated(by: program, turn)
        }
    }

    private static func migrated(
        by program: StepProgram, _ turn: Int64
    ) async throws -> JSONValue {
        while true {
            let line = try await program.next()
            if case .log = line.message { continue }
            guard line.turn == turn else { throw StepProgramError.outOfTurn("a late message") }
            switch line.message {
            case .migrated(let state):
                program.endStep()
                return state
            case .error(let error):
                program.endStep()
                throw error
            default: throw StepProgramError.outOfTurn("another message than migrated")
            }
        }
    }

    /// Has the program do one step.
    ///
    /// A cancelled step may still come to its end for ``StepProgramOptions/cancelGrace``; then its
    /// process group is killed. One that takes longer than ``StepProgramOptions/stepTimeout`` is
    /// killed at once, and throws `AttemptTimeout`.
    public func step(
        _ state: JSONValue, _ context: StepContext
    ) async throws -> Outcome<JSONValue, JSONValue> {
        try await exchange(for: context.run) { program in
            try await Conversation(program, context).run(state)
        }
    }
}

extension StdioLoop {
    /// Runs `body` with a program, within the time that a step may take, and that a cancelled one
    /// may go on.
    private func exchange<Result: Sendable>(
        for run: RunID?, _ body: @escaping @Sendable (StepProgram) async throws -> Result
    ) async throws -> Result {
        do {
            return try await timed(for: run) { program, end in
                // Not cancelled itself: the program is heard until it has an outcome, or is gone.
                let talk = Task { try await body(program) }
                return try await withTaskCancellationHandler {
                    try await talk.value
                } onCancel: {
                    end.kill(after: options.cancelGrace, isTimeout: false)
                }
            }
        } catch  where error is StepProgramError && Task.isCancelled {
            throw CancellationError()
        }
    }

    /// Runs `body` with a program, within the time that a step may take. A program that broke off
    /// in it, was killed, or has not said the end of its step is not used again.
    private func timed<Result>(
        for run: RunID?, _ body: (StepProgram, ProgramEnd) async throws -> Result
    ) async throws -> Result {
        let stops = pool.stops
        let program = try await pool.take(for: run, meetAgain)
        let end = ProgramEnd(program)
        if let limit = options.stepTimeout { end.kill(after: limit, isTimeout: true) }
        do {
            let result = try await body(program, end)
            end.cancel()
            // The result counts, even if a program that was killed too late cannot be ended.
            try? await pool.giveBack(program, run: run)
            return result
        } catch {
            end.cancel()
            let isOfProgram = error is StepProgramError
            // One that still runs says more than why it should not: its step must not run twice.
            try await pool.giveBack(program, run: run, isSpoiled: isOfProgram)
            if isOfProgram, end.isTimeout, let limit = options.stepTimeout {
                throw AttemptTimeout(limit: limit)
            }
            // Not that it ended: its step would be begun again, by a program that nobody stops.
            if isOfProgram, pool.stops != stops { throw StepProgramError.stopped }
            throw error
        }
    }
}

/// The end of a program in a step, in case the step does not end before it.
private final class ProgramEnd: Sendable {
    private struct State {
        var timers: [Task<Void, any Error>] = []
        var isOver = false
        var isTimeout = false
    }
    private let program: StepProgram
    private let state = Mutex(State())

    init(_ program: StepProgram) { self.program = program }

    /// Whether it was because its step took too long.
    var isTimeout: Bool { state.withLock { $0.isTimeout } }

    func kill(after time: Duration, isTimeout: Bool) {
        let timer = Task {
            try await Task.sleep(for: time.sleepable)
            self.kill(isTimeout: isTimeout)
        }
        state.withLock { $0.timers.append(timer) }
    }

    /// With the lock held, so that the program of the next step is never hit.
    private func kill(isTimeout: Bool) {
        state.withLock { state in
            guard !state.isOver else { return }
            state.isOver = true
            state.isTimeout = isTimeout
            program.kill()
        }
    }

    func cancel() {
        state.withLock { state in
            state.isOver = true
            for timer in state.timers { timer.cancel() }
        }
    }
}

extension Duration {
    /// The duration, or a century where it is longer: the clocks of the system overflow.
    var sleepable: Duration { min(self, .seconds(3_155_760_000)) }
}
