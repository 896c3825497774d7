// Drives runs of a step program at once, as a program that embeds the library does: with the
// system's handling of SIGPIPE, under whatever limits its shell has set.
// Use: stdio-loops LOG RUNS [--timeout SECONDS] [--apart] -- PROGRAM [ARGUMENT ...]
//   --timeout SECONDS  how long a step may take
//   --apart            a StdioLoop for each run, all started at once, instead of one for all
// Prints a line for each run, `NAME STATUS RESULT` or `NAME error: …`, and once the loops are
// stopped `stopped, +N descriptors, no children`. Exit 0, whatever the runs came to.

import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomStdio
import SystemPackage

/// What the command line asks for.
struct Arguments {
    var log: FilePath
    var runs: Int
    var isApart = false
    var options: StepProgramOptions

    /// `nil`: they are not to be understood.
    init?(_ words: [String]) {
        guard words.count > 2, let runs = Int(words[1]),
            let end = words.firstIndex(of: "--")
        else { return nil }
        log = FilePath(words[0])
        self.runs = runs
        options = StepProgramOptions(Array(words[(end + 1)...]))
        options.helloTimeout = .seconds(30)
        options.errors = { FileHandle.standardError.write(Data($0)) }
        var rest = words[2..<end]
        while let option = rest.popFirst() {
            switch option {
            case "--apart": isApart = true
            case "--timeout":
                guard let seconds = rest.popFirst().flatMap(Double.init) else { return nil }
                options.stepTimeout = .seconds(seconds)
            default: return nil
            }
        }
    }
}

/// Descriptors of this process that programs are reached by: pipes, and processes. The others are
/// of the log and of Swift's own threads, which open theirs when they like.
func descriptors() -> Int {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
    return names.count { name in
        let path = try? FileManager.default.destinationOfSymbolicLink(
            atPath: "/proc/self/fd/\(name)")
        return path.map { $0.hasPrefix("pipe:") || $0.contains("pidfd") } ?? false
    }
}

/// Drives one run; says what became of it.
func drive(_ name: String, _ loop: StdioLoop, _ store: LogRunStore) async -> String {
    do {
        let result = try await Runner(loop, store: store).start(
            RunID(name), state: loop.firstState ?? .null)
        let output = result.output.map { String(decoding: $0.canonicalBytes, as: UTF8.self) }
        return "\(name) \(result.status) \(output ?? result.failure?.message ?? "")"
    } catch {
        return "\(name) error: \(error)"
    }
}

/// Drives a run with a loop of its own, or with the one that is there for all.
func drive(_ name: String, _ arguments: Arguments, _ store: LogRunStore) async -> String {
    do {
        let loop = try await StdioLoop(arguments.options)
        let line = await drive(name, loop, store)
        try await loop.stop()
        return line
    } catch {
        return "\(name) error: \(error)"
    }
}

func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

func main(_ arguments: Arguments) async throws {
    let store = try LogRunStore(
        path: arguments.log, options: LogOptions(durability: .off))
    let names = (0..<arguments.runs).map { "run\($0)" }
    let before = descriptors()
    let shared = arguments.isApart ? nil : try await StdioLoop(arguments.options)
    await withTaskGroup(of: String.self) { group in
        for name in names {
            group.addTask {
                if let shared { return await drive(name, shared, store) }
                return await drive(name, arguments, store)
            }
        }
        for await line in group { say(line) }
    }
    try await shared?.stop()
    let isAlone = waitpid(-1, nil, WNOHANG) == -1
    say("stopped, +\(descriptors() - before) descriptors, \(isAlone ? "no" : "some") children")
    try store.close()
}

guard let arguments = Arguments(Array(CommandLine.arguments.dropFirst())) else {
    say("usage: stdio-loops LOG RUNS [--timeout SECONDS] [--apart] -- PROGRAM [ARGUMENT ...]")
    exit(64)
}
do {
    try await main(arguments)
} catch {
    say("error: \(error)")
    exit(74)
}
