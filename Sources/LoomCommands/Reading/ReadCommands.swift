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
            var states = try log.reader().historyRows(
                run.run(), limit: page.limit, offset: page.offset)
            let form = states.form
            try output.printRows { rows in
                while let row = try states.next() {
                    let json = row.json(of: form)
                    rows.print(json, ["\(json["step_index"])  \(json["state"])"])
                }
            }
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
            var attempts = try log.reader().attemptRows(
                run.run(), step: step, limit: page.limit, offset: page.offset)
            let form = attempts.form
            try output.printRows(["STEP", "TRY", "STATUS", "STARTED", "ERROR"]) { rows in
                while let row = try attempts.next() {
                    rows.print(
                        row.json(of: form),
                        [
                            "\(row.id.step)", "\(row.id.attempt)", row.status.rawValue,
                            row.started.iso8601, row.failure?.message ?? "",
                        ])
                }
            }
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
            var calls = try log.reader().toolCallRows(
                run.run(), step: step, limit: page.limit, offset: page.offset)
            let form = calls.form
            let headings = ["STEP", "TRY", "CALL", "TOOL", "SAFETY", "STATUS", "REUSED"]
            try output.printRows(headings) { rows in
                while let row = try calls.next() {
                    rows.print(
                        row.json(of: form),
                        [
                            "\(row.start.attempt.step)", "\(row.start.attempt.attempt)",
                            "\(row.position)", row.start.name, row.start.safety.rawValue,
                            row.status.rawValue, "\(row.reuseCount)",
                        ])
                }
            }
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
