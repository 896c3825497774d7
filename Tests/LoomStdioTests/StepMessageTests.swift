import LoomModel
import Testing

@testable import LoomStdio

/// What a step program says, as it is read.
@Suite struct StepMessageTests {
    private static func refusal(_ line: String) -> String {
        do throws(StepProgramError) {
            let line = try ProgramLine(Array(line.utf8))
            return "\(line.message)"
        } catch {
            return error.description
        }
    }

    /// `"happened": 1` was taken for false, and the `.once` call was made again; a key that is a
    /// number was none.
    @Test(
        "what decides whether a call is made is refused when it is of the wrong kind",
        arguments: [
            (#"{"type":"tool_reconciled","id":1,"happened":1,"result":2}"#, "happened"),
            (#"{"type":"tool_reconciled","id":1,"result":2}"#, "happened"),
            (#"{"type":"tool_failed","id":1,"error":"","did_not_happen":"y"}"#, "did_not_happen"),
            (#"{"type":"tool","id":1,"name":"n","key":5}"#, "key"),
            (#"{"type":"tool","id":1,"name":"n","key":"k","scope":"log"}"#, "scope"),
            (#"{"type":"tool","id":1,"name":"n","safety":1}"#, "safety"),
            (#"{"type":"tool","id":1,"name":"n","reconciles":1}"#, "reconciles"),
            (#"{"type":"error","error":"e","retryable":0}"#, "retryable"),
        ])
    func wrongKinds(line: String, member: String) {
        #expect(Self.refusal(line).contains("no message: its \(member) is "))
    }

    @Test("a member that is null is left out")
    func nulls() throws {
        let line = #"{"type":"tool","id":1,"name":"n","key":null,"safety":null,"reconciles":null}"#
        guard case .tool(let tool) = try ProgramLine(Array(line.utf8)).message else {
            Issue.record("no tool")
            return
        }
        #expect(tool.key == nil && tool.safety == .idempotent && !tool.reconciles)
    }

    /// Five million bytes of it were printed, and what steers a terminal with them.
    @Test("the error of a message shows the beginning of what the program said, and no controls")
    func briefErrors() {
        let long = String(repeating: "a", count: 5_000_000)
        for line in [
            #"{"type":"\u001b[2J\u009b2J\#(long)"}"#,
            #"{"type":"outcome","kind":"\u001b[2J\u009b2J\#(long)"}"#,
            "\u{1B}[2J\u{9B}2J\(long)",
        ] {
            let words = Self.refusal(line)
            #expect(words.utf8.count < 400)
            #expect(!words.unicodeScalars.contains { $0.properties.generalCategory == .control })
        }
    }

    @Test("lines before one that is too long are there")
    func linesBeforeTheError() {
        var splitter = LineSplitter(limit: 4)
        let (lines, error) = splitter.add(Array("ab\ncd\nefghi\n".utf8))
        #expect(lines == [Array("ab".utf8), Array("cd".utf8)])
        #expect(error == .lineTooLong(4))
    }
}
