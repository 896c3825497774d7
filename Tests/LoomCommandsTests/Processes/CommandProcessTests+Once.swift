import Foundation
import LoomModel
import Testing

/// Calls that must not happen twice, and what a person says of them, as real processes.
extension CommandProcessTests {
    private func start(
        _ kind: String, _ options: [String] = []
    ) async throws -> CommandFolder.Said {
        try await folder.call(
            "loomlog", ["run", "demo"] + options,
            then: CommandFolder.testProgram("once.py", folder.path("mark"), kind))
    }

    /// How often the program has charged: the effects, not the answers.
    private func charges() throws -> Int {
        let text = try String(contentsOfFile: folder.path("mark"), encoding: .utf8)
        return text.split(separator: "\n").count
    }

    /// Only "call 3 may or may not have happened" was told, with status 0, and the cause was
    /// nowhere. A program that breaks the protocol gives 65 whatever its tool's safety is.
    @Test(
        "what made the outcome of a `.once` call unknown is told at once, and kept",
        arguments: [
            ("long", ["--line-max", "2000"], 65, "printed a line above 2000 bytes"),
            ("garbage", [], 65, "which is no message"),
            // Its cause was lost, and the status 0, when the outcome came before the call's end.
            ("outcome", [], 65, "an outcome while call 1 was open"),
            ("hangs", ["--timeout", "1"], 0, "took longer than 1.0 seconds"),
            ("dies", [], 0, "ended with status 9"),
        ] as [(String, [String], Int32, String)])
    func cause(kind: String, options: [String], status: Int32, says: String) async throws {
        let said = try await start(kind, options)
        #expect(said.status == status, said.words)
        // On standard error the cause, and what to do; where the run stands on standard output.
        #expect(said.errors.contains("paused: call 3 of charge"), said.words)
        #expect(said.errors.contains(says), said.words)
        #expect(said.errors.contains("loomlog resolve demo 3 --log"), said.words)
        #expect(said.output.contains("status   paused") && said.output.contains(says), said.words)
        #expect(said.output.contains("next     loomlog resolve demo 3"), said.words)
        // Kept in the log, for whoever looks later.
        let explain = try await folder.read("explain", "demo")
        #expect(explain.json["pause_reason"].text.contains(says), explain.words)
        let unknown = explain.json["unknown_calls"].elements
        #expect(unknown.first?["error"].text.contains(says) == true, explain.words)
        let attempts = try await folder.read("attempts", "demo")
        #expect(attempts.json.elements.count == 1, attempts.words)
        #expect(attempts.json.elements.first?["error"].text.contains(says) == true, attempts.words)
        // Resumed without an answer, it still says why.
        let resumed = try await folder.call(
            "loomlog", ["resume", "demo"],
            then: CommandFolder.testProgram("once.py", folder.path("mark"), kind))
        #expect(resumed.status == 0 && resumed.errors.contains(says), resumed.words)
        #expect(try charges() == 1)
        try await folder.expectVerified()
    }

    /// A slip in the number made the tool charge twice, and nothing told of it.
    @Test("what a tool itself said of its call is overruled only by --correct, which is told")
    func correct() async throws {
        let program = CommandFolder.testProgram("twice.py", folder.path("mark"))
        let said = try await folder.call("loomlog", ["run", "demo"], then: program)
        #expect(said.status == 0 && said.errors.contains("paused: call 5"), said.words)
        let slip = try await folder.call("loomlog", ["resolve", "demo", "3", "--did-not-happen"])
        #expect(slip.status == 64 && slip.isOneError, slip.words)
        for part in [
            "call 3, charge(", "\"ada\"", "the tool said that it completed with \"receipt",
        ] {
            #expect(slip.errors.contains(part), slip.words)
        }
        #expect(try await folder.read("verify", "demo").json["notes"] == .array([]))
        // The right one, whose outcome nobody knew.
        let resolved = try await folder.call(
            "loomlog", ["resolve", "demo", "5", "--result", #""by hand""#])
        #expect(resolved.output.contains("resolved call 5, charge("), resolved.words)
        #expect(resolved.output.contains("nobody knew its outcome"), resolved.words)
        // A person's word may be said anew, and is named by the answer.
        let again = try await folder.call(
            "loomlog", ["resolve", "demo", "5", "--result", #""receipt b""#, "--json"])
        #expect(again.json["resolved"]["ended_by_before"] == .string("person"), again.words)
        #expect(again.json["resolved"]["result_before"] == .string("by hand"), again.words)
        let corrected = try await folder.call(
            "loomlog", ["resolve", "demo", "3", "--result", #""receipt a""#, "--correct"])
        #expect(corrected.status == 0, corrected.words)
        // From then on it is told, also when its step is over; and it is no violation.
        let resumed = try await folder.call(
            "loomlog", ["resume", "demo", "--json"], then: program)
        #expect(resumed.json["result"].text == "receipt a, receipt b", resumed.words)
        #expect(try charges() == 2)
        let verify = try await folder.read("verify", "demo")
        #expect(verify.status == 0 && verify.json["valid"] == .bool(true), verify.words)
        let note = verify.json["notes"].elements.map(\.text).joined()
        #expect(note.contains("a person corrected call 3 of charge"), verify.words)
        let explain = try await folder.read("explain", "demo")
        #expect(explain.json["corrections"].elements.map { $0["call"] } == [.integer(3)])
        #expect(explain.json["invariant_notes"].elements.map(\.text) == [note], explain.words)
        let calls = try await folder.read("tool-calls", "demo")
        #expect(
            calls.json.elements.map { $0["ended_by"].text } == ["correction", "person"], calls.words
        )
    }
}
