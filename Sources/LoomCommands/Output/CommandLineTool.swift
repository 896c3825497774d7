public import ArgumentParser
internal import Foundation

/// The outermost part of a command: errors in the house's way, broken pipes, version.
public enum CommandLineTool {
    /// The version of the package.
    public static let version = "0.1.0"

    /// What every command's help says of the log and of the exit status.
    static let discussion = """
        A log is one directory (--log DIR, $LOOMLOG_DIR, or ./runs.loom). Reading takes no lock \
        and changes nothing, also while a program writes. Data goes to standard output, everything \
        else to standard error.

        Exit status: 0 done or paused, 1 the run failed, 64 wrong use, 65 damaged data, a newer \
        version, or a step program that breaks the protocol, 66 no such run or log, 73 the run \
        exists or is over, 74 input, output or the step program failed, 75 held by another \
        process, 130 Ctrl-C.
        """

    /// What this program was called by.
    static var executableName: String {
        URL(filePath: CommandLine.arguments.first ?? "loomlog").lastPathComponent
    }

    /// Parses and runs a command, and ends the process.
    public static func main<Root: ParsableCommand>(_ root: Root.Type) async -> Never {
        Output.openClosedStreams()
        Output.ignoreBrokenPipes()
        if let failure = refusedWord() {
            failure.tell()
            exit(failure.status.rawValue)
        }
        do {
            var command = try Root.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            exit(0)
        } catch {
            // What was told already; then help and version.
            if let code = error as? ExitCode { exit(code.rawValue) }
            let code = Root.exitCode(for: error)
            if code.isSuccess {
                Output.write([Root.fullMessage(for: error)])
                exit(0)
            }
            guard code == .validationFailure else { Root.exit(withError: error) }
            CommandFailure(
                message: Root.message(for: error), hint: "\(named(root)) --help says more",
                status: .usage
            ).tell()
            exit(ExitStatus.usage.rawValue)
        }
    }

    /// Why the command line is refused before it is parsed: Swift repairs what is not UTF-8, and
    /// two names that differ in the repaired bytes would become one.
    private static func refusedWord() -> CommandFailure? {
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let word = unsafe CommandLine.unsafeArgv[index],
                unsafe String(validatingCString: word) == nil
            else { continue }
            return CommandFailure(
                message: "argument \(index) is not UTF-8: \(unsafe String(cString: word))",
                hint: "give names, texts and paths in UTF-8", status: .usage)
        }
        guard let folder = unsafe getenv("LOOMLOG_DIR"),
            unsafe String(validatingCString: folder) == nil
        else { return nil }
        return CommandFailure(
            message: "$LOOMLOG_DIR is not UTF-8: \(unsafe String(cString: folder))",
            hint: "name the log by a path in UTF-8", status: .usage)
    }

    /// The command that was meant, as far as it is known.
    private static func named<Root: ParsableCommand>(_ root: Root.Type) -> String {
        let first = CommandLine.arguments.dropFirst().first
        for command in root.configuration.subcommands {
            guard let name = command.configuration.commandName, name == first else { continue }
            return "\(executableName) \(name)"
        }
        return executableName
    }
}
