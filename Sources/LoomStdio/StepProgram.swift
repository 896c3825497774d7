internal import AsyncAlgorithms
internal import LoomModel
internal import Subprocess
internal import Synchronization
internal import SystemPackage

/// How a step program is started.
public struct StepProgramOptions: Sendable {
    /// The command and its arguments; the command is looked up on PATH when it has no slash.
    public var command: [String]
    /// The folder that it runs in; `nil` for the present one.
    public var folder: String?
    /// Names of variables that it gets from this process, besides ``inherited``.
    public var passed: [String] = []
    /// Variables that it gets with these values.
    public var variables: [String: String] = [:]
    /// The longest line, in bytes. 16 MiB.
    public var lineBytesMax = 16 << 20
    /// How long it may take to say hello. 10 s.
    public var helloTimeout = Duration.seconds(10)
    /// How long one step may take; `nil` for as long as it likes. In place of
    /// `RunnerOptions.attemptTimeout`, which could only leave a program behind.
    public var stepTimeout: Duration?
    /// How long a step may go on that was cancelled, before its program is killed. 10 s.
    public var cancelGrace = Duration.seconds(10)
    /// Bytes of its standard error that are passed on for each step; the rest is counted. 64 KiB.
    public var errorBytesMax = 64 << 10
    /// Gets what is passed on.
    public var errors: @Sendable ([UInt8]) -> Void = { _ in }

    /// Variables that every step program gets, when they are set. Others may hold secrets that it
    /// has no business with.
    public static let inherited = [
        "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV",
        "PYTHONPATH",
    ]

    /// Creates the options for a command.
    public init(_ command: [String]) { self.command = command }
}

/// A step program that runs: a child process in a process group of its own, lines in, lines out.
final class StepProgram: Sendable {
    private let options: StepProgramOptions
    private let lines = AsyncThrowingChannel<[UInt8], any Error>()
    private let state = Mutex(State())
    private let errors: ErrorBudget

    private struct State {
        var writer: StandardInputWriter?
        var kill: (@Sendable () -> Void)?
        var life: Task<Void, Never>?
        /// Steps that it was given.
        var turn: Int64 = 0
    }

    /// How to end the programs that run.
    private static let running = Mutex<[ObjectIdentifier: @Sendable () -> Void]>([:])

    static func killAll() {
        for kill in running.withLock({ $0.values }) { kill() }
    }

    private init(_ options: StepProgramOptions) {
        self.options = options
        errors = ErrorBudget(options)
    }

    /// Starts the program; returns when it runs.
    static func start(_ options: StepProgramOptions) async throws -> StepProgram {
        let program = StepProgram(options)
        try await withCheckedThrowingContinuation { started in
            let start = Once(started)
            let life = Task { await program.live(start) }
            program.state.withLock { $0.life = life }
        }
        return program
    }

    /// The program's life, from its start to its end.
    private func live(_ start: Once) async {
        var platform = PlatformOptions()
        platform.processGroupID = 0
        do {
            let result = try await run(
                executable, arguments: Arguments(Array(options.command.dropFirst())),
                environment: environment,
                workingDirectory: options.folder.map { FilePath($0) },
                platformOptions: platform, input: .inputWriter, output: .sequence,
                error: .sequence
            ) { execution in
                let kill = { @Sendable in
                    _ = try? execution.send(signal: .kill, toProcessGroup: true)
                }
                self.state.withLock {
                    $0.writer = execution.standardInputWriter
                    $0.kill = kill
                }
                Self.running.withLock { $0[ObjectIdentifier(self)] = kill }
                defer { Self.running.withLock { $0[ObjectIdentifier(self)] = nil } }
                start.succeed()
                async let drained: Void = self.drain(execution.standardError)
                await self.read(execution.standardOutput)
                // Whatever it started goes with it.
                self.kill()
                await drained
            }
            lines.fail(StepProgramError.ended(Self.words(result.terminationStatus)))
        } catch {
            start.fail(StepProgramError.notStarted("\(error)"))
            lines.fail(StepProgramError.ended("unexpectedly: \(error)"))
        }
        state.withLock { $0.writer = nil }
    }

    private var executable: Executable {
        let name = options.command.first ?? ""
        return name.contains("/") ? .path(FilePath(name)) : .name(name)
    }

    private var environment: Environment {
        var values: [Environment.Key: String] = [:]
        let present = ProcessVariables.all
        for name in StepProgramOptions.inherited + options.passed {
            if let key = Environment.Key(rawValue: name), let value = present[name] {
                values[key] = value
            }
        }
        for (name, value) in options.variables {
            if let key = Environment.Key(rawValue: name) { values[key] = value }
        }
        return .custom(values)
    }

    /// Hands lines on one by one: the program is read no faster than it is listened to.
    private func read(_ output: SubprocessOutputSequence) async {
        var splitter = LineSplitter(limit: options.lineBytesMax)
        do {
            for try await buffer in output {
                let bytes = unsafe buffer.withUnsafeBytes { unsafe Array($0) }
                for line in try splitter.add(bytes) { await lines.send(line) }
            }
        } catch {
            lines.fail(error)
        }
    }

    private func drain(_ output: SubprocessOutputSequence) async {
        do {
            for try await buffer in output {
                errors.add(unsafe buffer.withUnsafeBytes { unsafe Array($0) })
            }
        } catch {}
        errors.flush()
    }

    /// A new step, by its number for this program: its share of standard error begins.
    func beginStep() -> Int64 {
        errors.flush()
        return state.withLock { state in
            state.turn += 1
            return state.turn
        }
    }

    /// The next message; throws how the program ended when there is none.
    func next() async throws -> ProgramLine {
        var iterator = lines.makeAsyncIterator()
        guard let line = try await iterator.next() else {
            throw StepProgramError.ended("before its step did")
        }
        return try ProgramLine(line)
    }

    /// Sends one message. A program that is gone is noticed by whoever reads.
    func send(_ message: JSONValue) async {
        guard let writer = state.withLock({ $0.writer }) else { return }
        _ = try? await writer.write(message.canonicalBytes + [0x0A])
    }

    /// Ends the program and everything in its process group, at once.
    func kill() {
        let kill = state.withLock { state in
            defer { state.kill = nil }
            return state.kill
        }
        kill?()
    }

    /// Closes its standard input, gives it a moment to end, then kills it.
    func stop() async {
        try? await state.withLock({ $0.writer })?.finish()
        let life = state.withLock { $0.life }
        let killer = Task {
            try await Task.sleep(for: .seconds(1))
            self.kill()
        }
        // Nobody listens any more: what it still says is read and dropped.
        let drain = Task { for try await _ in self.lines {} }
        await life?.value
        killer.cancel()
        drain.cancel()
    }

    private static func words(_ status: TerminationStatus) -> String {
        switch status {
        case .exited(let code): "with status \(code)"
        case .signaled(let signal): "by signal \(signal)"
        }
    }
}
