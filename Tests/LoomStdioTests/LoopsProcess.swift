import Foundation
import LoomTesting
import Subprocess
import SystemPackage
import Testing

/// A process of Tools/stdio-loops over a log of its own.
struct LoopsProcess {
    /// What the process said, and how it ended.
    struct Said {
        /// The exit status; for a signal, as a shell tells it. 137: it had to be killed.
        var status: Int32
        var output: String
        var errors: String
        var seconds: Double

        /// For the message of a failed expectation.
        var words: Comment { "\(status) after \(seconds) s\n\(output)\n\(errors.suffix(2000))" }
        /// The line of a run.
        func line(_ run: String) -> String {
            let lines = output.split(separator: "\n")
            return lines.first { $0.hasPrefix(run + " ") }.map(String.init) ?? ""
        }
        /// Whether the process came to its end by itself and nothing of its programs is left.
        var isWhole: Bool {
            status == 0 && output.hasSuffix("stopped, +0 descriptors, no children\n")
        }
    }

    private static let tests = URL(filePath: #filePath).deletingLastPathComponent()
    static let loops = URL(filePath: CommandLine.arguments[0])
        .deletingLastPathComponent().appending(path: "stdio-loops").path

    /// A step program of these tests, as words of a command.
    static func program(_ words: String...) -> [String] {
        ["python3", tests.appending(path: "Programs/steps.py").path] + words
    }

    /// Drives runs; the process is killed after so many seconds, so that a hang fails its test.
    static func drive(
        _ runs: Int, _ program: [String], options: [String] = [], descriptors: Int? = nil,
        redirection: String = "", seconds: Int = 30
    ) async throws -> Said {
        let log = try TemporaryLog()
        let words = [loops, log.path.string, "\(runs)"] + options + ["--"] + program
        let limit = descriptors.map { "ulimit -n \($0); " } ?? ""
        let line =
            limit + "exec " + words.map { "'\($0)'" }.joined(separator: " ") + " \(redirection)"
        let start = ContinuousClock.now
        let result = try await run(
            .name("timeout"),
            arguments: ["--signal=KILL", "\(seconds)", "bash", "-c", line],
            output: .string(limit: 4 << 20), error: .string(limit: 4 << 20))
        let status =
            switch result.terminationStatus {
            case .exited(let code): code
            case .signaled(let signal): 128 + signal
            }
        return Said(
            status: status, output: result.standardOutput, errors: result.standardError,
            seconds: (ContinuousClock.now - start) / .seconds(1))
    }
}
