public import LoomModel
public import LoomRunner
internal import Synchronization

/// A loop whose steps are done by another program, in any language, over its standard input and
/// output: JSON lines, see the article on steps in any language.
///
/// The program is started once and does one step after the other. One that ends in a step is
/// started anew, and the attempt counts as interrupted; what its tools have completed is answered
/// from the log.
///
/// ```swift
/// let loop = try await StdioLoop(StepProgramOptions(["python3", "counter.py"]))
/// let result = try await Runner(loop, store: store).start(run, state: loop.firstState ?? .null)
/// await loop.stop()
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
    private let program: Mutex<StepProgram?>

    /// Starts the program and lets it introduce itself.
    ///
    /// - Throws: ``StepProgramError``.
    public init(_ options: StepProgramOptions) async throws {
        let (program, hello) = try await Self.begin(options)
        self.options = options
        name = hello.name
        stateVersion = hello.stateVersion
        firstState = hello.state
        migrates = hello.migrates
        self.program = Mutex(program)
    }

    /// Ends the program. It may be called again, and the loop used again, which starts it anew.
    public func stop() async {
        let program = program.withLock { program in
            defer { program = nil }
            return program
        }
        await program?.stop()
    }

    /// Ends every step program of this process at once: for a process that is about to end without
    /// ``stop()``.
    public static func killAll() { StepProgram.killAll() }

    /// States as the program gives them, in canonical form.
    public var stateCodec: ValueCodec<JSONValue> { .anyJSON }
    /// Results likewise.
    public var outputCodec: ValueCodec<JSONValue> { .anyJSON }

    private static func begin(
        _ options: StepProgramOptions
    ) async throws -> (StepProgram, ProgramHello) {
        let program = try await StepProgram.start(options)
        let hello = JSONValue.object([
            "type": .string("hello"), "protocol": .integer(ProgramMessage.version),
        ])
        await program.send(hello)
        let isLate = Mutex(false)
        let watch = Task {
            try await Task.sleep(for: options.helloTimeout)
            isLate.withLock { $0 = true }
            program.kill()
        }
        defer { watch.cancel() }
        do {
            guard case .hello(let hello) = try await program.next().message else {
                throw StepProgramError.outOfTurn("another message than hello")
            }
            return (program, hello)
        } catch {
            await program.stop()
            if isLate.withLock({ $0 }) { throw StepProgramError.silent(options.helloTimeout) }
            if case .ended(let how)? = error as? StepProgramError {
                throw StepProgramError.endedAtStart(how)
            }
            throw error
        }
    }

    /// The running program, or a new one in place of one that ended.
    private func running() async throws -> StepProgram {
        if let program = program.withLock({ $0 }) { return program }
        let (program, hello) = try await Self.begin(options)
        guard hello.name == name, hello.stateVersion == stateVersion else {
            await program.stop()
            throw StepProgramError.outOfTurn("another name or state version after a restart")
        }
        self.program.withLock { $0 = program }
        return program
    }

    /// Has the program bring a state of an older version into the present shape.
    ///
    /// - Throws: `RunnerError.stateVersion` when it cannot; ``StepProgramError``; what it says.
    public func migrate(_ state: [UInt8], from version: UInt64) async throws -> JSONValue {
        guard migrates, version < stateVersion else {
            throw RunnerError.stateVersion(stored: version, expected: stateVersion)
        }
        let program = try await running()
        let turn = program.beginStep()
        await program.send(
            .object([
                "type": .string("migrate"), "turn": .integer(turn),
                "from": .integer(Int64(clamping: version)),
                "state": try JSONValue(parsing: state),
            ]))
        return try await exchange(with: program) { _ in
            try await Self.migrated(by: program, turn)
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
            case .migrated(let state): return state
            case .error(let error): throw error
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
        let program = try await running()
        // Not cancelled itself: the program is heard until it has an outcome, or is gone.
        let talk = Task { try await Conversation(program, context).run(state) }
        do {
            return try await exchange(with: program) { end in
                try await withTaskCancellationHandler {
                    try await talk.value
                } onCancel: {
                    end.kill(after: options.cancelGrace, isTimeout: false)
                }
            }
        } catch  where error is StepProgramError && Task.isCancelled {
            throw CancellationError()
        }
    }
}

extension StdioLoop {
    /// Runs `body` within the time that a step may take. A program that broke off in it, or was
    /// killed, is not used again, whatever came of it: the next step starts another one.
    private func exchange<Result>(
        with program: StepProgram, _ body: (ProgramEnd) async throws -> Result
    ) async throws -> Result {
        let end = ProgramEnd(program)
        if let limit = options.stepTimeout { end.kill(after: limit, isTimeout: true) }
        do {
            let result = try await body(end)
            end.cancel()
            if end.hasKilled { await drop(program) }
            return result
        } catch {
            end.cancel()
            let isOfProgram = error is StepProgramError
            if isOfProgram || end.hasKilled { await drop(program) }
            if isOfProgram, end.isTimeout, let limit = options.stepTimeout {
                throw AttemptTimeout(limit: limit)
            }
            throw error
        }
    }

    private func drop(_ program: StepProgram) async {
        self.program.withLock { $0 = nil }
        await program.stop()
    }
}

/// The end of a program in a step, in case the step does not end before it.
private final class ProgramEnd: Sendable {
    private struct State {
        var timers: [Task<Void, any Error>] = []
        var isOver = false
        var hasKilled = false
        var isTimeout = false
    }
    private let program: StepProgram
    private let state = Mutex(State())

    init(_ program: StepProgram) { self.program = program }

    /// Whether the program was killed.
    var hasKilled: Bool { state.withLock { $0.hasKilled } }
    /// Whether it was because its step took too long.
    var isTimeout: Bool { state.withLock { $0.isTimeout } }

    func kill(after time: Duration, isTimeout: Bool) {
        let timer = Task {
            try await Task.sleep(for: time)
            self.kill(isTimeout: isTimeout)
        }
        state.withLock { $0.timers.append(timer) }
    }

    /// With the lock held, so that the program of the next step is never hit.
    private func kill(isTimeout: Bool) {
        state.withLock { state in
            guard !state.isOver else { return }
            state.isOver = true
            state.hasKilled = true
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
