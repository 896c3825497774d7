internal import ArgumentParser
internal import Foundation
internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRunner
internal import Synchronization

/// Work on a log that takes its time: done here when nobody has the log, else by who has it.
struct CareWork {
    let ask: AskArguments
    let verb: String

    /// Does it, or has it done, and tells how far it is.
    ///
    /// - Returns: What it came to; `nil` when it was only asked for.
    func perform(
        _ arguments: JSONValue,
        _ body:
            @escaping (LogRunStore, @escaping @Sendable (JSONValue) -> Void) async throws ->
            JSONValue
    ) async throws -> JSONValue? {
        let line = CareProgress()
        defer { line.finish() }
        let stop = StopSignals(note: "stopping; once more to end at once")
        do {
            return try await stop.cancelling {
                do {
                    return try await ask.log.writing(creates: false, waits: false) { store in
                        try await body(store) { line.show($0) }
                    }
                } catch let error as LogError where error.code == .locked {
                    return try await ask.request(verb, arguments) { line.show($0) }
                }
            }
        } catch {
            line.finish()
            guard let status = stop.status else { throw error }
            let words = (error as? RequestError)?.description
            Output.note(
                words ?? "stopped; what was done stays done, and the rest can be done later")
            throw ExitCode(status)
        }
    }

    /// What it came to, for people.
    static func lines(_ report: JSONValue) -> [String] {
        let numbers = CareNumbers(report)
        var lines: [String] = []
        for (key, words) in [
            ("policies_changed", "got the policy"), ("deleted", "deleted"),
            ("skipped", "left alone: somebody has them, or they went on"),
        ] where numbers[key] > 0 {
            lines.append("\(Output.count(numbers[key], "run")) \(words)")
        }
        let rewritten = numbers["files_rewritten"]
        let archives = Output.count(numbers["archives"], "archive")
        lines.append(
            rewritten == 0
                ? "nothing to rewrite in \(archives)"
                : "\(Output.count(rewritten, "file")) rewritten, \(archives) looked at")
        let (before, after) = (numbers["bytes_before"], numbers["bytes_after"])
        lines.append("\(before) bytes before, \(after) after")
        if case .object(let members) = report, case .array(let removed)? = members["removed"] {
            for case .string(let path) in removed { lines.append("removed \(path)") }
        }
        return lines
    }
}

/// The numbers of a report.
struct CareNumbers {
    private let value: JSONValue

    init(_ value: JSONValue) { self.value = value }

    subscript(_ key: String) -> Int64 {
        guard case .object(let members) = value, case .integer(let number)? = members[key] else {
            return 0
        }
        return number
    }
}

/// How far the work is, on a terminal's standard error.
final class CareProgress: Sendable {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private let isShown = Mutex(false)

    func show(_ report: JSONValue) {
        guard isTerminal else { return }
        let numbers = CareNumbers(report)
        let changed = numbers["policies_changed"] + numbers["deleted"]
        isShown.withLock { $0 = true }
        Output.raw(
            "\r\u{1B}[K\(changed) runs changed, \(numbers["archives_done"]) of "
                + "\(numbers["archives"]) archives, \(numbers["bytes_before"]) bytes -> "
                + "\(numbers["bytes_after"]) ")
    }

    func finish() {
        let wasShown = isShown.withLock { isShown in
            defer { isShown = false }
            return isShown
        }
        if wasShown { Output.raw("\r\u{1B}[K") }
    }
}
