internal import ArgumentParser
internal import LoomFormat
internal import LoomModel
internal import LoomRuns

struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Explain where a run stands and what happened to it.")
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var output: OutputArguments

    func run() async throws {
        try await reporting {
            let explanation = try log.reader().explain(try run.run())
            output.print(explanation.json, explanation.lines)
        }
    }
}

struct StatsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats", abstract: "Count the states, attempts and tool calls of a run.")
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var output: OutputArguments

    func run() async throws {
        try await reporting {
            let stats = try log.reader().stats(try run.run())
            output.print(
                stats.json,
                [
                    "states   \(stats.stepCount)",
                    "attempts \(stats.attemptCount), of which \(stats.failedAttemptCount) failed "
                        + "and \(stats.retryCount) were retries",
                    "tools    \(stats.toolCallCount) calls",
                ])
        }
    }
}

struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check that the events of a run are such as a runner writes.",
        discussion: """
            Reads every event of the run, whatever the log's index tells of it. Exit status 65 \
            when they are not, or are damaged. Calls of which a person said otherwise than the \
            tool are noted, and are no fault.
            """)
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var output: OutputArguments

    func run() async throws {
        try await reporting {
            let run = try run.run()
            let (isValid, notes) = try log.reader().verify(run)
            output.print(
                .object([
                    "run_id": .string(run.rawValue), "valid": .bool(isValid),
                    "notes": .array(notes.map { .string($0) }),
                ]), (isValid ? ["\(run) is valid"] : []) + notes)
            if !isValid { throw ExitCode(ExitStatus.damaged.rawValue) }
        }
    }
}
