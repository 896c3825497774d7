internal import LoomFormat
internal import LoomModel
internal import LoomRuns

/// The line that says what to type next: it can be pasted.
struct NextLine {
    private let log: LogArguments
    private let program: [String]
    private let more: [String]

    /// - Parameters:
    ///   - program: The step program's command, where it is known.
    ///   - more: Options that a resume needs as well.
    init(_ log: LogArguments, program: [String] = [], more: [String] = []) {
        self.log = log
        self.program = program
        self.more = more
    }

    func after(_ view: RunView) -> String {
        let run = view.run.rawValue
        // Somebody drives it: a resume would be refused.
        if view.holder != nil { return "next     \(command(["explain", run]))" }
        switch view.summary.status {
        case .paused, .running:
            guard case .unknownOutcome(let call, _)? = view.summary.pauseReason else {
                return "next     \(resume(run))"
            }
            return "next     \(resolve(run, call))"
        case .failed: return "next     \(command(["retry", run])), then resume it"
        default: return "next     \(command(["explain", run]))"
        }
    }

    /// The command that says what became of a call, in both its forms.
    func resolve(_ run: String, _ call: UInt64) -> String {
        command(["resolve", run, "\(call)"]) + " --result JSON or --did-not-happen"
    }

    /// What shows where a run stands.
    func get(_ run: RunID) -> String { command(["get", run.rawValue]) }

    /// A word as a shell takes it.
    static func quoted(_ word: String) -> String { ShellWord.quoted(word) }

    private func resume(_ run: String) -> String {
        let isOfSteps = CommandLineTool.executableName == "loomlog"
        if program.isEmpty { return command(["resume", run]) + (isOfSteps ? " -- PROGRAM" : "") }
        return command(["resume", run], more + ["--"] + program)
    }

    private func command(_ words: [String], _ end: [String] = []) -> String {
        var all = [CommandLineTool.executableName] + words
        if let path = log.path { all += ["--log", path] }
        return (all + end).map(ShellWord.quoted).joined(separator: " ")
    }
}

/// A word as a shell takes it.
private enum ShellWord {
    static func quoted(_ word: String) -> String {
        let isPlain = word.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "-_./:=@%+,".utf8.contains(byte)
            }
        }
        if isPlain, !word.isEmpty { return word }
        return "'\(word.replacing("'", with: "'\\''"))'"
    }
}
