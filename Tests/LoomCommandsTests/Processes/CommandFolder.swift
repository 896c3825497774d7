import Foundation
import LoomModel
import LoomTesting
import Subprocess
import SystemPackage
import Testing

/// A log of its own, and the built commands called on it: real processes.
struct CommandFolder {
    /// What a process said, and how it ended.
    struct Said {
        /// The exit status; for a signal, as a shell tells it.
        var status: Int32
        var output: String
        var errors: String

        /// For the message of a failed expectation.
        var words: Comment { "\(status)\n\(output)\n\(errors)" }
        /// Its standard output as JSON; `null` when it is none.
        var json: JSONValue { (try? JSONValue(parsing: Array(output.utf8))) ?? .null }

        /// Whether it is one line of error and one of hint, and nothing on standard output.
        var isOneError: Bool {
            let lines = errors.split(separator: "\n", omittingEmptySubsequences: false)
            return output.isEmpty && lines.count == 3 && lines[0].hasPrefix("error: ")
                && lines[1].hasPrefix("hint: ")
        }
    }

    static let tests = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
    static let programs = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    static let package = tests.deletingLastPathComponent().deletingLastPathComponent()
    private let temporary: TemporaryLog
    /// The log, unless a test is about another place.
    var log: FilePath

    init() throws {
        temporary = try TemporaryLog()
        log = temporary.path
    }

    /// A path beside the log.
    func path(_ name: String) -> String {
        temporary.path.removingLastComponent().appending(name).string
    }

    /// An example step program, by its file's name.
    static func example(_ name: String) -> [String] {
        ["--", "python3", package.appending(path: "Tools/python/\(name)").path]
    }

    /// A step program of the tests.
    static func testProgram(_ name: String, _ words: String...) -> [String] {
        let path = tests.appending(path: "Programs/\(name)").path
        return ["--env", "PYTHONPATH=\(package.appending(path: "Tools/python").path)"]
            + ["--", "python3", path] + words
    }

    /// The step program that does something wrong.
    static func misbehaving(_ words: String...) -> [String] {
        testProgram("misbehave.py") + words
    }

    /// The same program with everything that is said written to a file.
    static func recording(_ file: String, _ words: [String]) -> [String] {
        let start = (words.firstIndex(of: "--") ?? 0) + 1
        let recorder = tests.appending(path: "Programs/record.py").path
        return words[..<start] + ["python3", recorder, file] + words[start...]
    }

    /// A step program as words of a line of shell.
    static func quoted(_ words: [String]) -> String {
        words.map { "'\($0)'" }.joined(separator: " ")
    }

    /// What a read says, as JSON.
    func read(_ words: String...) async throws -> Said {
        try await call("loomlog", words + ["--json"])
    }

    func expectVerified() async throws {
        let said = try await read("verify", "demo")
        #expect(said.json["valid"] == .bool(true), said.words)
    }

    /// Calls a command on the log; `more` goes after `--log`.
    func call(_ program: String, _ words: [String], then more: [String] = []) async throws -> Said {
        let path = FilePath(Self.programs.appending(path: program).path)
        return try await said(.path(path), words + ["--log", log.string] + more)
    }

    /// Runs a line of shell in which `$LOOMLOG` and `$LOG` stand for the command and the log.
    func shell(_ line: String) async throws -> Said {
        try await said(.name("bash"), ["-c", line])
    }

    private func said(_ program: Executable, _ arguments: [String]) async throws -> Said {
        let variables: [Environment.Key: String?] = [
            "LOOMLOG": Self.programs.appending(path: "loomlog").path, "LOG": log.string,
        ]
        let result = try await run(
            program, arguments: Arguments(arguments),
            environment: .inherit.updating(variables), output: .string(limit: 1 << 20),
            error: .string(limit: 4 << 20))
        let status =
            switch result.terminationStatus {
            case .exited(let code): code
            case .signaled(let signal): 128 + signal
            }
        return Said(
            status: status, output: result.standardOutput, errors: result.standardError)
    }
}
