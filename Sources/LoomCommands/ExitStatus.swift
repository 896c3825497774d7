internal import ArgumentParser
internal import Foundation
internal import LoomLog
internal import LoomRunner
internal import LoomRuns

/// The exit statuses, by sysexits where it has one.
enum ExitStatus: Int32 {
    case runFailed = 1
    case usage = 64
    case damaged = 65
    case notFound = 66
    case runExists = 73
    case io = 74
    case held = 75
}

/// An error as the command tells it: one line, a hint, a status.
struct CommandFailure {
    let message: String
    var hint: String?
    let status: ExitStatus

    init(_ error: any Error) {
        switch error {
        case let error as LogError: self.init(error)
        case let error as RunnerError: self.init(error)
        case let error as RunReadError: self.init(error)
        default: self.init(message: "\(error)", status: .io)
        }
    }

    private init(message: String, status: ExitStatus) {
        self.message = message
        self.status = status
    }

    private init(_ error: LogError) {
        message = error.description
        hint = error.hint
        switch error.code {
        case .corrupt, .unsupportedVersion: status = .damaged
        case .notFound, .notALog: status = .notFound
        case .locked: status = .held
        case .limitExceeded: status = .usage
        default: status = .io
        }
    }

    private init(_ error: RunnerError) {
        message = error.description
        hint = error.hint
        switch error {
        case .unknownRun: status = .notFound
        case .runExists, .otherInput, .runIsOver, .notFailed: status = .runExists
        case .negativeBudget, .keyMismatch, .noSuchCall, .reservedName: status = .usage
        case .held, .fenced, .stillRunning: status = .held
        case .storage: status = .io
        default: status = .damaged
        }
    }

    private init(_ error: RunReadError) {
        message = error.description
        hint = error.hint
        switch error {
        case .unknownRun, .notReached, .notKept: status = .notFound
        case .negative: status = .usage
        case .corrupt: status = .damaged
        }
    }
}

/// Runs the body of a command; an error is told in the house's way and ends the process.
public func reporting(_ body: () async throws -> Void) async throws {
    do {
        try await body()
    } catch let error where error is LogError || error is RunnerError || error is RunReadError {
        let failure = CommandFailure(error)
        var text = "error: \(failure.message)\n"
        if let hint = failure.hint { text += "hint: \(hint)\n" }
        FileHandle.standardError.write(Data(text.utf8))
        throw ExitCode(failure.status.rawValue)
    }
}
