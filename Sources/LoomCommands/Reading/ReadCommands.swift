public import ArgumentParser
internal import LoomFormat
internal import LoomModel
internal import LoomRuns

/// The commands that look at runs: they need the log alone and take no lock.
public enum ReadCommands {
    /// All of them, for programs that embed them.
    public static let all: [any ParsableCommand.Type] = [
        ListCommand.self, GetCommand.self, HistoryCommand.self, AttemptsCommand.self,
        ToolCallsCommand.self, ShowCommand.self, ExplainCommand.self, StatsCommand.self,
        VerifyCommand.self, TailCommand.self,
    ]
}

struct GetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Show where a run stands, with its state or result.")
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var output: OutputArguments

    func run() async throws {
        try await reporting {
            let view = try log.reader().get(try run.run())
            output.print(view.json, view.lines)
        }
    }
}

struct HistoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "List the states of a run.")
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var page: PageArguments
    @OptionGroup var output: ListArguments

    func run() async throws {
        try await reporting {
            let (reader, run) = (try log.reader(), try run.run())
            let view = try reader.get(run)
            let rows = try reader.history(run, limit: page.limit, offset: page.offset)
                .map { $0.json(of: view) }
            output.print(rows, rows.map { "\($0["step_index"])  \($0["state"])" })
        }
    }
}

struct AttemptsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attempts", abstract: "List the calls of the step function.")
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var page: PageArguments
    @OptionGroup var output: ListArguments
    @Option(parsing: .unconditional, help: "Only this step.") var step: UInt64?

    func run() async throws {
        try await reporting {
            let (reader, run) = (try log.reader(), try run.run())
            let view = try reader.get(run)
            let rows = try reader.attempts(
                run, step: step, limit: page.limit, offset: page.offset)
            output.print(
                rows.map { $0.json(of: view) },
                Output.table(
                    ["STEP", "TRY", "STATUS", "STARTED", "ERROR"],
                    rows.map {
                        [
                            "\($0.id.step)", "\($0.id.attempt)", $0.status.rawValue,
                            $0.started.iso8601, $0.failure?.message ?? "",
                        ]
                    }))
        }
    }
}

struct ToolCallsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tool-calls", abstract: "List the managed tool calls of a run.")
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var page: PageArguments
    @OptionGroup var output: ListArguments
    @Option(parsing: .unconditional, help: "Only this step.") var step: UInt64?

    func run() async throws {
        try await reporting {
            let (reader, run) = (try log.reader(), try run.run())
            let view = try reader.get(run)
            let rows = try reader.toolCalls(
                run, step: step, limit: page.limit, offset: page.offset)
            output.print(
                rows.map { $0.json(of: view) },
                Output.table(
                    ["STEP", "TRY", "CALL", "TOOL", "SAFETY", "STATUS", "REUSED"],
                    rows.map {
                        [
                            "\($0.start.attempt.step)", "\($0.start.attempt.attempt)",
                            "\($0.position)", $0.start.name, $0.start.safety.rawValue,
                            $0.status.rawValue, "\($0.reuseCount)",
                        ]
                    }))
        }
    }
}

extension JSONValue {
    /// A member as text, for tables.
    fileprivate subscript(_ key: String) -> String {
        guard case .object(let members) = self else { return "" }
        return members[key]?.canonicalText ?? ""
    }
}
