public import ArgumentParser
public import LoomRunner

/// A loop that is a program: this conformance and `@main` make an executable with `run`, `resume`,
/// `retry`, `cancel`, `pause`, `resolve`, `label`, `policy` and every read.
///
/// ```swift
/// @main struct CounterAgent: StepLoopProgram {
///     struct State: Codable, Sendable { var current = 0; var target = 10 }
///     let name = "counter"
///
///     static func make(_ arguments: NoArguments) -> CounterAgent { CounterAgent() }
///     static func start(_ arguments: NoArguments) -> State { State() }
///
///     func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
///         if state.current == state.target { return .complete(state.current) }
///         return .continue(State(current: state.current + 1, target: state.target))
///     }
/// }
/// ```
///
/// ```text
/// counter-agent run --run-id demo --log runs.loom --max-steps 5
/// counter-agent resume demo
/// counter-agent explain demo
/// ```
public protocol StepLoopProgram: StepLoop where State: Codable, Output: Codable {
    /// Options of the program's own, for `run` and `resume`.
    associatedtype Arguments: ParsableArguments = NoArguments

    /// What the program is for, in a line of its help.
    static var abstract: String { get }

    /// The loop, by the options.
    static func make(_ arguments: Arguments) throws -> Self

    /// The first state of a new run, where `--input` does not give it.
    static func start(_ arguments: Arguments) throws -> State
}

/// No options of a program's own.
public struct NoArguments: ParsableArguments {
    /// Creates them.
    public init() {}
}

extension StepLoopProgram {
    /// Says that it is a durable loop.
    public static var abstract: String { "Drive a durable step loop, and look at its runs." }

    /// Refuses: there is no first state but the one that `--input` gives.
    public static func start(_ arguments: Arguments) throws -> State {
        throw ValidationError("give the first state by --input JSON or --input @FILE")
    }

    /// Runs the program's command line.
    @concurrent public static func main() async {
        await CommandLineTool.main(ProgramCommand<Self>.self)
    }
}

/// The command line of a ``StepLoopProgram``.
public struct ProgramCommand<Program: StepLoopProgram>: AsyncParsableCommand {
    /// Its name is that of the executable.
    public static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: CommandLineTool.executableName,
            abstract: Program.abstract,
            discussion: CommandLineTool.discussion,
            version: CommandLineTool.version,
            groupedSubcommands: [
                CommandGroup(
                    name: "Drive:",
                    subcommands: [
                        ProgramRunCommand<Program>.self, ProgramResumeCommand<Program>.self,
                    ] + ChangeCommands.all),
                CommandGroup(name: "Look:", subcommands: ReadCommands.all),
            ])
    }

    /// Creates the command.
    public init() {}
}

struct ProgramRunCommand<Program: StepLoopProgram>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "run", abstract: "Start a run and drive it.")
    }
    @OptionGroup var drive: DriveArguments
    @OptionGroup var start: StartArguments
    @OptionGroup(title: "Options of the program") var own: Program.Arguments

    func run() async throws {
        try await reporting {
            let loop = try Program.make(own)
            let state = try start.state(Program.State.self) { try Program.start(own) }
            try await Driving(drive, createsLog: true).drive { store in
                let runner = Runner(
                    drive.watched(loop), store: store, options: start.options(drive.options))
                return try await runner.start(
                    drive.run.run(), state: state, stepsMax: drive.maxSteps,
                    ifExists: start.ifExists.policy)
            }
        }
    }
}

struct ProgramResumeCommand<Program: StepLoopProgram>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "resume", abstract: "Go on with a run where it stood.")
    }
    @OptionGroup var drive: DriveArguments
    @OptionGroup(title: "Options of the program") var own: Program.Arguments

    func run() async throws {
        try await reporting {
            let loop = try Program.make(own)
            try await Driving(drive, createsLog: false).drive { store in
                try await Runner(drive.watched(loop), store: store, options: drive.options)
                    .resume(drive.run.run(), stepsMax: drive.maxSteps)
            }
        }
    }
}
