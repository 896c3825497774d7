internal import ArgumentParser
internal import Foundation
internal import LoomModel
internal import LoomRunner
internal import LoomStdio

/// How a step program is run.
struct ProgramArguments: ParsableArguments {
    @Argument(
        parsing: .postTerminator,
        help: "The step program and its arguments, after --; it speaks JSON lines.")
    var program: [String] = []
    @Option(
        parsing: .unconditional,
        help: "Seconds that a step may go on after Ctrl-C, before its program is killed.")
    var grace = 10.0
    @Option(help: "The folder that the program runs in (default: this one).") var cwd: String?
    @Option(
        name: .customLong("env"),
        help: "A variable that the program gets: NAME to pass it on, NAME=VALUE to set it.")
    var variables: [String] = []
    @Option(parsing: .unconditional, help: "The longest line of the program, in bytes.")
    var lineMax = 16 << 20
    @Option(
        parsing: .unconditional, help: "Seconds that the program may take to say hello.")
    var startTimeout = 10.0

    func validate() throws {
        guard !program.isEmpty else {
            throw ValidationError("name the step program after --, as in: -- python3 counter.py")
        }
        guard lineMax >= 1024 else { throw ValidationError("--line-max must be 1024 or more") }
        try SecondsOption.check(startTimeout, "--start-timeout", mayBeZero: false)
        try SecondsOption.check(grace, "--grace", mayBeZero: true)
        for variable in variables where Self.name(of: variable).isEmpty {
            throw ValidationError("--env takes NAME or NAME=VALUE; one given here has no name")
        }
        let present = ProcessInfo.processInfo.environment
        for name in variables where !name.contains("=") && present[name] == nil {
            throw ValidationError(
                "--env \(name): there is no such variable here; set it, or give \(name)=VALUE")
        }
    }

    /// The name in an `--env`; its value may be a secret, and is printed nowhere.
    private static func name(of variable: String) -> String {
        String(variable.prefix { $0 != "=" })
    }

    func options(_ drive: DriveArguments) -> StepProgramOptions {
        var options = StepProgramOptions(program)
        options.folder = cwd
        options.lineBytesMax = lineMax
        options.helloTimeout = .seconds(startTimeout)
        options.stepTimeout = drive.timeout.map { .seconds($0) }
        options.cancelGrace = .seconds(grace)
        for variable in variables {
            let parts = variable.utf8.split(
                separator: 0x3D, maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 {
                options.variables[String(Substring(parts[0]))] = String(Substring(parts[1]))
            } else {
                options.passed.append(variable)
            }
        }
        options.errors = { Output.raw($0) }
        // A command drives one run.
        options.programsMax = 1
        return options
    }

    /// What to type next: the program, and the options that a resume needs as well. Of variables
    /// the names alone: whoever pastes the line has the values, or gives them again.
    func next(_ drive: DriveArguments) -> NextLine {
        var words = variables.flatMap { ["--env", Self.name(of: $0)] }
        if let cwd { words += ["--cwd", cwd] }
        if let timeout = drive.timeout { words += ["--timeout", "\(timeout)"] }
        return NextLine(drive.log, program: program, more: words)
    }

    /// Starts the program, and stops it when `body` is done.
    func running<Result>(
        _ drive: DriveArguments, _ body: (StdioLoop) async throws -> Result
    ) async throws -> Result {
        let loop = try await StdioLoop(options(drive))
        do {
            let result = try await body(loop)
            await stop(loop)
            return result
        } catch {
            await stop(loop)
            throw error
        }
    }

    /// What the run came to stays so: a program that cannot be ended is told beside it.
    private func stop(_ loop: StdioLoop) async {
        do {
            try await loop.stop()
        } catch {
            Output.note("\(error)")
        }
    }
}

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Start a run of a step program and drive it.",
        usage: "loomlog run [RUN] [options] -- PROGRAM [ARGUMENT ...]",
        discussion: """
            The program reads one JSON object a line from its standard input and answers on its \
            standard output: a hello, then for each step an outcome. Tools/python/loomlog_step.py \
            does that for Python. What it prints to standard error is passed on.

              loomlog run demo --max-steps 5 -- python3 counter.py
              loomlog resume demo -- python3 counter.py
            """)
    @OptionGroup var drive: DriveArguments
    @OptionGroup var start: StartArguments
    @OptionGroup(title: "The step program") var program: ProgramArguments

    func run() async throws {
        try await reporting {
            let input = try start.json()
            try await Driving(
                drive, createsLog: true, next: program.next(drive)
            ).drive { store in
                try await program.running(drive) { loop in
                    guard let state = input ?? loop.firstState else {
                        throw UsageError(
                            "the step program has no first state",
                            hint: "give one by --input JSON or --input @FILE")
                    }
                    let runner = Runner(
                        drive.watched(loop), store: store,
                        options: start.options(drive.programOptions))
                    return try await runner.start(
                        drive.run.run(), state: state, stepsMax: drive.maxSteps,
                        ifExists: start.ifExists.policy)
                }
            }
        }
    }
}

struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Go on with a run of a step program where it stood.",
        usage: "loomlog resume [RUN] [options] -- PROGRAM [ARGUMENT ...]")
    @OptionGroup var drive: DriveArguments
    @OptionGroup(title: "The step program") var program: ProgramArguments

    func run() async throws {
        try await reporting {
            try await Driving(
                drive, createsLog: false, next: program.next(drive)
            ).drive { store in
                try await program.running(drive) { loop in
                    try await Runner(
                        drive.watched(loop), store: store, options: drive.programOptions
                    )
                    .resume(drive.run.run(), stepsMax: drive.maxSteps)
                }
            }
        }
    }
}
