public import LoomModel
public import LoomRunner

/// The step program did not do its part: no failure of the step, which stays to be done.
public enum StepProgramError: StepHostError, Hashable, CustomStringConvertible {
    /// It could not be started as it was asked for.
    case notStarted(String)
    /// It could not be started because the system has too little of something just now.
    case noResources(String)
    /// It printed a line that is no message: how the line begins, and why.
    case garbage(String, String)
    /// It printed a line above so many bytes.
    case lineTooLong(Int)
    /// It speaks another version of the protocol.
    case version(Int64)
    /// It said nothing for so long after it was started.
    case silent(Duration)
    /// It sent a message out of turn.
    case outOfTurn(String)
    /// It had more tool calls open at once than it may.
    case tooManyCalls(Int)
    /// It closed its standard input or output, and did not end.
    case closedPipe(String)
    /// It is still there some seconds after SIGKILL: its process, once it had one.
    case notEnded(Int32?)
    /// Its loop was stopped while its step ran, or waited for a copy of it.
    case stopped
    /// It ended, in the words of its status.
    case ended(String)
    /// It ended before it said hello.
    case endedAtStart(String)

    /// A program that ended is started again; one that talks nonsense would do so again.
    public var isRestartable: Bool {
        switch self {
        case .ended, .endedAtStart: true
        default: false
        }
    }

    /// One line.
    public var description: String {
        switch self {
        case .notStarted(let reason), .noResources(let reason):
            "the step program could not be started: \(reason)"
        case .garbage(let line, let reason):
            "the step program printed \"\(line)\", which is no message: \(reason)"
        case .lineTooLong(let limit): "the step program printed a line above \(limit) bytes"
        case .version(let version):
            "the step program speaks version \(version) of the protocol, not \(1)"
        case .silent(let time): "the step program said nothing for \(time) after its start"
        case .tooManyCalls(let limit):
            "the step program has more than \(limit) tool calls open at once"
        case .closedPipe(let pipe): "the step program closed its standard \(pipe)"
        case .notEnded(let process):
            "the step program could not be ended: process \(process.map { "\($0)" } ?? "unknown")"
                + " is still there after SIGKILL"
        case .stopped: "the step program was ended: its loop was stopped"
        case .outOfTurn(let what): "protocol error: the step program sent \(what)"
        case .ended(let how): "the step program ended \(how)"
        case .endedAtStart(let how): "the step program ended \(how), before it said hello"
        }
    }

    /// What to do about it.
    public var hint: String {
        switch self {
        case .notStarted: "check the command after --, that it is on PATH, and --cwd"
        case .noResources:
            "run fewer programs at once, or raise ulimit -n or -u; then resume the run"
        case .tooManyCalls: "let calls end before the step begins others"
        case .closedPipe: "standard input and output are the protocol's until the program ends"
        case .notEnded: "see what it waits for, end it, then resume the run"
        case .stopped: "resume the run; its step is done again"
        case .outOfTurn:
            "a message bears the turn of its step, and a step ends its calls before its outcome"
        case .endedAtStart:
            "no step was begun; what it printed to standard error stands above"
        case .garbage:
            "standard output is for the protocol's messages only; print the rest to standard error"
        case .lineTooLong: "keep large data in files and their names in the state, or --line-max"
        case .version: "use the loomlog_step.py of this loomlog"
        case .silent: "it must answer hello first; give a slow one longer by --start-timeout"
        case .ended: "what it printed to standard error stands above; the run can be resumed"
        }
    }
}

/// An error that a step or a tool of the program ended with, as it described it.
public struct ProgramError: ClassifiedError, CustomStringConvertible {
    /// `TypeName: message`, in the program's words.
    public let description: String
    /// What kind of error it is.
    public let category: FailureCategory
    /// Whether trying again may help.
    public let isRetryable: Bool
    /// The least time to wait before trying again.
    public let retryAfter: Duration?
    /// As it came: the program has named the type.
    public var recordedMessage: String { description }
}
