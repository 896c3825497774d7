import Foundation
import LoomModel
import SystemPackage
import Testing

/// compact and reindex, as they are called.
extension CommandProcessTests {
    private func make(_ run: String, _ words: String...) async throws {
        let made = try await folder.call(
            "counter-agent", ["run", run, "--target", "30"] + words)
        #expect(made.status == 0, made.words)
    }

    private func compact(_ words: String...) async throws -> CommandFolder.Said {
        try await folder.call("loomlog", ["compact"] + words)
    }

    @Test(
        "compact thins out and deletes what is over, tells before what it will do, and its limits")
    func compacts() async throws {
        try await make("demo")
        try await make("old", "--label", "team=infra")
        let plain = try await compact("--json")
        #expect(plain.status == 0 && plain.json["deleted"].number == 0, plain.words)
        let history = try await folder.read("history", "demo")
        let dry = try await compact(
            "--dry-run", "--delete-finished", "--label", "team=infra", "--json")
        guard case .array(let runs) = dry.json["runs"] else {
            Issue.record("no runs: \(dry.output)")
            return
        }
        #expect(runs.count == 1 && runs[0]["run_id"] == .string("old"), dry.words)
        #expect(runs[0]["deleted"] == .bool(true), dry.words)
        #expect(dry.json["bytes_after"].number < dry.json["bytes_before"].number, dry.words)
        let table = try await compact("--dry-run", "--delete-finished", "--label", "team=infra")
        #expect(table.output.contains("step_committed"), table.words)
        #expect(try await folder.read("get", "old").status == 0)
        let deleted = try await compact(
            "--delete-finished", "--label", "team=infra", "--now", "--json")
        #expect(deleted.status == 0 && deleted.json["deleted"].number == 1, deleted.words)
        #expect(try await folder.read("get", "old").status == 66)
        #expect(try await folder.read("history", "demo").output == history.output)
        let policy = try await compact("--policy", "interval:10", "--older-than", "0s")
        #expect(policy.output.contains("1 run got the policy"), policy.words)
        let young = try await compact("--policy", "interval:20", "--older-than", "30d", "--json")
        #expect(young.json["policies_changed"].number == 0, young.words)
        let reindexed = try await folder.call("loomlog", ["reindex", "--all", "--json"])
        #expect(reindexed.json["files_rewritten"].number > 0, reindexed.words)
        try await folder.expectVerified()
    }

    @Test("what compact cannot do it says in one line, and changes nothing")
    func compactRefuses() async throws {
        try await make("demo", "--max-steps", "3")
        for (words, status) in [
            (["--delete-finished"], 64), (["--policy", "full"], 64), (["--older-than", "3d"], 64),
            (["--delete-finished", "--older-than", "3 days"], 64),
            (["--delete-finished", "--run", "nobody"], 66),
            (["--delete-finished", "--run", "demo"], 73),
        ] as [([String], Int32)] {
            let said = try await folder.call("loomlog", ["compact"] + words)
            #expect(said.status == status && said.isOneError, said.words)
        }
        #expect(try await folder.read("get", "demo").json["status"] == .string("paused"))
    }

    /// A backup was made inside the log, and one of a backup into itself.
    @Test("a backup into the log, and an export over a file, are refused by name")
    func places() async throws {
        try await make("demo")
        let inside = folder.log.appending("seg").appending("copy").string
        for place in [folder.log.string, folder.log.appending("copy").string, inside] {
            let said = try await folder.call("loomlog", ["backup", place])
            #expect(said.status == 64 && said.isOneError, said.words)
        }
        let file = folder.log.string + ".loomrun"
        let first = try await folder.call("loomlog", ["export", "demo", "-o", file])
        #expect(first.status == 0, first.words)
        let second = try await folder.call("loomlog", ["export", "demo", "-o", file])
        #expect(second.status == 64 && second.errors.contains("\(file) exists"), second.words)
        try await folder.expectVerified()
    }

    @Test("compact beside a program that drives a run: the program does it, and goes on")
    func compactBesideProgram() async throws {
        try await make("old")
        async let program = folder.call(
            "loomlog", ["run", "demo", "--max-steps", "200"],
            then: CommandFolder.testProgram("slow.py", "0.02"))
        for _ in 0..<1_000 {
            if try await folder.read("get", "demo").json["step_index"].number > 0 { break }
            try await Task.sleep(for: .milliseconds(20))
        }
        let done = try await compact(
            "--delete-finished", "--older-than", "0s", "--now", "--json")
        #expect(done.status == 0 && done.json["deleted"].number == 1, done.words)
        #expect(done.errors.contains("which has the log"), done.words)
        #expect(try await folder.read("get", "old").status == 66)
        let refused = try await compact("--delete-finished", "--run", "demo")
        #expect(
            refused.status == 73 && refused.errors.contains("error: run demo is"), refused.words)
        let left = try await compact("--no-wait")
        #expect(left.status == 0 && left.output.isEmpty, left.words)
        let ended = try await program
        #expect(ended.status == 0, ended.words)
        #expect(try await folder.read("get", "demo").json["step_index"].number == 200)
        try await folder.expectVerified()
    }

    /// Kills at random moments of a deletion: whoever was told that it is done finds no byte of the
    /// run, the others ask again.
    @Test("kill -9 of the program and of who asked for a compaction: what was said is done")
    func compactKills() async throws {
        let program = CommandFolder.quoted(CommandFolder.testProgram("slow.py", "0.01"))
        let script = """
            "$LOOMLOG" run demo --log "$LOG" --max-steps 1 \(program) > /dev/null 2>&1
            for i in $(seq 1 9); do
              secret=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \\n')
              "$LOOMLOG" run old$i --log "$LOG" --label "secret=$secret" --max-steps 3 \
                \(program) > /dev/null 2>&1
              "$LOOMLOG" cancel old$i --log "$LOG" > /dev/null 2>&1
              "$LOOMLOG" resume demo --log "$LOG" \(program) > /dev/null 2>&1 & server=$!
              sleep 0.3
              "$LOOMLOG" compact --delete-finished --run old$i --now --log "$LOG" \
                > /dev/null 2>&1 & asker=$!
              sleep 0.$(printf %02d $((RANDOM % 30)))
              case $((i % 3)) in
                0) kill -9 $asker; sleep 0.1; kill -9 $server ;;
                1) kill -9 $server ;;
                2) wait $asker; kill -9 $server ;;
              esac
              wait $asker; status=$?
              wait $server || true
              "$LOOMLOG" get old$i --log "$LOG" > /dev/null 2>&1; got=$?
              grep -rqa "$secret" "$LOG" && found=1 || found=0
              "$LOOMLOG" verify demo --log "$LOG" > /dev/null 2>&1; verified=$?
              echo "$status $got $found $verified $secret"
            done 2> /dev/null
            """
        let said = try await folder.shell(script)
        #expect(said.status == 0, said.words)
        var (told, secrets) = (0, [String]())
        for line in said.output.split(separator: "\n") {
            let parts = line.split(separator: " ").map(String.init)
            #expect(parts.count == 5 && parts[3] == "0", "\(line)")
            secrets.append(parts[4])
            if parts[0] == "0" {
                told += 1
                #expect(parts[1] == "66" && parts[2] == "0", "\(line)")
            } else {
                #expect(parts[1] == "66" || parts[1] == "0", "\(line)")
            }
        }
        #expect(told >= 3 && secrets.count == 9, said.words)
        let last = try await compact("--delete-finished", "--older-than", "0s", "--now")
        #expect(last.status == 0, last.words)
        let left = try await folder.read("list")
        #expect(!left.output.contains("\"old"), left.words)
        for secret in secrets {
            let found = try await folder.shell("grep -rqa \(secret) \"$LOG\"")
            #expect(found.status == 1, "\(secret)")
        }
        try await folder.expectVerified()
    }
}

extension JSONValue {
    fileprivate var number: Int64 { if case .integer(let number) = self { number } else { -1 } }
}
