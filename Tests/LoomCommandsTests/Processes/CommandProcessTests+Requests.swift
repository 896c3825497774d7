import Foundation
import LoomModel
import SystemPackage
import Testing

/// Commands that change a run beside the program that has the log.
extension CommandProcessTests {
    private func driving(_ seconds: String) async throws -> CommandFolder.Said {
        try await folder.call(
            "loomlog", ["run", "demo"], then: CommandFolder.testProgram("slow.py", seconds))
    }

    private func waitForSteps() async throws {
        for _ in 0..<1_000 {
            let get = try await folder.read("get", "demo")
            if get.json["step_index"].number > 0 { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("the run does not begin")
    }

    /// The command with its time in seconds.
    private func timed(_ words: String...) async throws -> (CommandFolder.Said, Double) {
        let clock = ContinuousClock()
        let start = clock.now
        let said = try await folder.call("loomlog", words)
        let (seconds, attoseconds) = start.duration(to: clock.now).components
        return (said, Double(seconds) + Double(attoseconds) / 1e18)
    }

    @Test("label, policy and cancel beside a program that drives the run: said by both")
    func besideProgram() async throws {
        async let program = driving("0.05")
        try await waitForSteps()
        let (label, _) = try await timed("label", "demo", "team=infra")
        #expect(label.status == 0 && label.errors.contains("which has the log"), label.words)
        let (policy, _) = try await timed("policy", "demo", "interval:10", "--json")
        #expect(policy.status == 0, policy.words)
        let (unknown, _) = try await timed("cancel", "nobody")
        #expect(unknown.status == 66 && unknown.isOneError, unknown.words)
        let (cancel, seconds) = try await timed("cancel", "demo", "--reason", "enough")
        #expect(cancel.status == 0 && cancel.output.contains("cancelled"), cancel.words)
        #expect(cancel.errors.contains("run demo was cancelled by pid "), cancel.words)
        // Under a second on a quiet machine; the tests share theirs.
        #expect(seconds < 5, "\(seconds) s")
        let ended = try await program
        #expect(ended.status == 0 && ended.output.contains("status   cancelled"), ended.words)
        #expect(ended.errors.contains("asked to cancel: done"), ended.words)
        #expect(ended.errors.contains("asked to label: done"), ended.words)
        let tail = try await folder.call("loomlog", ["tail", "demo"])
        #expect(
            tail.output.contains("asked") && tail.output.contains("to cancel by pid "), tail.words)
        let (again, _) = try await timed("cancel", "demo")
        #expect(again.status == 73 && again.isOneError, again.words)
        try await folder.expectVerified()
    }

    @Test("pause beside a program: it ends its step, and the run is resumed later")
    func pauseBesideProgram() async throws {
        async let program = driving("0.05")
        try await waitForSteps()
        let (pause, _) = try await timed("pause", "demo", "--json")
        #expect(pause.status == 0 && pause.json["status"] == .string("paused"), pause.words)
        let ended = try await program
        #expect(ended.status == 0 && ended.output.contains("asked for it"), ended.words)
        let resumed = try await folder.call(
            "loomlog", ["resume", "demo", "--max-steps", "1", "--json"],
            then: CommandFolder.testProgram("slow.py", "0"))
        #expect(
            resumed.json["step_index"].number == pause.json["step_index"].number + 1,
            resumed.words)
        try await folder.expectVerified()
    }

    /// A step of a minute: the run is cancelled at once, and its program is ended.
    @Test("cancel does not wait for the step that runs")
    func cancelsInStep() async throws {
        async let program = folder.call(
            "loomlog", ["run", "demo", "--grace", "0"],
            then: CommandFolder.testProgram("slow.py", "60"))
        for _ in 0..<1_000 {
            if try await folder.read("get", "demo").json["status"] == .string("running") { break }
            try await Task.sleep(for: .milliseconds(20))
        }
        let (cancel, seconds) = try await timed("cancel", "demo")
        #expect(cancel.status == 0 && seconds < 20, cancel.words)
        let ended = try await program
        #expect(ended.status == 0 && ended.output.contains("status   cancelled"), ended.words)
        try await folder.expectVerified()
    }

    /// It stopped the run that was driven, whichever run was cancelled.
    @Test("a run is cancelled through the program that drives another, which goes on")
    func cancelsOther() async throws {
        let made = try await folder.call("counter-agent", ["run", "other", "--max-steps", "2"])
        #expect(made.status == 0, made.words)
        async let program = folder.call(
            "loomlog", ["run", "demo", "--max-steps", "60"],
            then: CommandFolder.testProgram("slow.py", "0.02"))
        try await waitForSteps()
        let cancel = try await folder.call("loomlog", ["cancel", "other"])
        #expect(cancel.status == 0 && cancel.errors.contains("which has the log"), cancel.words)
        let ended = try await program
        #expect(ended.status == 0, ended.words)
        #expect(try await folder.read("get", "demo").json["step_index"].number == 60)
        #expect(try await folder.read("get", "other").json["status"] == .string("cancelled"))
    }

    @Test("--no-wait leaves the request; whoever opens the log next carries it out, once")
    func noWait() async throws {
        let made = try await folder.call("counter-agent", ["run", "demo", "--max-steps", "5"])
        #expect(made.status == 0, made.words)
        let left = try await folder.call("loomlog", ["label", "demo", "a=1", "--no-wait"])
        #expect(left.status == 0 && left.output.isEmpty, left.words)
        let before = try await folder.read("get", "demo")
        let resumed = try await folder.call("counter-agent", ["resume", "demo", "--json"])
        #expect(resumed.json["status"] == .string("completed"), resumed.words)
        let after = try await folder.read("get", "demo")
        #expect(before.status == 0 && before.json["labels"] == .null, before.words)
        #expect(after.json["labels"] == .object(["a": .string("1")]), after.words)
        let both = try await folder.call(
            "loomlog", ["label", "demo", "a=2", "--no-wait", "--wait"])
        #expect(both.status == 64 && both.isOneError, both.words)
    }

    /// Kills at random moments: each label is there once, or its asker was not told that it is.
    @Test("kill -9 of the program and of askers: once or not at all, and who was told knows")
    func kills() async throws {
        let program = CommandFolder.quoted(CommandFolder.testProgram("slow.py", "0.01"))
        let script = """
            "$LOOMLOG" run demo --log "$LOG" --max-steps 1 \(program) > /dev/null 2>&1
            for i in $(seq 1 12); do
              "$LOOMLOG" resume demo --log "$LOG" \(program) > /dev/null 2>&1 & server=$!
              sleep 0.$((RANDOM % 4))
              "$LOOMLOG" label demo l$i=1 --log "$LOG" > "$LOG.out$i" 2>&1 & asker=$!
              sleep 0.0$((RANDOM % 10))
              if [ $((i % 3)) = 0 ]; then kill -9 $asker; fi
              sleep 0.0$((RANDOM % 10))
              kill -9 $server
              wait $asker; echo "$i $?"
              wait $server || true
            done 2> /dev/null
            """
        let said = try await folder.shell(script)
        #expect(said.status == 0, said.words)
        // Serves what killed askers left.
        let last = try await folder.call("loomlog", ["label", "demo", "last=1"])
        #expect(last.status == 0, last.words)
        let tail = try await folder.read("tail", "demo", "--limit", "1000000")
        let get = try await folder.read("get", "demo")
        var told = 0
        for line in said.output.split(separator: "\n") {
            let parts = line.split(separator: " ")
            let label = "l\(parts[0])"
            let events = tail.output.components(separatedBy: "\"\(label)=1\"").count - 1
            #expect(events <= 1, "\(label) was set \(events) times")
            if parts[1] == "0" {
                told += 1
                #expect(events == 1, "\(label) was set \(events) times")
                #expect(get.json["labels"][label] == .string("1"), "\(label) is missing")
            }
        }
        #expect(told > 0)
        let inbox = try FileManager.default.contentsOfDirectory(
            atPath: folder.log.appending("inbox").string)
        #expect(!inbox.contains { $0.hasSuffix(".req") || $0.hasSuffix(".taken") })
        try await folder.expectVerified()
    }
}

extension JSONValue {
    fileprivate var number: Int64 { if case .integer(let number) = self { number } else { -1 } }
}
