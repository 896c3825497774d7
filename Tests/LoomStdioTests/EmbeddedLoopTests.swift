import Foundation
import LoomModel
import Testing

/// A ``StdioLoop`` inside a program of a user's: real processes that embed the library.
@Suite(.serialized, .timeLimit(.minutes(10))) struct EmbeddedLoopTests {
    /// The process that drove the run died of SIGPIPE.
    @Test("a program that closes its input is an error of that run")
    func closedInput() async throws {
        let said = try await LoopsProcess.drive(1, LoopsProcess.program("closes-input"))
        #expect(said.isWhole, said.words)
        #expect(said.line("run0").contains("closed its standard input"), said.words)
    }

    /// Lines of one run's step were read by another's, and runs were paused by chance.
    @Test("several runs through one loop: each with a program to itself")
    func severalRuns() async throws {
        let said = try await LoopsProcess.drive(6, LoopsProcess.program("count", "40"))
        #expect(said.isWhole, said.words)
        for run in 0..<6 {
            let line = said.line("run\(run)")
            #expect(line.contains(#"completed {"pids":"#), said.words)
            #expect(line.contains(#""run":"run\#(run)""#), said.words)
        }
    }

    /// Both pipes were full, and nothing moved until somebody killed it.
    @Test("a program with 4,000 calls open, which reads nothing while it says them")
    func manyCalls() async throws {
        let said = try await LoopsProcess.drive(1, LoopsProcess.program("calls", "4000"))
        #expect(said.isWhole, said.words)
        #expect(said.line("run0") == "run0 completed 4000", said.words)
    }

    /// The time limit ended the program, and a core was busy for minutes with what was left of it.
    @Test("40,000 calls at once are refused")
    func tooManyCalls() async throws {
        let said = try await LoopsProcess.drive(
            1, LoopsProcess.program("calls", "40000"), options: ["--timeout", "10"])
        #expect(said.isWhole, said.words)
        #expect(said.line("run0").contains("calls open"), said.words)
    }

    /// The process was trapped inside the library that starts programs, or waited for ever for the
    /// end of one that nobody reaped.
    @Test(
        "no descriptors left while programs start: an error of that start",
        arguments: [14, 15, 17, 19, 21, 23, 30, 64])
    func noDescriptors(descriptors: Int) async throws {
        let said = try await LoopsProcess.drive(
            12, LoopsProcess.program("count", "3"), options: ["--apart"],
            descriptors: descriptors)
        try #require(said.status == 0 || said.output.hasPrefix("error: "), said.words)
        guard said.status == 0 else { return }
        #expect(said.isWhole, said.words)
        for run in 0..<12 {
            let line = said.line("run\(run)")
            let isRefused = line.contains("could not be started: its pipes: Too many open")
            #expect(isRefused || line.contains("completed"), said.words)
        }
    }

    /// One of five such numbers left none for a second, and Swift's own threads ended the process:
    /// they look once a second whether they run, by a file each.
    @Test("programs leave descriptors for the rest of the process", arguments: [31...35])
    func spareDescriptors(descriptors: ClosedRange<Int>) async throws {
        try await withThrowingTaskGroup(of: LoopsProcess.Said.self) { group in
            for number in descriptors {
                group.addTask {
                    try await LoopsProcess.drive(
                        12, LoopsProcess.program("slow", "2500"), options: ["--apart"],
                        descriptors: number)
                }
            }
            for try await said in group { #expect(said.isWhole, said.words) }
        }
    }

    /// With 235 descriptors and 40 programs, children were left as zombies and the end was waited
    /// for in vain.
    @Test("more programs than there are descriptors for", arguments: [128, 235])
    func manyPrograms(descriptors: Int) async throws {
        let said = try await LoopsProcess.drive(
            40, LoopsProcess.program("count", "3"), options: ["--apart"],
            descriptors: descriptors, seconds: 60)
        #expect(said.isWhole, said.words)
        let completed = said.output.split(separator: "\n").count { $0.contains("completed") }
        let refused = said.output.split(separator: "\n").count { $0.contains("Too many open") }
        #expect(completed > 0 && completed + refused == 40, said.words)
    }

    @Test("a program inherits its three pipes and nothing else, above all not the log")
    func inherited() async throws {
        let said = try await LoopsProcess.drive(1, LoopsProcess.program("descriptors"))
        #expect(said.isWhole, said.words)
        let line = said.line("run0")
        #expect(line.split(separator: "pipe:").count == 4, said.words)
        #expect(line.split(separator: ",").count == 3 && !line.contains(".loom"), said.words)
    }

    @Test("standard descriptors that are closed in the process that embeds the library")
    func noStandardDescriptors() async throws {
        let said = try await LoopsProcess.drive(
            3, LoopsProcess.program("count", "3"), redirection: "0<&- 2>&-")
        #expect(said.isWhole, said.words)
        #expect(said.line("run2").contains("completed"), said.words)
    }

    @Test("a program that does not end by itself is killed when the loop is stopped")
    func ignoresEnd() async throws {
        let said = try await LoopsProcess.drive(1, LoopsProcess.program("ignores-end"))
        #expect(said.isWhole && said.seconds < 20, said.words)
        #expect(said.line("run0").contains("completed"), said.words)
    }

    @Test("no zombies and no descriptors after many programs")
    func manyLives() async throws {
        let said = try await LoopsProcess.drive(
            60, LoopsProcess.program("count", "2"), options: ["--apart"], seconds: 60)
        #expect(said.isWhole, said.words)
        #expect(said.line("run59").contains("completed"), said.words)
    }
}
