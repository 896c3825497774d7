import Foundation
import LoomFormat
import LoomModel
import SystemPackage
import Testing

/// Places that are no log, that may not be touched, that have no room, that somebody else has.
extension CommandProcessTests {
    private static let isRoot = geteuid() == 0

    /// Reads and drives, each of which must say the same.
    private func expectBoth(_ status: Int32, _ says: String) async throws {
        for words in [["list"], ["get", "demo"], ["explain", "demo"], ["info"]] {
            let said = try await folder.call("loomlog", words)
            #expect(said.status == status && said.isOneError, said.words)
            #expect(said.errors.contains(says), said.words)
        }
        let said = try await folder.call("counter-agent", ["run", "another"])
        #expect(said.status == status && said.isOneError, said.words)
        #expect(said.errors.contains(says), said.words)
    }

    private func makeRun() async throws {
        let said = try await folder.call("counter-agent", ["run", "demo", "--max-steps", "5"])
        #expect(said.status == 0, said.words)
    }

    private func expectResumable() async throws {
        let said = try await folder.call("counter-agent", ["resume", "demo", "--json"])
        #expect(said.json["status"] == .string("completed"), said.words)
    }

    @Test("a path that is a file")
    func file() async throws {
        try Data("notes".utf8).write(to: URL(filePath: folder.log.string))
        try await expectBoth(66, "a file, not a log")
        #expect(try String(contentsOfFile: folder.log.string, encoding: .utf8) == "notes")
    }

    @Test("a folder with other things in it is left alone")
    func otherFolder() async throws {
        let name = folder.log.appending("thesis.tex").string
        try FileManager.default.createDirectory(
            atPath: folder.log.string, withIntermediateDirectories: true)
        try Data("words".utf8).write(to: URL(filePath: name))
        try await expectBoth(66, "no log")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.log.string)
                == ["thesis.tex"])
    }

    /// `run` printed the other log's run of the same name as its own result, with 0.
    @Test("a log that is replaced while it is driven ends the run with an error")
    func replaced() async throws {
        var other = folder
        other.log = FilePath(folder.path("other.loom"))
        let made = try await other.call("counter-agent", ["run", "demo"])
        #expect(made.status == 0, made.words)
        let program = CommandFolder.testProgram("swap.py", folder.log.string, other.log.string)
        let said = try await folder.call("loomlog", ["run", "demo", "--json"], then: program)
        #expect(said.status == 74 && said.isOneError, said.words)
        #expect(said.errors.contains("moved, deleted, replaced"), said.words)
        let untouched = try await folder.read("verify", "demo")
        #expect(untouched.json["valid"] == .bool(true), untouched.words)
        var moved = folder
        moved.log = FilePath(folder.log.string + ".moved")
        let left = try await moved.read("get", "demo")
        #expect(left.json["status"] == .string("interrupted"), left.words)
    }

    /// Changes the segment's first page as a later version might have written it.
    private func patchSegment(_ change: (inout [UInt8]) -> Void) throws -> Data {
        let segments = folder.log.appending("seg")
        let names = try FileManager.default.contentsOfDirectory(atPath: segments.string).sorted()
        let url = URL(filePath: segments.appending(try #require(names.first)).string)
        let before = try Data(contentsOf: url)
        var bytes = Array(before)
        change(&bytes)
        try Data(bytes).write(to: url)
        return before
    }

    @Test("a log of a newer format is refused, and not touched")
    func newerFormat() async throws {
        try await makeRun()
        let before = try patchSegment { $0[8] = 9 }
        try await expectBoth(65, "version 9")
        // The bytes are those that were there: put back, the log goes on.
        _ = try patchSegment { bytes in
            #expect(bytes[8] == 9)
            bytes[8] = 0
            #expect(bytes == Array(before))
        }
        try await expectResumable()
    }

    @Test("damage in what was durable is refused with the place, and not repaired by itself")
    func damaged() async throws {
        try await makeRun()
        let before = try patchSegment { $0[100] ^= 1 }
        let said = try await folder.call("counter-agent", ["resume", "demo"])
        #expect(said.status == 65 && said.isOneError, said.words)
        _ = try patchSegment { $0 = Array(before) }
        try await expectResumable()
    }

    @Test("no permission", .enabled(if: isRoot, "it takes root to become somebody without"))
    func noPermission() async throws {
        try await makeRun()
        let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups"
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o700], ofItemAtPath: folder.log.string)
        for command in ["list", "get demo", "run x -- true"] {
            let said = try await folder.shell("\(nobody) \"$LOOMLOG\" \(Self.placed(command))")
            #expect(said.status == 74 && said.isOneError, said.words)
            #expect(said.errors.contains("ermission denied"), said.words)
        }
        // Readable, but not to be written: reads are answered.
        let open = try await folder.shell(
            "chmod -R a+rX \"$(dirname \"$LOG\")\"; \(nobody) \"$LOOMLOG\" list --log \"$LOG\"")
        #expect(open.status == 0 && open.output.contains("demo"), open.words)
        let write = try await folder.shell(
            "\(nobody) \"$LOOMLOG\" cancel demo --log \"$LOG\"")
        #expect(write.status == 74 && write.isOneError, write.words)
        try await expectResumable()
    }

    /// The command with the log in its place, before a step program.
    private static func placed(_ command: String) -> String {
        guard let program = command.range(of: " -- ") else { return command + " --log \"$LOG\"" }
        return command.replacingCharacters(in: program, with: " --log \"$LOG\" -- ")
    }

    @Test("a full disk", .enabled(if: isRoot, "mounting needs root"))
    func fullDisk() async throws {
        var folder = folder
        let disk = folder.path("disk")
        let mounted = try await folder.shell(
            "mkdir \(disk) && mount -t tmpfs -o size=4m tmpfs \(disk)")
        try #require(mounted.status == 0, mounted.words)
        folder.log = FilePath(disk).appending("runs.loom")
        let long = ["--input", #"{"current":0,"target":100000000}"#]
        let full = try await folder.call("counter-agent", ["run", "demo"] + long)
        #expect(full.status == 74 && full.isOneError, full.words)
        #expect(full.errors.contains("No space left on device"), full.words)
        // Reads need no room; a resume says the same again.
        let standing = try await folder.read("get", "demo")
        guard case .integer(let step) = standing.json["step_index"] else {
            Issue.record("\(standing.words)")
            return
        }
        #expect(step > 10_000)
        let again = try await folder.call("counter-agent", ["resume", "demo"])
        #expect(again.status == 74 && again.isOneError, again.words)
        // With room again nothing is lost.
        _ = try await folder.shell("mount -o remount,size=64m \(disk)")
        let resumed = try await folder.call(
            "counter-agent", ["resume", "demo", "--max-steps", "10", "--json"])
        guard case .integer(let next) = resumed.json["step_index"] else {
            Issue.record("\(resumed.words)")
            return
        }
        #expect(next >= step + 10)
        try await folder.expectVerified()
        _ = try await folder.shell("umount -l \(disk)")
    }

    @Test("a reader piped into head ends without a word")
    func pipedIntoHead() async throws {
        let long = ["--input", #"{"current":0,"target":20000}"#]
        let made = try await folder.call("counter-agent", ["run", "demo"] + long)
        #expect(made.status == 0, made.words)
        for read in ["history demo --jsonl", "history demo", "attempts demo --jsonl", "dump"] {
            let said = try await folder.shell(
                "set -o pipefail; \"$LOOMLOG\" \(read) --log \"$LOG\" | head -n 1")
            #expect(said.status == 0 && said.errors.isEmpty, said.words)
            #expect(said.output.split(separator: "\n").count == 1, said.words)
        }
    }

    @Test("a second process is told who has the log; --wait waits for it")
    func twoProcesses() async throws {
        let mark = folder.path("mark")
        let gate = folder.path("gate")
        async let first = folder.call(
            "loomlog", ["run", "demo", "--json"],
            then: CommandFolder.misbehaving("waits", mark, gate))
        while !FileManager.default.fileExists(atPath: mark) {
            try await Task.sleep(for: .milliseconds(5))
        }
        let refused = try await folder.call("counter-agent", ["run", "other"])
        #expect(refused.status == 75 && refused.isOneError, refused.words)
        #expect(refused.errors.contains("open for writing by pid "), refused.words)
        // Reading goes on meanwhile.
        let get = try await folder.read("get", "demo")
        #expect(get.json["status"] == .string("running"), get.words)
        async let waiting = folder.call("counter-agent", ["run", "other", "--wait", "--json"])
        try await Task.sleep(for: .milliseconds(300))
        #expect(FileManager.default.createFile(atPath: gate, contents: nil))
        let (one, two) = (try await first, try await waiting)
        #expect(one.json["status"] == .string("completed"), one.words)
        #expect(two.json["status"] == .string("completed"), two.words)
    }

    /// Each ended with 0, as if the reader had gone.
    @Test("standard output that cannot be written is an error; a reader that goes is none")
    func outputFails() async throws {
        try await makeRun()
        for command in ["list", "get demo --json", "history demo", "dump", "info", "tail"] {
            let full = try await folder.shell("\"$LOOMLOG\" \(command) --log \"$LOG\" > /dev/full")
            #expect(full.status == 74 && full.isOneError, full.words)
        }
        // The status of a run that failed is not lost with its reader.
        let program = CommandFolder.quoted(CommandFolder.misbehaving("nan"))
        let failed = try await folder.shell(
            "\"$LOOMLOG\" run other --log \"$LOG\" \(program) | true; echo ${PIPESTATUS[0]}")
        #expect(failed.output == "1\n", failed.words)
        let tail = try await folder.shell(
            "timeout 5 \"$LOOMLOG\" tail -f --log \"$LOG\" | head -n 1")
        #expect(tail.status == 0 && tail.output.contains("demo #"), tail.words)
    }

    /// It said "the log is as it was" of a run that it had just driven to its end.
    @Test("output that cannot be printed: what was done all the same is told")
    func unprintedChanges() async throws {
        let program = CommandFolder.quoted(CommandFolder.example("counter.py"))
        let cases = [
            ("run demo --max-steps 2", program, "run demo is paused at step 2"),
            ("resume demo --max-steps 1", program, "run demo is paused at step 3"),
            ("label demo a=b", "", "run demo was labelled"),
            ("cancel demo", "", "run demo was cancelled"),
        ]
        for (words, more, told) in cases {
            let said = try await folder.shell(
                "\"$LOOMLOG\" \(words) --log \"$LOG\" \(more) > /dev/full")
            #expect(said.status == 74 && said.isOneError, said.words)
            #expect(said.errors.contains(told), said.words)
            #expect(said.errors.contains("hint: loomlog get demo --log "), said.words)
        }
        let get = try await folder.read("get", "demo")
        #expect(get.json["status"] == .string("cancelled"), get.words)
        let list = try await folder.shell("\"$LOOMLOG\" list --log \"$LOG\" > /dev/full")
        #expect(list.errors.contains("nothing in the log was changed"), list.words)
    }

    /// They ended with 0. A demonstration left its folder behind.
    @Test("help, version and the demonstration tell that they cannot be printed")
    func unprintedWords() async throws {
        for words in ["--help", "--version", "list --help", "help run"] {
            let said = try await folder.shell("\"$LOOMLOG\" \(words) > /dev/full")
            #expect(said.status == 74 && said.isOneError, said.words)
            let whole = try await folder.shell("\"$LOOMLOG\" \(words)")
            #expect(whole.status == 0 && whole.output.hasSuffix("\n"), whole.words)
        }
        let demo = try await folder.shell(
            "mkdir -p \"$LOG.tmp\"; TMPDIR=\"$LOG.tmp\" \"$LOOMLOG\" demo > /dev/full; "
                + "echo $? $(ls \"$LOG.tmp\"); rm -rf \"$LOG.tmp\"")
        #expect(demo.output == "74\n", demo.words)
    }

    /// The first file that is opened gets the first free number: LOCK was standard error.
    @Test("closed standard streams do not end up in the log")
    func closedStreams() async throws {
        let program = CommandFolder.quoted(CommandFolder.misbehaving("floods"))
        let said = try await folder.shell(
            "\"$LOOMLOG\" run demo --log \"$LOG\" \(program) <&- >&- 2>&-; echo $?")
        #expect(said.output == "0\n", said.words)
        let lock = try String(contentsOfFile: folder.log.appending("LOCK").string, encoding: .utf8)
        #expect(lock.hasPrefix("pid "))
        try await folder.expectVerified()
    }

    @Test("words and numbers at the edges: usage, one error, no trap")
    func edges() async throws {
        try await makeRun()
        let cases: [([String], Int32)] = [
            (["tail", "demo", "--limit", "9223372036854775807"], 0),
            (["history", "demo", "--limit", "9223372036854775807", "--offset", "5"], 0),
            (["list", "--json", "--jsonl"], 64), (["bogus"], 64),
            (["resolve", "demo", "3", "--did-not-happen"], 66),
            (["demo", "--folder", "/nonexistent"], 64),
        ]
        for (words, status) in cases {
            let isDemo = words[0] == "demo" || words[0] == "bogus"
            let said =
                isDemo
                ? try await folder.shell("\"$LOOMLOG\" \(words.joined(separator: " "))")
                : try await folder.call("loomlog", words)
            #expect(said.status == status, said.words)
            #expect(status == 0 || said.isOneError, said.words)
        }
        let bogus = try await folder.shell("\"$LOOMLOG\" bogus")
        #expect(bogus.errors.contains("loomlog --help"), bogus.words)
        let pipe = try await folder.shell(
            "echo '{\"current\":3}' | \"$LOOMLOG\" run piped --log \"$LOG\" --json "
                + "--input @/dev/stdin --max-steps 1 "
                + CommandFolder.quoted(CommandFolder.misbehaving("good")))
        #expect(pipe.json["step_index"] == .integer(1), pipe.words)
        #expect(pipe.json["state"] == .object(["current": .integer(4)]), pipe.words)
    }

    @Test("the line of what to do next can be pasted")
    func nextLine() async throws {
        let program = CommandFolder.misbehaving("good")
        let first = try await folder.call(
            "loomlog", ["run", "two words", "--max-steps", "1"], then: program)
        let line = try #require(first.output.split(separator: "\n").last { $0.hasPrefix("next") })
        let pasted = line.dropFirst("next".count).drop { $0 == " " }
        #expect(pasted.hasPrefix("loomlog resume 'two words' --log "), first.words)
        let python = CommandFolder.package.appending(path: "Tools/python").path
        let again = try await folder.shell(
            "export PYTHONPATH='\(python)'; loomlog() { \"$LOOMLOG\" \"$@\"; }; \(pasted)")
        #expect(again.output.contains("completed"), again.words)
    }
}
