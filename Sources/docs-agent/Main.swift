public import ArgumentParser
import Foundation
import LoomCommands
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import SystemPackage

/// The command: drives the agent, and looks at its runs.
@main
struct DocsAgentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "docs-agent",
        abstract: "Answer a question over a folder of text files, durably.",
        discussion: """
            The agent lists the files, searches them, reads the best ones and quotes what it \
            found. Kill it at any instant; resume goes on where it stood, and no tool call that \
            was completed is made again.
            """,
        subcommands: [RunCommand.self, ResumeCommand.self] + ReadCommands.all)

    static func main() async {
        Output.ignoreBrokenPipes()
        await main(nil)
    }
}

/// What run and resume share.
struct DriveArguments: ParsableArguments {
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var output: OutputArguments
    @Option(help: "Steps after which the run is paused (default: none).") var maxSteps: Int?
    @Option(help: "What an acknowledged step survives: off, normal or full.")
    var durability = Durability.normal
    @Flag(help: "Wait while another process has the log, instead of giving up.")
    var wait = false
    @Option(help: "A file that gets a line for every tool call that really runs.")
    var journal: String?
    @Option(help: "Kill this process with SIGKILL in this step, after its tool call was recorded.")
    var killInStep: UInt64?

    func validate() throws {
        if let maxSteps, maxSteps < 0 { throw ValidationError("--max-steps is below zero") }
    }

    /// Opens the log, drives, prints where the run stands.
    func drive(
        _ body: (Runner<DocsAgent>, RunID) async throws -> RunResult<DocsAgent>
    ) async throws {
        try await reporting {
            let run = try run.run()
            var logOptions = LogOptions(durability: durability)
            if wait { logOptions.lockWaitNanoseconds = 24 * 3_600_000_000_000 }
            let store = try LogRunStore(path: log.directory, options: logOptions)
            var agent = DocsAgent(tools: DocsTools(journal: journal))
            if let killInStep {
                agent.afterTool = { context in
                    if context.attempt.step == killInStep { kill(getpid(), SIGKILL) }
                }
            }
            var options = RunnerOptions()
            options.holder = "docs-agent"
            let result = try await body(Runner(agent, store: store, options: options), run)
            try store.close()
            let view = try log.reader().get(run)
            output.print(view.json, lines(of: result))
            if result.status == .failed { throw ExitCode(1) }
        }
    }

    private func lines(of result: RunResult<DocsAgent>) -> [String] {
        var lines = ["\(result.run): \(result.status.rawValue) at step \(result.stepIndex)"]
        if let last = result.output?.transcript.last { lines += ["", last.text] }
        if let failure = result.failure { lines.append(failure.message) }
        return lines
    }
}

extension Durability: ExpressibleByArgument {}

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Start a run and drive it.")
    @OptionGroup var drive: DriveArguments
    @Option(help: "The folder of text files.") var folder = "."
    @Option(help: "The question.") var question = "What happens to a run after a crash?"

    func run() async throws {
        try await drive.drive { runner, run in
            let state = DocsAgent.start(question: question, folder: folder)
            return try await runner.start(run, state: state, stepsMax: drive.maxSteps)
        }
    }
}

struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Go on with a run where it stood.")
    @OptionGroup var drive: DriveArguments

    func run() async throws {
        try await drive.drive { runner, run in
            try await runner.resume(run, stepsMax: drive.maxSteps)
        }
    }
}
