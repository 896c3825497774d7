internal import ArgumentParser
internal import LoomLog
internal import LoomModel
internal import LoomRunner
internal import LoomRuns
internal import LoomStdio

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
struct CommandFailure: Error {
    let message: String
    let hint: String
    let status: ExitStatus

    init(_ error: any Error) {
        switch error {
        case let error as CommandFailure: self = error
        case let error as LogError: self.init(error)
        case let error as RunnerError: self.init(error)
        case let error as RunReadError: self.init(error)
        case let error as RequestRefusal: self.init(error)
        case let error as RequestError: self.init(error)
        case let error as RunImportError: self.init(error)
        case let error as RunLineError:
            self.init(
                message: error.description, hint: "nothing of its run was imported",
                status: .damaged)
        case let error as StepProgramError: self.init(error)
        case let error as UnreadChange:
            let cause = CommandFailure(error.cause)
            self.init(
                message: "\(error.change.what), and cannot be read back: \(cause.message)",
                hint: error.change.look, status: cause.status)
        case let error as UsageError:
            self.init(message: error.description, hint: error.hint, status: .usage)
        case let error as ValidationError:
            self.init(message: error.message, hint: "--help says more", status: .usage)
        default:
            self.init(
                message: GuardedText.words(error),
                hint: "the system said so; what was acknowledged stays in the log",
                status: .io)
        }
    }

    init(message: String, hint: String, status: ExitStatus) {
        self.message = message
        self.hint = hint
        self.status = status
    }

    private init(_ error: StepProgramError) {
        message = error.description
        hint = error.hint
        switch error {
        case .garbage, .lineTooLong, .version, .outOfTurn, .tooManyCalls, .closedPipe:
            status = .damaged
        case .notStarted: status = .usage
        case .noResources, .silent, .notEnded, .stopped, .ended, .endedAtStart:
            status = .io
        }
    }

    /// Writes it to standard error, under the word for what it is.
    func tell(_ kind: String = "error") {
        Output.note("\(kind): \(message.split(separator: "\n").joined(separator: " "))")
        Output.note("hint: \(hint)")
    }

    private init(_ error: LogError) {
        message = error.description
        hint = error.hint
        switch error.code {
        case .corrupt, .copiedWhileLive, .unsupportedVersion: status = .damaged
        case .notFound, .notALog: status = .notFound
        case .locked, .inboxFull: status = .held
        case .limitExceeded: status = .usage
        default: status = .io
        }
    }

    private init(_ error: RunnerError) {
        message = error.description
        hint = error.hint
        switch error {
        case .unknownRun, .noSuchCall: status = .notFound
        case .runExists, .otherInput, .runIsOver, .notFailed, .notOver: status = .runExists
        case .negativeBudget, .keyMismatch, .reservedName, .invalidPolicy, .loopMismatch,
            .codecMismatch, .endedByTool, .sharedCallIsOver, .tooLarge, .tooManyLabels:
            status = .usage
        case .held, .fenced, .stillRunning, .callStillRuns: status = .held
        case .storage: status = .io
        default: status = .damaged
        }
    }

    private init(_ refusal: RequestRefusal) {
        message = refusal.reason
        hint = refusal.hint ?? "loomlog explain RUN shows where the run stands"
        status =
            switch refusal.kind {
            case .wrongState: .runExists
            case .notFound: .notFound
            case .wrongUse: .usage
            case .busy: .held
            case .failed: .io
            case .damaged: .damaged
            }
    }

    private init(_ error: RequestError) {
        message = error.description
        hint = error.hint
        status = .held
    }

    private init(_ error: RunImportError) {
        message = error.description
        switch error {
        case .runExists:
            (status, hint) = (.runExists, "import it as another run, with --as, or elsewhere")
        case .severalRuns: (status, hint) = (.usage, "--as names the run of a file with one")
        case .scattered, .invalid:
            (status, hint) = (.damaged, "nothing of this run was imported")
        }
    }

    private init(_ error: RunReadError) {
        message = error.description
        hint = error.hint
        switch error {
        case .unknownRun, .notReached, .notKept: status = .notFound
        case .negative: status = .usage
        case .corrupt, .newerVersion: status = .damaged
        }
    }
}

/// A use of the command that cannot be carried out, found after its words were parsed.
struct UsageError: Error, CustomStringConvertible {
    let description: String
    let hint: String

    init(_ description: String, hint: String) {
        self.description = description
        self.hint = hint
    }
}

/// Runs the body of a command; an error is told in the house's way and ends the process.
public func reporting(_ body: () async throws -> Void) async throws {
    do {
        try await body()
    } catch let error as ExitCode {
        throw error
    } catch {
        let failure = CommandFailure(error)
        failure.tell()
        throw ExitCode(failure.status.rawValue)
    }
}
