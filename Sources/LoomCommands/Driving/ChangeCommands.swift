internal import ArgumentParser
internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRunner
internal import LoomRuns

/// The commands that change a run without driving it.
enum ChangeCommands {
    static let all: [any ParsableCommand.Type] = [
        RetryCommand.self, CancelCommand.self, PauseCommand.self, ResolveCommand.self,
        LabelCommand.self, PolicyCommand.self,
    ]
}

/// What they share.
struct ChangeArguments: ParsableArguments {
    @OptionGroup var log: LogArguments
    @OptionGroup var output: OutputArguments
    @Flag(help: "Wait while another process has the log, instead of giving up.")
    var wait = false

    /// Opens the log, changes the run, prints where it stands.
    ///
    /// - Parameter done: What was done then, with the run as subject: `was cancelled`.
    func change(
        _ run: RunID, _ done: String, _ body: (RunControl) async throws -> Void
    ) async throws {
        let written = try await log.writing(creates: false, waits: wait) { store in
            try await body(RunControl(store: store))
            return store.reader
        }
        let view = try view(of: run, in: written, after: "run \(run) \(done)")
        output.print(view.json, view.lines + [NextLine(log).after(view)])
    }

    /// Where the run stands, after a change that stays true when this cannot be read or printed.
    func view(of run: RunID, in log: LogReader, after done: String) throws -> RunView {
        let change = Change(what: done, look: NextLine(self.log).get(run))
        return try change.reading { try RunReader(log: log).get(run) }
    }
}

struct RetryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Open a failed run again, from its last committed state.",
        discussion: "The step's failures are counted anew. resume then drives it on.")
    @OptionGroup var run: RunArguments
    @OptionGroup var change: ChangeArguments

    func run() async throws {
        try await reporting {
            let run = try run.run()
            try await change.change(run, "was opened again") { try await $0.retry(run) }
        }
    }
}

struct CancelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Give a run up: it cannot be resumed any more.",
        discussion: AskArguments.discussion)
    @OptionGroup var run: RunArguments
    @OptionGroup var ask: AskArguments
    @Option(help: "Why, for those who look later.") var reason = ""

    func run() async throws {
        try await reporting {
            try await ask.ask(try run.run(), .cancel(reason: reason), "was cancelled")
        }
    }
}

struct PauseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause", abstract: "Stop a run behind its present step.",
        discussion: """
            The program that drives the run ends its step, and stops. resume goes on with the run.

            """ + AskArguments.discussion)
    @OptionGroup var run: RunArguments
    @OptionGroup var ask: AskArguments
    @Option(help: "Why, for those who look later.") var reason = ""

    func run() async throws {
        try await reporting {
            try await ask.ask(try run.run(), .pause(reason: reason), "was paused")
        }
    }
}

struct ResolveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resolve",
        abstract: "Say what became of a tool call that may or may not have happened.",
        discussion: """
            A call of a tool that must not happen twice was cut in the middle, and the run waits. \
            Look at the other side, then say what you found. explain shows the call.

              loomlog resolve demo 14 --result '{"receipt":"r-1"}'
              loomlog resolve demo 14 --did-not-happen

            What a person said of a call of the present step can be said anew. What the tool \
            itself said stands, unless --correct overrules it; explain and verify tell so from \
            then on.
            """)
    @Argument(help: "The run.") var run: String
    @Argument(help: "The call: its number in explain and tool-calls.") var call: UInt64
    @OptionGroup var ask: AskArguments
    @Option(help: "It happened, and returned this JSON.") var result: String?
    @Flag(help: "It did not happen: it may be made now.") var didNotHappen = false
    @Flag(help: "Overrule what the tool itself said of a call that it ended.") var correct = false

    func validate() throws {
        guard (result == nil) == didNotHappen else {
            throw ValidationError("say either --result JSON or --did-not-happen")
        }
        _ = try RunArguments.named(run)
    }

    func run() async throws {
        try await reporting {
            let run = try RunArguments.named(run)
            var outcome = ToolFinish.Outcome.didNotHappen
            if let result {
                do throws(JSONError) {
                    let value = try JSONValue(parsing: Array(result.utf8))
                    outcome = .completed(result: value.canonicalBytes)
                } catch {
                    throw UsageError(
                        "--result is no JSON: \(error)", hint: "a text needs its quotes: '\"done\"'"
                    )
                }
            }
            try await ask.ask(
                run, .resolve(call: call, as: outcome, corrects: correct),
                "has call \(call) resolved")
        }
    }
}

struct LabelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "label", abstract: "Set labels of a run, or take them away.",
        discussion: "  loomlog label demo team=infra owner=     sets team, takes owner away")
    @Argument(help: "The run.") var run: String
    @Argument(help: "NAME=VALUE; an empty value takes the label away.")
    var labels: [LabelArgument]
    @OptionGroup var ask: AskArguments

    func validate() throws { _ = try RunArguments.named(run) }

    func run() async throws {
        try await reporting {
            try await ask.ask(
                try RunArguments.named(run), .label(labels.map(\.label)), "was labelled")
        }
    }
}

struct PolicyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Change what the lists of a run keep, from now on.",
        discussion: """
            Of what is past, the lists show what the old and the new policy both show.

              loomlog policy demo interval:100
            """)
    @Argument(help: "The run.") var run: String
    @Argument(help: "full, interval:N (every Nth state) or compact (no plain attempts).")
    var policy: PolicyArgument
    @OptionGroup var ask: AskArguments

    func validate() throws { _ = try RunArguments.named(run) }

    func run() async throws {
        try await reporting {
            try await ask.ask(
                try RunArguments.named(run), .setPolicy(policy.policy),
                "has the policy \(policy.policy.words)")
        }
    }
}
