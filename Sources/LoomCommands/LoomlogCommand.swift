public import ArgumentParser

/// The `loomlog` command. Programs that embed a loop are a ``StepLoopProgram``.
public struct LoomlogCommand: AsyncParsableCommand {
    /// Its name and what it can do.
    public static let configuration = CommandConfiguration(
        commandName: "loomlog",
        abstract: "Drive durable step loops, and look at their runs: history, tool calls, the log.",
        discussion: CommandLineTool.discussion + """


            New here: loomlog demo. Completions: loomlog --generate-completion-script bash|zsh|fish.
            """,
        version: CommandLineTool.version,
        groupedSubcommands: [
            CommandGroup(
                name: "Drive:",
                subcommands: [RunCommand.self, ResumeCommand.self] + ChangeCommands.all),
            CommandGroup(
                name: "Look:", subcommands: ReadCommands.all + [InfoCommand.self]),
            CommandGroup(
                name: "Care:",
                subcommands: [
                    CompactCommand.self, ReindexCommand.self, BackupCommand.self,
                    ExportCommand.self, ImportCommand.self, DumpCommand.self,
                ]),
            CommandGroup(
                name: "Try:", subcommands: [DemoCommand.self, DemoAgentCommand.self]),
        ])

    /// Creates the command.
    public init() {}
}
