public import LoomFormat
public import LoomModel

/// Why a runner did not drive a run. The run itself is as it was, and stays as resumable as it was.
public enum RunnerError: Error, Sendable {
    /// There is no run of this name.
    case unknownRun(RunID)
    /// There is one already.
    case runExists(RunID)
    /// There is one already, and it began with another state.
    case otherInput(RunID)
    /// The run did not fail, so it cannot be retried.
    case notFailed(RunID, RunStatus)
    /// The run is over, in this status.
    case runIsOver(RunID, RunStatus)
    /// Only a run that is over is deleted.
    case notOver(RunID, RunStatus)
    /// The run belongs to another loop.
    case loopMismatch(stored: String, expected: String)
    /// The run's states are of another version, and the loop does not migrate.
    case stateVersion(stored: UInt64, expected: UInt64)
    /// The run's states are in another codec.
    case codecMismatch(stored: String, expected: String)
    /// Another holder has the run.
    case held(RunID, by: String)
    /// Another holder took the run over while this one drove it.
    case fenced(RunID)
    /// The store failed: what was acknowledged is there, and the run can be resumed.
    case storage(String)
    /// The store itself is damaged, by its own words.
    case damaged(String)
    /// A newer version of loomlog wrote the store, by the store's own words.
    case unsupported(String)
    /// The stored events cannot be what a runner wrote.
    case corrupt(RunID, String)
    /// A step used a tool key that is in use with another request.
    case keyMismatch(key: String, tool: String)
    /// A budget of steps below zero.
    case negativeBudget(Int)
    /// A call of a `.once` tool may have happened: somebody has to say whether it did.
    case unknownOutcome(tool: String, call: UInt64)
    /// The stored state of this version is not of the type that the program has for it.
    case stateShape(version: UInt64, String)
    /// A tool call was made, or came to its end, when its step was over.
    case stepIsOver(RunID, step: UInt64)
    /// The run has no call that began at this position and can be resolved: none at all, or one of
    /// a step that is over.
    case noSuchCall(RunID, UInt64)
    /// The tool itself ended this call, so that only a correction says otherwise.
    case endedByTool(ResolvedCall)
    /// The call has ended and its key holds in the whole store, where others were answered with it.
    case sharedCallIsOver(RunID, UInt64)
    /// A step went on after its timeout and its cancellation. The run is left as interrupted; in
    /// this process nobody gets it until the step ends.
    case stillRunning(RunID, step: UInt64)
    /// A call of the run goes on in a task that has outlived its step. In this process nobody gets
    /// the run until the call ends.
    case callStillRuns(RunID, tool: String, call: UInt64)
    /// The run has an event that this version cannot read: of a kind, or with a value, that it does
    /// not know.
    case newerVersion(RunID, at: UInt64)
    /// A checkpoint policy that keeps every 0th state.
    case invalidPolicy
    /// The name is one of those that the runner keeps for itself.
    case reservedName(RunID)
    /// Something is too large to be recorded, in bytes: nothing of it was.
    case tooLarge(String, byteCount: Int, limit: Int)
    /// A run would have more labels than it may.
    case tooManyLabels(Int, limit: Int)
}

extension RunnerError: CustomStringConvertible {
    /// One line.
    public var description: String {
        switch self {
        case .unknownRun(let run): "there is no run \(run)"
        case .runExists(let run): "run \(run) exists already"
        case .otherInput(let run): "run \(run) exists already and began with another state"
        case .notFailed(let run, let status):
            "run \(run) is \(status.rawValue); only a failed run is retried"
        case .notOver(let run, let status):
            "run \(run) is \(status.rawValue); only a run that is over is deleted"
        case .runIsOver(let run, let status): "run \(run) is \(status.rawValue)"
        case .loopMismatch(let stored, let expected):
            "the run belongs to the loop \(stored), not to \(expected)"
        case .stateVersion(let stored, let expected):
            "the run's state has version \(stored), the program's \(expected)"
        case .codecMismatch(let stored, let expected):
            "the run's state is stored as \(stored), the program's as \(expected)"
        case .held(let run, let holder): "run \(run) is held by \(holder)"
        case .fenced(let run): "another holder took run \(run) over"
        case .storage(let reason), .damaged(let reason), .unsupported(let reason): reason
        case .corrupt(let run, let reason): "run \(run) is damaged: \(reason)"
        case .keyMismatch(let key, let tool):
            "the key \(key) of tool \(tool) is in use with another request"
        case .negativeBudget(let budget): "a budget of \(budget) steps"
        case .unknownOutcome(let tool, let call):
            "nobody knows whether call \(call) of \(tool) happened"
        case .stateShape(let version, let reason):
            "the run's state, of version \(version), does not fit the program's: \(reason)"
        case .stepIsOver(let run, let step):
            "step \(step) of run \(run) is over: a tool call or a label came too late"
        case .noSuchCall(let run, let call):
            "run \(run) has no call \(call) that can be resolved"
        case .endedByTool(let resolved): "\(resolved)"
        case .sharedCallIsOver(let run, let call):
            "call \(call) of run \(run) has ended, and other runs may have its result by its key"
        case .stillRunning(let run, let step):
            "step \(step) of run \(run) goes on after its timeout; the run is left as interrupted"
        case .callStillRuns(let run, let tool, let call):
            "call \(call) of \(tool) in run \(run) still runs in this process"
        case .newerVersion(let run, let position):
            "event \(position) of run \(run) is of a newer version"
        case .invalidPolicy: "a checkpoint interval of 0"
        case .reservedName(let run): "the name \(run) is kept for shared tool keys"
        case .tooLarge(let what, let byteCount, let limit):
            "the \(what) has \(byteCount) bytes, above the limit of \(limit)"
        case .tooManyLabels(let count, let limit):
            "the run would have \(count) labels, above the limit of \(limit)"
        }
    }

    /// What to do about it.
    public var hint: String {
        switch self {
        case .unknownRun: "loomlog list shows the runs of the log"
        case .runExists: "use resume to go on with it, or another --run-id"
        case .otherInput: "use another --run-id, or resume to go on with the one that is there"
        case .notFailed(_, let status) where status.isResumable: "resume goes on with it"
        case .noSuchCall:
            "loomlog tool-calls RUN shows the calls: those that are started are open, and what was "
                + "said of others of the present step can be said anew"
        case .endedByTool:
            "check the number of the call: loomlog explain RUN shows the one that is open; "
                + "--correct overrules what the tool said"
        case .sharedCallIsOver:
            "resume goes on with what is known of it: a call with a key of the whole store is "
                + "resolved once, while it is open"
        case .stillRunning: "end this process and resume the run in another one"
        case .callStillRuns:
            "wait until the call has ended; a step should wait for its calls before it returns"
        case .unsupported: "use the version of loomlog that wrote it, or a newer one"
        case .newerVersion: "resume it with the version of loomlog that wrote it, or a newer one"
        case .keyMismatch: "a key stands for one request: give another request another key"
        case .loopMismatch: "resume it with the program that started it"
        case .notFailed(let run, _): "loomlog explain \(run) shows what it came to"
        case .notOver(_, .failed): "retry could open it: say that a failed run may be deleted, too"
        case .notOver: "cancel gives a run up"
        case .runIsOver(_, .failed): "retry opens a failed run from its last committed state"
        case .stateVersion: "give the loop a migrate function; the run stays resumable"
        case .held: "wait for the other one to finish, or pass --wait"
        case .unknownOutcome:
            "say what happened: loomlog resolve RUN CALL --result JSON or --did-not-happen"
        case .runIsOver(let run, _):
            "loomlog explain \(run) shows what it came to; a new run needs another --run-id"
        case .stateShape: "raise the loop's stateVersion and give it a migrate function"
        case .stepIsOver: "wait for every call before the step returns"
        case .codecMismatch: "resume it with the codec that the run was started with"
        case .fenced(let run): "loomlog get \(run) shows where it stands; resume it when it is free"
        case .storage:
            "check that the log is where it was, its disk and its permissions; then resume the run"
        case .damaged, .corrupt:
            "loomlog verify and dump show what can be read; nothing was changed"
        case .negativeBudget: "0 or more steps; without a budget it runs until it is done"
        case .invalidPolicy: "keep every state or every Nth: interval:1 or more"
        case .reservedName: "use another --run-id"
        case .tooLarge: "keep large data elsewhere, and record where it is"
        case .tooManyLabels: "take labels away that nobody filters by: --label NAME="
        }
    }
}

extension RunnerError {
    /// Whether a size was refused: of a step's own doing, so that it fails the step.
    var isOversize: Bool {
        switch self {
        case .tooLarge, .tooManyLabels: true
        default: false
        }
    }

    init(_ error: RunStoreError) {
        switch error {
        case .held(let run, let holder): self = .held(run, by: holder)
        case .unavailable(let reason): self = .storage(reason)
        case .corrupt(let reason): self = .damaged(reason)
        case .unsupported(let reason): self = .unsupported(reason)
        }
    }
}
