import Foundation
import LoomModel
import Testing

/// A ``StdioLoop`` inside a program of a user's: real processes that embed the library.
@Suite(.serialized, .timeLimit(.minutes(3))) struct EmbeddedLoopTests {
    /// The process that drove the run died of SIGPIPE.
    @Test("a program that closes its input is an error of that run")
    func closedInput() async throws {
        let said = try await LoopsProcess.drive(1, LoopsProcess.program("closes-input"))
        withKnownIssue("the process dies of SIGPIPE") {
            #expect(said.isWhole, said.words)
            #expect(said.line("run0").contains("closed its standard input"), said.words)
        }
    }

    /// Lines of one run's step were read by another's, and runs were paused by chance.
    @Test("several runs through one loop: each with a program to itself")
    func severalRuns() async throws {
        let said = try await LoopsProcess.drive(6, LoopsProcess.program("count", "40"))
        withKnownIssue("runs share one program") {
            #expect(said.isWhole, said.words)
            for run in 0..<6 {
                let line = said.line("run\(run)")
                #expect(line.contains(#"completed {"pids":"#), said.words)
                #expect(line.contains(#""run":"run\#(run)""#), said.words)
            }
        }
    }

    /// Both pipes were full, and nothing moved until somebody killed it.
    @Test("a program with 4,000 calls open, which reads nothing while it says them")
    func manyCalls() async throws {
        let said = try await LoopsProcess.drive(1, LoopsProcess.program("calls", "4000"))
        withKnownIssue("both pipes are full") {
            #expect(said.isWhole, said.words)
            #expect(said.line("run0") == "run0 completed 4000", said.words)
        }
    }

    /// The time limit ended the program, and a core was busy for minutes with what was left of it.
    @Test("200,000 calls at once are refused")
    func tooManyCalls() async throws {
        let said = try await LoopsProcess.drive(
            1, LoopsProcess.program("calls", "200000"), options: ["--timeout", "10"])
        withKnownIssue("a core is busy for minutes") {
            #expect(said.isWhole, said.words)
            #expect(said.line("run0").contains("calls open"), said.words)
        }
    }

    /// The process was trapped inside the library that starts programs, or waited for ever for the
    /// end of one that nobody reaped.
    @Test(
        "no descriptors left while programs start: an error of that start",
        arguments: [12, 13, 14, 15, 17, 19, 21, 23, 64])
    func noDescriptors(descriptors: Int) async throws {
        let said = try await LoopsProcess.drive(
            12, LoopsProcess.program("count", "3"), options: ["--apart"],
            descriptors: descriptors)
        withKnownIssue("a trap, or an endless wait", isIntermittent: true) {
            try #require(said.status == 0 || said.output.hasPrefix("error: "), said.words)
            guard said.status == 0 else { return }
            #expect(said.isWhole, said.words)
            for run in 0..<12 {
                let line = said.line("run\(run)")
                let isRefused = line.contains("could not be started: Too many open files")
                #expect(isRefused || line.contains("completed"), said.words)
            }
        }
    }
}
