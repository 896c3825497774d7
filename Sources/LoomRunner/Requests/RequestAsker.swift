public import LoomFormat
public import LoomLog
public import LoomModel
internal import LoomStorage

/// Asks whoever has a log to do something: another process, or this one when it can open the log.
///
/// A request is written first, durably. Then the asker opens the log if it can, which serves the
/// request; else it waits until the process that has the log has served it. Whatever is killed, a
/// change is made once or not at all, and an asker that was answered knows which.
///
/// ```swift
/// let asker = RequestAsker(try LogReader(path: "runs.loom")) {
///     try LogRunStore(path: "runs.loom")
/// }
/// let done = try await asker.ask(RunID("demo"), .cancel(reason: "no longer needed"))
/// ```
public struct RequestAsker: Sendable {
    /// The log.
    public let log: LogReader
    /// Who asks, in words for people. At most 512 bytes are told.
    public var by: String
    /// How long to wait for a request to be taken up while another process has the log; `nil`: for
    /// ever. 5 s.
    public var patience: Duration? = .seconds(5)
    /// Told once when another process has the log and is waited for: who it is.
    public var onWaiting: @Sendable (String) -> Void = { _ in }
    /// Told of what long work has come to.
    public var onProgress: @Sendable (JSONValue) -> Void = { _ in }

    let open: @Sendable () async throws -> LogRunStore

    /// Creates an asker.
    ///
    /// - Parameter open: Opens the log for writing; throws a `LogError` with code `locked` while
    ///   another process has it.
    public init(_ log: LogReader, open: @escaping @Sendable () async throws -> LogRunStore) {
        self.log = log
        self.open = open
        by = log.machine.processDescription
    }

    /// Asks for a change of a run, and waits until it is made.
    ///
    /// - Throws: ``RunnerError`` and `RequestRefusal`: the change was refused and not made.
    ///   ``RequestError``, `LogError`.
    public func ask(_ run: RunID, _ change: RunChange) async throws -> ChangedRun {
        let holder = try log.writer()
        let pending = try leave(run, change)
        let served = try await wait(for: pending.name, of: holder)
        if case .refused(let bytes) = served.stage { throw RefusalFields.read(bytes) }
        return try pending.read(log, servedBy: served.by)
    }

    /// Asks for a change of a run, and returns once the request is durable.
    public func post(_ run: RunID, _ change: RunChange) throws { _ = try leave(run, change) }

    /// Asks for work that is about no run, and waits until it is done.
    ///
    /// - Returns: What the work came to.
    public func ask(_ verb: String, _ arguments: JSONValue) async throws -> JSONValue {
        let holder = try log.writer()
        let name = try leave(request(verb, arguments, nil))
        let served = try await wait(for: name, of: holder)
        switch served.stage {
        case .refused(let bytes): throw RefusalFields.read(bytes)
        case .answered(let bytes):
            let fields = try CanonicalJSONDecoder().decode(AnswerFields.self, from: bytes)
            if let refusal = fields.refusal { throw refusal.refusal }
            return fields.value ?? .null
        default: throw RequestError.lost
        }
    }

    /// Asks for work that is about no run, and returns once the request is durable.
    public func post(_ verb: String, _ arguments: JSONValue) throws {
        _ = try leave(request(verb, arguments, nil))
    }
}

/// Why an asker has no answer.
public enum RequestError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nobody took the request up in time; it was taken back, and nothing was done. With who has
    /// the log.
    case notTaken(by: String)
    /// The asker was cancelled and took the request back: nothing was done.
    case withdrawn
    /// The asker was cancelled after the request was taken up: it will be carried out.
    case leftTaken
    /// The request is gone without an answer: it was removed by somebody, and not carried out.
    case lost

    /// One line.
    public var description: String {
        switch self {
        case .notTaken(let holder):
            "the log is open for writing by \(holder), which takes no such requests"
        case .withdrawn: "stopped waiting; the request was taken back, and nothing was done"
        case .leftTaken: "stopped waiting; the request was taken up and will be carried out"
        case .lost: "the request was removed by somebody, and not carried out"
        }
    }

    /// What to do about it.
    public var hint: String {
        switch self {
        case .notTaken: "wait for it to finish, or pass --wait"
        case .withdrawn, .lost: "ask again if it is still wanted"
        case .leftTaken: "get shows where the run stands"
        }
    }
}

/// A run after a change that was asked for.
public struct ChangedRun: Sendable {
    /// The run.
    public let run: RunID
    /// Who made the change, in the words of the log's lock; `nil`: this process.
    public let by: String?
    /// Of a call that was resolved: what was known of it before.
    public let resolved: ResolvedCall?
}
