import LoomModel
import Testing

/// The built commands as a user calls them: real processes, their output, their exit status.
@Suite(.timeLimit(.minutes(10))) struct CommandProcessTests {
    let folder: CommandFolder

    init() throws { folder = try CommandFolder() }

    private static let paused =
        #"{"result":null,"run_id":"demo","state":{"current":5,"target":10},"#
        + #""status":"paused","step_index":5}"# + "\n"
    private static let done =
        #"{"result":{"current":10,"steps":10},"run_id":"demo","state":null,"#
        + #""status":"completed","step_index":10}"# + "\n"

    @Test("counter-agent gives loom-runner's lines")
    func counterAgent() async throws {
        let words = ["--run-id", "demo", "--json", "--max-steps"]
        let first = try await folder.call("counter-agent", ["run"] + words + ["5"])
        #expect(first.output == Self.paused)
        let second = try await folder.call("counter-agent", ["resume"] + words + ["100"])
        #expect(second.output == Self.done)
        #expect(second.status == 0)
    }

    @Test("the Python counter over stdio gives the same lines")
    func pythonCounter() async throws {
        let program = CommandFolder.example("counter.py")
        let words = ["--run-id", "demo", "--json", "--max-steps"]
        let first = try await folder.call("loomlog", ["run"] + words + ["5"], then: program)
        #expect(first.output == Self.paused, Comment(rawValue: first.errors))
        let second = try await folder.call("loomlog", ["resume"] + words + ["100"], then: program)
        #expect(second.output == Self.done, Comment(rawValue: second.errors))
    }

    /// An error that had status 64 was told twice, the second time without a word.
    @Test("wrong use is one line and a hint, with the status that says what it is")
    func wrongUse() async throws {
        let cases: [(String, [String], [String], Int32)] = [
            ("counter-agent", ["resume", "nobody"], [], 66),
            ("counter-agent", ["run", "x"], [], 0),
            ("counter-agent", ["run", "x"], [], 73),
            ("loomlog", ["get", "nobody"], [], 66),
            ("loomlog", ["history", "x", "--limit", "-1"], [], 64),
            ("counter-agent", ["run", "y", "--input", "{"], [], 64),
            ("counter-agent", ["run", "y", "--input", #"{"current":1}"#], [], 64),
            ("loomlog", ["run", "y"], ["--", "no-such-program"], 64),
            ("loomlog", ["run", "y"], ["--", "sh", "-c", "echo garbage"], 65),
            ("loomlog", ["run", "y"], ["--", "sh", "-c", "exit 3"], 74),
            ("loomlog", ["show", "x", "--step", "99"], [], 66),
        ]
        for (program, words, more, status) in cases {
            let said = try await folder.call(program, words, then: more)
            #expect(said.status == status, said.words)
            #expect(said.isOneError || status == 0, said.words)
        }
        // Nothing was lost, and the log still opens.
        let list = try await folder.call("loomlog", ["list", "--json"])
        #expect(list.output.contains(#""run_id":"x""#))
    }

    /// Swift repaired the bytes, and the name was that of another run.
    @Test("a word that is not UTF-8 is wrong use, in every program and at every place")
    func badUTF8() async throws {
        let made = try await folder.call("counter-agent", ["run", "x\u{FFFD}"])
        #expect(made.status == 0, made.words)
        let found = try await folder.shell(#"$LOOMLOG get $'x\xef\xbf\xbd' --log "$LOG" --json"#)
        #expect(found.json["status"] == .string("completed"), found.words)
        let lines = [
            #"$LOOMLOG get $'x\xff' --log "$LOG""#, #"$LOOMLOG run y --log "$LOG" -- cat $'\xc3'"#,
            #"$LOOMLOG list --log $'\xff'"#, #"LOOMLOG_DIR=$'\xff' $LOOMLOG list"#,
            #"${LOOMLOG%loomlog}counter-agent run $'x\xff' --log "$LOG""#,
            #"${LOOMLOG%loomlog}docs-agent run $'\xed\xa0\x80' --log "$LOG""#,
        ]
        for line in lines {
            let said = try await folder.shell(line)
            #expect(said.status == 64 && said.isOneError, said.words)
            #expect(said.errors.contains("not UTF-8"), said.words)
        }
    }
}
