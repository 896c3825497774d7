public import ArgumentParser

/// The `loomlog` command. Programs that embed a loop add ``ReadCommands`` to their own.
public struct LoomlogCommand: AsyncParsableCommand {
    /// Its name and what it can do.
    public static let configuration = CommandConfiguration(
        commandName: "loomlog",
        abstract: "Look at durable step loops: runs, their history, their tool calls, their log.",
        discussion: """
            A log is one directory (--log DIR, $LOOMLOG_DIR, or ./runs.loom). Reading takes no \
            lock and changes nothing, also while a program writes. Exit status: 0 done, 64 wrong \
            use, 65 damaged or of a newer version, 66 no such run or log, 73 the run exists or is \
            over, 74 input or output failed, 75 held by another process.
            """,
        version: "0.1.0",
        subcommands: ReadCommands.all + [InfoCommand.self, DumpCommand.self])

    /// Creates the command.
    public init() {}
}
