internal import ArgumentParser
internal import Foundation
internal import LoomDemo
internal import LoomFormat
internal import LoomModel
internal import LoomRuns
internal import Subprocess
internal import SystemPackage

/// docs-agent, inside loomlog: what the demonstration kills.
struct DemoAgentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo-agent", abstract: "The agent of the demonstration.",
        shouldDisplay: false,
        subcommands: [ProgramRunCommand<DocsAgent>.self, ProgramResumeCommand<DocsAgent>.self])
}

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Kill an agent in the middle of a step, resume it, prove that nothing ran twice.",
        discussion: """
            An agent answers a question over a folder of real text files. Its process gets a real \
            SIGKILL in the middle of a step, after its tool call was recorded; another process \
            resumes the run; a third one runs it without interruption, to compare.
            """)
    @Option(help: "The folder of text files; any on this machine.") var folder = "."
    @Option(help: "The question.") var question = "What happens to a torn tail after a crash?"
    @Option(help: "Keep the logs in this folder (default: a temporary one, removed).")
    var keep: String?

    private static let killedStep: UInt64 = 3

    func run() async throws {
        try await reporting {
            guard (try? FileManager.default.contentsOfDirectory(atPath: folder)) != nil else {
                throw UsageError("there is no folder \(folder)", hint: "name one of text files")
            }
            let work = try Workplace(keep)
            Output.whenNobodyReads { work.leave() }
            defer { work.leave() }
            let killed = try await kill(work)
            title("2. Resumed by another process")
            if killed {
                try await agent("resume", work.log, ["--journal", work.journal], shows: true)
            } else {
                print("it was done before step \(Self.killedStep): give a folder with more text")
            }
            title("3. The same question, uninterrupted, in a log of its own")
            try await agent("run", work.whole, asked, shows: false)
            print("done")
            title("4. What proves that nothing ran twice")
            try prove(work)
            title("5. The run, explained from its log alone")
            let explanation = try RunReader(path: FilePath(work.log)).explain(RunID("demo"))
            Output.write(explanation.lines.map { String(Output.printable($0).prefix(120)) })
            printNext(work)
        }
    }

    private var asked: [String] { ["--folder", folder, "--question", question] }

    /// Whether the process died by the signal.
    private func kill(_ work: Workplace) async throws -> Bool {
        title(
            "1. A run over \(folder), killed with SIGKILL in step \(Self.killedStep), "
                + "after its tool call was recorded")
        let status = try await agent(
            "run", work.log,
            asked + ["--journal", work.journal, "--kill-in-step", "\(Self.killedStep)"],
            shows: false, mayDie: true)
        let view = try RunReader(path: FilePath(work.log)).get(RunID("demo"))
        if let failure = view.summary.failure {
            throw DemoFailure(description: "the agent failed: \(failure.message)")
        }
        let isKilled = status == .signaled(9)
        if isKilled { print("the process died by signal 9, as it should") }
        print("the run is \(view.status) at step \(view.summary.stepIndex)")
        return isKilled
    }

    /// Counts what the tools themselves noted, and compares the two runs.
    private func prove(_ work: Workplace) throws {
        let text = (try? String(contentsOfFile: work.journal, encoding: .utf8)) ?? ""
        let keys = text.split(separator: "\n").compactMap { $0.split(separator: "\t").last }
        let distinct = Set(keys).count
        print("tool calls that really ran, by the tools' own journal: \(keys.count)")
        print("distinct among them: \(distinct)")
        guard distinct == keys.count else {
            throw DemoFailure(description: "a tool call ran twice")
        }
        let run = try RunID("demo")
        let (cut, whole) = try (
            RunReader(path: FilePath(work.log)), RunReader(path: FilePath(work.whole))
        )
        let (first, second) = (try cut.get(run), try whole.get(run))
        guard first.result != nil, first.result == second.result else {
            throw DemoFailure(description: "the answers differ")
        }
        print("transcript and answer: equal to the uninterrupted run's, byte for byte")
        let attempts = try cut.attempts(run, step: Self.killedStep)
        for attempt in attempts {
            print("step \(attempt.id.step) try \(attempt.id.attempt): \(attempt.status.rawValue)")
        }
        let reused = try cut.toolCalls(run, step: Self.killedStep).map(\.reuseCount).reduce(0, +)
        if reused > 0 { print("its tool call: made once, answered from the log \(reused) time(s)") }
    }

    private func printNext(_ work: Workplace) {
        title("Try next")
        // As it was called: a line that can be pasted.
        let loomlog = CommandLine.arguments.first ?? "loomlog"
        var lines = [
            "  \(loomlog) demo --folder FOLDER --question \"...\" --keep demo.tmp",
            "  \(loomlog) list --log demo.tmp/runs.loom",
            "  \(loomlog) history demo --log demo.tmp/runs.loom",
            "  \(loomlog) run count --max-steps 5 -- python3 Tools/python/counter.py",
            "  \(loomlog) resume count -- python3 Tools/python/counter.py",
            "  \(loomlog) explain count",
        ]
        if keep != nil { lines.removeFirst() }
        Output.write(lines)
    }

    /// Runs the agent in a process of its own.
    @discardableResult
    private func agent(
        _ verb: String, _ log: String, _ arguments: [String], shows: Bool, mayDie: Bool = false
    ) async throws -> TerminationStatus {
        guard let path = Bundle.main.executablePath else {
            throw DemoFailure(description: "this program does not know where it is")
        }
        let words = ["demo-agent", verb, "demo", "--log", log] + arguments
        let result = try await Subprocess.run(
            .path(FilePath(path)), arguments: Arguments(words), output: .string(limit: 1 << 20),
            error: .string(limit: 1 << 20))
        if shows {
            for line in result.standardOutput.split(separator: "\n")
            where !line.hasPrefix("next") {
                print(String(line.prefix(120)))
            }
        }
        guard mayDie || result.terminationStatus.isSuccess else {
            throw DemoFailure(
                description: "the agent ended \(result.terminationStatus): "
                    + result.standardError)
        }
        return result.terminationStatus
    }

    private func title(_ text: String) {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        Output.write(["", isTerminal ? "\u{1B}[1m\(text)\u{1B}[0m" : text])
    }

    private func print(_ text: String) { Output.write([Output.printable(text)]) }
}

/// Where the demonstration keeps its logs.
private struct Workplace {
    private let folder: String
    private let isKept: Bool
    var log: String { "\(folder)/runs.loom" }
    var whole: String { "\(folder)/whole.loom" }
    var journal: String { "\(folder)/journal" }

    init(_ kept: String?) throws {
        isKept = kept != nil
        folder =
            kept
            ?? FileManager.default.temporaryDirectory
            .appending(path: "loomlog-demo-\(UUID().uuidString)").path
        if kept != nil, FileManager.default.fileExists(atPath: folder) {
            throw UsageError("\(folder) is there already", hint: "--keep makes a new folder")
        }
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
    }

    func leave() {
        if !isKept { try? FileManager.default.removeItem(atPath: folder) }
    }
}

private struct DemoFailure: Error, CustomStringConvertible {
    let description: String
}
