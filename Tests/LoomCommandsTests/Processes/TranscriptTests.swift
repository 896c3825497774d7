import Foundation
import LoomModel
import Testing

/// The protocol of step programs as golden transcripts: what is said stays what it is, as programs
/// in other languages depend on it.
///
/// LOOMLOG_RECORD=1 swift test --filter TranscriptTests writes them anew.
@Suite(.serialized, .timeLimit(.minutes(10))) struct TranscriptTests {
    private let folder: CommandFolder
    private var recording: String { folder.path("transcript") }

    init() throws { folder = try CommandFolder() }

    private static let isRecorded = ProcessInfo.processInfo.environment["LOOMLOG_RECORD"] != nil

    private func golden(_ name: String) -> URL {
        CommandFolder.tests.appending(path: "Transcripts/\(name).txt")
    }

    /// Drives a program with everything that is said written down.
    private func drive(
        _ words: [String], _ program: [String]
    ) async throws -> CommandFolder.Said {
        try await folder.call(
            "loomlog", words + ["--json"], then: CommandFolder.recording(recording, program))
    }

    private func compare(_ name: String) throws {
        let said = try String(contentsOfFile: recording, encoding: .utf8)
        if Self.isRecorded {
            try said.write(to: golden(name), atomically: true, encoding: .utf8)
        }
        #expect(said == (try String(contentsOf: golden(name), encoding: .utf8)))
    }

    @Test("two steps of the counter")
    func counter() async throws {
        let said = try await drive(
            ["run", "demo", "--max-steps", "2"], CommandFolder.example("counter.py"))
        #expect(said.json["step_index"] == .integer(2), said.words)
        try compare("counter")
    }

    @Test(
        "a tool call, an error, an attempt answered from the log; it stands in the article"
    )
    func flaky() async throws {
        let said = try await drive(
            ["run", "demo", "--input", #"{"current":2,"target":3}"#],
            CommandFolder.example("flaky.py"))
        #expect(said.json["status"] == .string("completed"), said.words)
        try compare("flaky")
        let article = try String(
            contentsOf: CommandFolder.package.appending(
                path: "Sources/LoomStdio/LoomStdio.docc/LoomStdio.md"), encoding: .utf8)
        let golden = try String(contentsOf: golden("flaky"), encoding: .utf8)
        #expect(article.contains("```text\n\(golden)```"))
    }

    @Test("a `.once` call cut in the middle: the program is asked what became of it")
    func reconciled() async throws {
        let said = try await drive(
            ["run", "demo"], CommandFolder.testProgram("charge.py", folder.path("mark")))
        #expect(said.json["result"] == .string("receipt for 500"), said.words)
        try compare("reconciled")
    }

    @Test("a run of an older version is migrated; a program that cannot is refused")
    func migrated() async throws {
        let one = try await drive(
            ["run", "demo", "--max-steps", "2"], CommandFolder.testProgram("versions.py", "1"))
        #expect(one.json["state"] == .integer(2), one.words)
        let two = try await drive(
            ["resume", "demo"], CommandFolder.testProgram("versions.py", "2"))
        #expect(two.json["result"] == .integer(3), two.words)
        try compare("migrated")
        _ = try await drive(
            ["run", "other", "--max-steps", "1"], CommandFolder.testProgram("versions.py", "2"))
        let back = try await drive(
            ["resume", "other"], CommandFolder.testProgram("versions.py", "1"))
        #expect(back.status == 65 && back.isOneError, back.words)
        let get = try await folder.call("loomlog", ["get", "other", "--json"])
        #expect(get.json["status"] == .string("paused"), get.words)
    }
}
