import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import SystemPackage
import Testing

@testable import LoomCommands

/// Databases of loom-runner 0.1.3, made by the programs whose answers were recorded: imported, they
/// answer the same.
@Suite(.timeLimit(.minutes(5))) struct ImportTests {
    static let databases = [
        "counter-full", "counter-interval-3", "flaky-full", "flaky-compact", "exhausted-full",
        "invalid-interval-3", "tools-full", "tools-compact",
    ]

    @Test("an imported database answers as it did, and goes on", arguments: databases)
    func database(name: String) async throws {
        let folder = try CommandFolder()
        let dump = CommandFolder.tests.appending(path: "Databases/\(name).sql").path
        let (file, tools) = (folder.path("lr.sqlite"), CommandFolder.package.path + "/Tools")
        let build =
            "import sqlite3, sys; "
            + "sqlite3.connect(sys.argv[1]).executescript(open(sys.argv[2]).read())"
        let said = try await folder.shell(
            "set -o pipefail; python3 -c '\(build)' '\(file)' '\(dump)' && "
                + "'\(tools)/import-loom-runner' '\(file)' --loop parity | "
                + "$LOOMLOG import --jsonl - --log \"$LOG\"")
        #expect(said.status == 0, said.words)
        let parts = name.split(separator: "-", maxSplits: 1).map(String.init)
        let (scenario, policyName) = (parts[0], parts[1])
        let policy = try #require(
            ParityTests.policies.first { $0.name.hasSameBytes(as: policyName) }?.policy)
        let reader = try RunReader(path: folder.log)
        let store = try LogRunStore(path: folder.log)
        let answers = ParityAnswers(
            runner: Runner(ParityLoop(scenario: scenario), store: store), reader: reader)
        let recorded = try ParityRules.recording(scenario, policyName)
        var compared = 0
        for call in recorded["calls"].elements
        where call["when"] == .string("after resume") && call["raises"] == .null {
            let ours = try await answers.answer(call["call"].text).get()
            let theirs = ParityRules.recorded(call["returns"], policy)
            #expect(ours == theirs, "\(name): \(call["call"].text)")
            compared += 1
        }
        #expect(compared > 4)
        let list = JSONValue.array(try reader.list().map(\.json))
        #expect(list == recorded["list_runs"])
        try store.close()
        let verified = try await folder.read("verify", "demo")
        #expect(verified.json["valid"] == .bool(true), verified.words)
    }

    @Test("runs go from log to log by the commands, whose refusals have their statuses")
    func commands() async throws {
        let folder = try CommandFolder()
        let made = try await folder.call(
            "counter-agent", ["run", "--run-id", "demo", "--max-steps", "4"])
        #expect(made.status == 0, made.words)
        let (file, other) = (folder.path("demo.loomrun"), folder.path("other.loom"))
        #expect(try await folder.call("loomlog", ["export", "demo", "-o", file]).status == 0)
        #expect(try await folder.call("loomlog", ["export", "demo", "-o", file]).status != 0)
        #expect(try await folder.call("loomlog", ["export", "none", "-o", file]).status == 66)
        let dry = try await folder.shell("$LOOMLOG import '\(file)' --dry-run --log '\(other)'")
        #expect(dry.status == 0 && !FileManager.default.fileExists(atPath: other), dry.words)
        for _ in 0..<2 {
            let said = try await folder.shell("$LOOMLOG import '\(file)' --log '\(other)'")
            #expect(said.status == 0, said.words)
        }
        let refused = try await folder.shell(
            "$LOOMLOG label demo a=b --log '\(other)' > /dev/null && "
                + "$LOOMLOG import '\(file)' --log '\(other)'")
        #expect(refused.status == 73 && refused.isOneError, refused.words)
        let renamed = try await folder.shell(
            "$LOOMLOG import '\(file)' --as copy --log '\(other)' > /dev/null && "
                + "$LOOMLOG get copy --json --log '\(other)'")
        #expect(renamed.json["step_index"] == .integer(4), renamed.words)
        let lines = try await folder.shell(
            "set -o pipefail; $LOOMLOG export demo --jsonl --log $LOG | "
                + "$LOOMLOG import --jsonl - --as third --log '\(other)'")
        #expect(lines.status == 0, lines.words)
        let damaged = try await folder.shell(
            "printf X | dd of='\(file)' bs=1 seek=300 conv=notrunc 2> /dev/null; "
                + "$LOOMLOG import '\(file)' --as fourth --log '\(other)'")
        #expect(damaged.status == 65 && damaged.isOneError, damaged.words)
        let wrong = try await folder.shell("echo '{}' | $LOOMLOG import --jsonl - --log $LOG")
        #expect(wrong.status == 65 && wrong.isOneError, wrong.words)
    }

    @Test("backup, restore and resume by the commands")
    func backup() async throws {
        let folder = try CommandFolder()
        let backup = folder.path("backup.loom")
        let agent = CommandFolder.programs.appending(path: "counter-agent").path
        // Killed inside its run: the backup has a run that was being driven.
        let killed = try await folder.shell(
            "'\(agent)' run --run-id demo --target 100000000 "
                + "--log $LOG > /dev/null 2>&1 & agent=$!; "
                + "until $LOOMLOG get demo --log $LOG > /dev/null 2>&1; do sleep 0.05; done; "
                + "timeout -s INT 3 $LOOMLOG backup '\(backup)' --follow --jsonl --log $LOG; "
                + "status=$?; kill -9 $agent; wait $agent; exit $status")
        // What timeout stopped by Ctrl-C ended in good order.
        #expect([0, 124].contains(killed.status), killed.words)
        let rounds = killed.output.split(separator: "\n").compactMap {
            try? JSONValue(parsing: Array($0.utf8))
        }
        #expect(rounds.count >= 2, killed.words)
        let info = try await folder.shell("$LOOMLOG info --json --log '\(backup)'")
        #expect(info.json["ended"] == .string("a backup"), info.words)
        #expect(info.json["restored_from"] != .null)
        var restored = folder
        restored.log = FilePath(folder.path("restored.loom"))
        let copied = try await folder.shell(
            "cp -r '\(backup)' '\(restored.log)' && $LOOMLOG get demo --log '\(restored.log)'")
        #expect(copied.status == 0, copied.words)
        let refused = try await restored.call(
            "counter-agent", ["resume", "demo", "--max-steps", "1"])
        #expect(refused.status == 75 && refused.output.isEmpty, refused.words)
        #expect(refused.errors.contains("--after-restore"), refused.words)
        let resumed = try await restored.call(
            "counter-agent", ["resume", "demo", "--max-steps", "1", "--after-restore"])
        #expect(resumed.status == 0, resumed.words)
        try await restored.expectVerified()
        // A restored log that was written to is no backup.
        let onto = try await folder.shell("$LOOMLOG backup '\(restored.log)' --log $LOG")
        #expect(onto.status == 66 && onto.isOneError, onto.words)
        let again = try await folder.shell("$LOOMLOG backup '\(backup)' --log $LOG")
        #expect(again.status == 0, again.words)
    }
}
