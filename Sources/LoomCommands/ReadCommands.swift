public import ArgumentParser
internal import LoomFormat
internal import LoomModel
internal import LoomRuns

/// The commands that look at runs: they need the log alone and take no lock.
public enum ReadCommands {
    /// All of them, for programs that embed them.
    public static let all: [any ParsableCommand.Type] = [
        GetCommand.self, ListCommand.self, HistoryCommand.self, AttemptsCommand.self,
        ToolCallsCommand.self, ExplainCommand.self, StatsCommand.self, VerifyCommand.self,
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

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the runs of the log.")
    @OptionGroup var log: LogArguments
    @OptionGroup var output: ListArguments

    func run() async throws {
        try await reporting {
            let views = try log.reader().list()
            output.print(
                views.map(\.json),
                Output.table(
                    ["RUN", "STATUS", "STEP", "LOOP", "UPDATED"],
                    views.map {
                        [
                            $0.run.rawValue, $0.status, "\($0.summary.stepIndex)", $0.summary.loop,
                            $0.summary.updated.iso8601,
                        ]
                    }))
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
    @Option(help: "Only this step.") var step: UInt64?

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
    @Option(help: "Only this step.") var step: UInt64?

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
        discussion: "Exit status 65 when they are not.")
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
                ]), isValid ? ["\(run) is valid"] : notes)
            if !isValid { throw ExitCode(ExitStatus.damaged.rawValue) }
        }
    }
}

extension RunView {
    /// What people read.
    var lines: [String] {
        var lines = ["run      \(run)", "status   \(status)", "step     \(summary.stepIndex)"]
        if let state { lines.append("state    \(Self.brief(state))") }
        if let result = summary.result { lines.append("result   \(Self.brief(result))") }
        if let failure = summary.failure { lines.append("error    \(failure.message)") }
        return lines
    }

    private static func brief(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes.prefix(400), as: UTF8.self)
        return bytes.count > 400 ? "\(text)… (\(bytes.count) bytes; --json shows all)" : text
    }
}

extension RunExplanation {
    /// What people read.
    var lines: [String] {
        let summary = view.summary
        var lines = view.lines
        lines += [
            "loop     \(summary.loop), epoch \(summary.epoch)",
            "created  \(summary.created.iso8601)", "updated  \(summary.updated.iso8601)",
            "attempts \(summary.attemptCount), of which \(summary.failedAttemptCount) failed, "
                + "\(summary.interruptedAttemptCount) interrupted, \(summary.retryCount) retries",
            "tools    \(summary.toolCallCount) calls",
        ]
        if let reason = summary.pauseReason { lines.append("paused   \(reason)") }
        lines.append("notes    \(notes.isEmpty ? "none" : notes.joined(separator: "; "))")
        return lines
    }
}

extension JSONValue {
    /// A member as text, for tables.
    fileprivate subscript(_ key: String) -> String {
        guard case .object(let members) = self else { return "" }
        return members[key]?.canonicalText ?? ""
    }
}
