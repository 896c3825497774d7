import Foundation
import LoomModel
import Testing

extension CommandProcessTests {
    private func drive(
        _ command: String, _ options: [String] = [], _ words: [String]
    ) async throws -> CommandFolder.Said {
        try await folder.call("loomlog", [command, "demo", "--json"] + options, then: words)
    }

    /// What a step program does wrong in its step 2 for good, and what the command says to it.
    private struct Wrong {
        var kind: String
        var options: [String] = []
        var status: Int32
        var says: String
        var stands: Int64 = 2
    }

    private static let wrongs = [
        Wrong(kind: "garbage", status: 65, says: "\"this is no message\", which is no message"),
        Wrong(kind: "half", status: 74, says: "ended with status 0"),
        Wrong(kind: "long", options: ["--line-max", "2000"], status: 65, says: "above 2000 bytes"),
        Wrong(kind: "dies", status: 74, says: "ended with status 7"),
        Wrong(kind: "outcome-twice", status: 65, says: "protocol error", stands: 3),
        Wrong(kind: "tool-after-outcome", status: 65, says: "protocol error", stands: 3),
        Wrong(kind: "same-call", status: 65, says: "protocol error"),
    ]

    /// A second outcome was taken for that of the next step, and a second call of one number left
    /// the first one waiting for ever.
    @Test("a step program that does wrong in a step: one line, a hint, a run that goes on later")
    func wrongInStep() async throws {
        for wrong in Self.wrongs {
            let folder = try CommandFolder()
            let said = try await folder.call(
                "loomlog", ["run", "demo", "--json"] + wrong.options,
                then: CommandFolder.misbehaving(wrong.kind))
            #expect(said.status == wrong.status, said.words)
            #expect(said.isOneError && said.errors.contains(wrong.says), said.words)
            let standing = try await folder.read("get", "demo")
            #expect(standing.json["status"] == .string("paused"), standing.words)
            #expect(standing.json["step_index"] == .integer(wrong.stands), standing.words)
            let resumed = try await folder.call(
                "loomlog", ["resume", "demo", "--json"], then: CommandFolder.misbehaving("good"))
            #expect(resumed.json["result"] == .object(["current": .integer(6)]), resumed.words)
            try await folder.expectVerified()
        }
    }

    @Test("a step program that never says hello is not waited for")
    func mute() async throws {
        for kind in ["mute", "version"] {
            let said = try await drive(
                "run", ["--start-timeout", "2"], CommandFolder.misbehaving(kind))
            #expect(said.status == (kind == "mute" ? 74 : 65), said.words)
            #expect(said.isOneError, said.words)
        }
        #expect(try await folder.read("list").json == .array([]))
    }

    /// A grandchild that kept standard output open was taken for the program.
    @Test(
        "a step program that dies in a step is started again, and the attempt is interrupted",
        arguments: ["dies-once", "leaves-child"])
    func dies(kind: String) async throws {
        let mark = folder.path("mark")
        let said = try await drive("run", [], CommandFolder.misbehaving(kind, mark))
        #expect(said.json["status"] == .string("completed"), said.words)
        let attempts = try await folder.read("attempts", "demo", "--step", "2")
        #expect(
            attempts.json.elements.map { $0["status"].text } == ["interrupted", "completed"],
            attempts.words)
        if let child = Int32((try? String(contentsOfFile: mark, encoding: .utf8)) ?? "") {
            kill(child, SIGKILL)
        }
    }

    /// It took the answer for a step and ended.
    @Test("a program that cannot find out what became of a call is asked again later")
    func unreconciled() async throws {
        let said = try await drive(
            "run", [],
            CommandFolder.testProgram("charge.py", folder.path("mark"), folder.path("asked")))
        #expect(said.json["result"] == .string("receipt for 500"), said.words)
        let attempts = try await folder.read("attempts", "demo")
        #expect(
            attempts.json.elements.map { $0["status"].text }
                == ["interrupted", "failed", "completed"], attempts.words)
    }

    /// The dead program was kept, and the resume spent an interruption on it.
    @Test("a program that was killed in a call of unknown outcome is not used again")
    func killedInCall() async throws {
        let program = CommandFolder.testProgram("charge.py", folder.path("mark"), "slow")
        let said = try await drive("run", ["--timeout", "1"], program)
        #expect(said.json["status"] == .string("paused"), said.words)
        let explain = try await folder.read("explain", "demo")
        let call = explain.json["unknown_calls"].elements.first?["call"]
        guard case .integer(let position)? = call else {
            Issue.record(explain.words)
            return
        }
        let resolved = try await folder.call(
            "loomlog", ["resolve", "demo", "\(position)", "--result", #""receipt 7""#])
        #expect(resolved.output.contains("call \(position) is settled"), resolved.words)
        #expect(resolved.output.contains("next     loomlog resume demo"), resolved.words)
        let resumed = try await drive("resume", [], program)
        #expect(resumed.json["result"] == .string("receipt 7"), resumed.words)
        let attempts = try await folder.read("attempts", "demo")
        #expect(
            attempts.json.elements.map { $0["status"].text } == ["interrupted", "completed"],
            attempts.words)
    }

    /// It went over nohup's head.
    @Test("a signal that was ignored from the start stays ignored")
    func ignoredSignal() async throws {
        let program = CommandFolder.misbehaving("interrupts", folder.path("mark"), "SIGHUP")
        let words = CommandFolder.quoted(program)
        let said = try await folder.shell(
            "trap '' HUP; exec \"$LOOMLOG\" run demo --json --log \"$LOG\" \(words)")
        #expect(said.status == 0 && said.json["status"] == .string("completed"), said.words)
    }

    @Test("a step that hangs fails by --timeout, and its program is killed")
    func hangs() async throws {
        let words = ["--timeout", "0.3", "--max-attempts", "2"]
        let said = try await drive("run", words, CommandFolder.misbehaving("hangs"))
        #expect(said.status == 1, said.words)
        #expect(said.json["status"] == .string("failed"), said.words)
        let attempts = try await folder.read("attempts", "demo", "--step", "2")
        #expect(attempts.json.elements.count == 2)
        for attempt in attempts.json.elements {
            #expect(attempt["error_category"] == .string("transient"), attempts.words)
        }
    }

    /// The timer of a step that was in time killed the program in a later one.
    @Test("steps that are in time, one by one, are not hit by --timeout")
    func inTime() async throws {
        let said = try await drive(
            "run", ["--timeout", "1.2"], CommandFolder.misbehaving("takes-its-time"))
        let stats = try await folder.read("stats", "demo")
        #expect(said.json["status"] == .string("completed"), said.words)
        #expect(stats.json["attempt_count"] == .integer(7), stats.words)
    }

    /// It read the protocol, and both waited for ever.
    @Test("a program that a step starts finds nothing on standard input")
    func eatsInput() async throws {
        let said = try await drive("run", [], CommandFolder.misbehaving("eats-input"))
        #expect(said.json["status"] == .string("completed"), said.words)
    }

    @Test("what JSON cannot hold fails its step, and says so", arguments: ["nan", "surrogate"])
    func noJSON(kind: String) async throws {
        let said = try await drive("run", [], CommandFolder.misbehaving(kind))
        #expect(said.status == 1 && said.json["status"] == .string("failed"), said.words)
        let explain = try await folder.read("explain", "demo")
        #expect(explain.json["error"].text.contains("Error: "), explain.words)
    }

    @Test("Ctrl-C before hello is no error of the program")
    func interruptedAtStart() async throws {
        let words = CommandFolder.quoted(CommandFolder.misbehaving("mute"))
        let said = try await folder.shell(
            "timeout --signal=INT 1 \"$LOOMLOG\" run demo --log \"$LOG\" \(words); echo $?")
        #expect(!said.errors.contains("error:"), said.words)
        // 124 is how timeout tells that it had to.
        #expect(said.output == "124\n", said.words)
    }

    @Test("a flood on standard error is drained, and passed on up to a budget for each step")
    func floods() async throws {
        let said = try await drive("run", [], CommandFolder.misbehaving("floods"))
        #expect(said.json["status"] == .string("completed"))
        // Seven steps of 1.2 MB; each may show 64 KiB and say what it left out.
        #expect(said.errors.utf8.count < 7 * (66 << 10), "\(said.errors.utf8.count)")
        #expect(said.errors.contains("bytes of the step program's standard error left out"))
    }

    @Test("Ctrl-C pauses the run after its step: 130, and SIGTERM likewise: 143")
    func interrupted() async throws {
        for (signal, status) in [("SIGINT", 130), ("SIGTERM", 143)] as [(String, Int32)] {
            let folder = try CommandFolder()
            let said = try await folder.call(
                "loomlog", ["run", "demo", "--json"],
                then: CommandFolder.misbehaving("interrupts", folder.path("mark"), signal))
            #expect(said.status == status, said.words)
            #expect(said.json["status"] == .string("paused"), said.words)
            #expect(said.json["step_index"] == .integer(3), said.words)
            let resumed = try await folder.call(
                "loomlog", ["resume", "demo", "--json"], then: CommandFolder.misbehaving("good"))
            #expect(resumed.json["status"] == .string("completed"), resumed.words)
            let stats = try await folder.read("stats", "demo")
            #expect(stats.json["attempt_count"] == .integer(7), stats.words)
        }
    }

    @Test("Ctrl-C in a step that does not end kills its program and pauses the run before the step")
    func interruptedInside() async throws {
        let program = CommandFolder.misbehaving(
            "interrupts-and-hangs", folder.path("mark"), "SIGINT")
        let said = try await drive("run", ["--grace", "0.3"], program)
        #expect(said.status == 130, said.words)
        #expect(said.json["status"] == .string("paused"), said.words)
        #expect(said.json["step_index"] == .integer(2), said.words)
        let resumed = try await drive("resume", [], program)
        #expect(resumed.json["status"] == .string("completed"), resumed.words)
    }

    /// Its step program went on alone, in a process group that no terminal reaches.
    @Test("a second Ctrl-C ends at once, as a crash: the run is interrupted and can be resumed")
    func interruptedTwice() async throws {
        let program = CommandFolder.misbehaving("interrupts-twice", folder.path("mark"))
        let said = try await drive("run", [], program)
        #expect(said.status == 130 && said.output.isEmpty, said.words)
        let left = try await folder.shell("pgrep -f \(folder.path("mark"))")
        #expect(left.output == "\(ProcessInfo.processInfo.processIdentifier)\n" || left.status == 1)
        // The runner may still have noted what the first one asked for.
        #expect(
            ["interrupted", "paused"].contains(
                try await folder.read("get", "demo").json["status"].text))
        let resumed = try await drive("resume", [], program)
        #expect(resumed.json["status"] == .string("completed"), resumed.words)
    }

    /// Its escape sequences reached the terminal, and a line of it looked like ours.
    @Test("what a program logs is one line without control characters")
    func loggedControls() async throws {
        let program = CommandFolder.misbehaving("logs-controls")
        let said = try await folder.call("loomlog", ["run", "demo"], then: program)
        #expect(said.status == 0, said.words)
        let lines = said.errors.split(separator: "\n")
        #expect(lines.count == 1 && lines[0].contains("forged"), said.words)
        #expect(!said.errors.contains("\u{1B}"), said.words)
    }

    /// The program got another value than this process has.
    @Test("a variable that is not UTF-8 is passed on as it is")
    func variableBytes() async throws {
        let program = CommandFolder.quoted(CommandFolder.misbehaving("variable"))
        let said = try await folder.shell(
            "LOOMLOG_TEST=$'a\\xffb' \"$LOOMLOG\" run demo --log \"$LOG\" --max-steps 3 "
                + "--env LOOMLOG_TEST \(program)")
        #expect(said.status == 0 && said.output.contains("[97,255,98]"), said.words)
    }
}
