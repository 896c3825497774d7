public import ArgumentParser
internal import Foundation
internal import Logging
internal import LoomFormat
public import LoomLog
internal import LoomModel
internal import LoomRunner
internal import LoomRuns
internal import SystemPackage

/// What `run` and `resume` share.
struct DriveArguments: ParsableArguments {
    @OptionGroup var log: LogArguments
    @OptionGroup var run: RunArguments
    @OptionGroup var output: OutputArguments

    @Option(
        parsing: .unconditional,
        help: "Steps after which the run is paused (default: until it is done).")
    var maxSteps: Int?
    @Option(help: "What an acknowledged step survives: off, normal or full.")
    var durability = Durability.normal
    @Flag(help: "Wait while another process has the log, instead of giving up.")
    var wait = false
    @Option(
        parsing: .unconditional,
        help: "Seconds that one attempt at a step may take (default: any).")
    var timeout: Double?
    @Option(
        parsing: .unconditional, help: "Failures of one step after which the run fails.")
    var maxAttempts = 3
    @Flag(help: "Drive a run on that its backup paused, although it may have gone on elsewhere.")
    var afterRestore = false
    @Flag(help: "Print what the steps log to standard error, from level info on.")
    var verbose = false

    func validate() throws {
        if let maxSteps, maxSteps < 0 { throw ValidationError("--max-steps is below zero") }
        if let timeout { try SecondsOption.check(timeout, "--timeout", mayBeZero: false) }
        if maxAttempts < 1 { throw ValidationError("--max-attempts must be 1 or more") }
    }

    /// Refuses a run that a restored log paused, unless the user has said to go on.
    func checkRestored(_ store: LogRunStore) throws {
        guard !afterRestore, store.log.copyTime != nil, let run = try? run.run(),
            let view = try? RunReader(log: store.reader).get(run),
            case .restored(let time)? = view.summary.pauseReason
        else { return }
        throw CommandFailure(
            message: "run \(run) was driven when the backup of \(time.iso8601) was made that "
                + "this log was restored from: what it did after that is not known here",
            hint: "look at what its tools did since, then pass --after-restore", status: .held)
    }

    /// The runner's options.
    var options: RunnerOptions {
        var options = RunnerOptions()
        options.retry.attemptsMax = UInt64(maxAttempts)
        options.attemptTimeout = timeout.map { .seconds($0) }
        options.logger = Logger(label: "loomlog", factory: PrintableLogHandler.init)
        options.logger.logLevel = verbose ? .info : .warning
        return options
    }

    /// The same for step programs, which are timed by who can kill them.
    var programOptions: RunnerOptions {
        var options = options
        options.attemptTimeout = nil
        return options
    }
}

extension LogArguments {
    /// Opens the log for writing, and closes it when `body` is done, however it ends.
    func writing<Result>(
        creates: Bool, waits: Bool, durability: Durability = .normal,
        _ body: (LogRunStore) async throws -> Result
    ) async throws -> Result {
        var options = LogOptions(durability: durability)
        options.createsIfMissing = creates
        // A day: longer than anybody looks at a terminal.
        if waits { options.lockWaitNanoseconds = 24 * 3_600_000_000_000 }
        let store = try LogRunStore(path: directory, options: options)
        if let warning = store.log.recovery.warning {
            Output.note("warning: \(directory): \(warning)")
        }
        if let warning = store.restoringWarning {
            Output.note("warning: \(directory): \(warning)")
        }
        let result: Result
        do {
            result = try await body(store)
        } catch {
            try? store.close()
            throw error
        }
        try store.close()
        return result
    }
}

extension LogRunStore {
    /// What the first opening of a restored log has done.
    fileprivate var restoringWarning: String? {
        guard let time = log.copyTime, !restoredRuns.isEmpty else { return nil }
        let count = restoredRuns.count
        return "restored from the backup of \(EventTime(microseconds: time).iso8601): "
            + "\(Output.count(count, "run")), driven when it was made, paused"
    }
}

/// What a new run begins with.
struct StartArguments: ParsableArguments {
    @Option(help: "The first state, as JSON or as @FILE.") var input: String?
    @Option(
        help: "What lists keep: full, interval:N (every Nth state) or compact (no plain attempts).")
    var policy = PolicyArgument(policy: .full)
    @Option(
        name: .customLong("label"), help: "A label, as NAME=VALUE; may be given several times.")
    var labels: [LabelArgument] = []
    @Option(
        parsing: .unconditional,
        help: "Bytes above which lists show a value by length and hash (default: all is shown).")
    var payloadLimit: Int?
    @Option(
        help: "When the run exists: fail, attach (go on with it), attach-same-input.")
    var ifExists = IfExistsArgument.fail

    func validate() throws {
        if let payloadLimit, payloadLimit < 1 {
            throw ValidationError("--payload-limit must be 1 or more")
        }
    }

    func options(_ options: RunnerOptions) -> RunnerOptions {
        var options = options
        options.policy = policy.policy
        options.labels = labels.map(\.label)
        options.payloads = PayloadPolicy(shownBytesMax: payloadLimit.map { UInt64($0) })
        return options
    }

    /// The input as JSON, when there is one.
    func json() throws -> JSONValue? {
        guard let input else { return nil }
        var bytes = Array(input.utf8)
        if input.hasBytePrefix("@") {
            let path = String(Substring(input.utf8.dropFirst()))
            do {
                // A pipe as well: @/dev/stdin.
                bytes = try InputFile.read(path)
            } catch {
                throw UsageError(
                    "--input: \(path): \(ErrorText.words(error))",
                    hint: "check the file's name, or give JSON")
            }
        }
        do throws(JSONError) {
            return try JSONValue(parsing: bytes)
        } catch {
            throw UsageError(
                "--input is no JSON: \(error)",
                hint: "give JSON in quotes, as --input '{\"target\":10}', or a file as @FILE")
        }
    }

    /// The first state of a type, from the input or else from the program.
    func state<State: Decodable>(
        _ type: State.Type, _ program: () throws -> State
    ) throws -> State {
        guard let json = try json() else { return try program() }
        do {
            return try CanonicalJSONDecoder().decode(State.self, from: json.canonicalBytes)
        } catch {
            throw UsageError(
                "--input does not fit the state: \(DecodingWords.words(error))",
                hint: "the state is a \(State.self)")
        }
    }
}

/// A file or a pipe that an option names.
private enum InputFile {
    static let bytesMax = 64 << 20

    struct TooLarge: Error, CustomStringConvertible {
        var description: String { "it has more than \(bytesMax) bytes" }
    }

    static func read(_ path: String) throws -> [UInt8] {
        let descriptor = try FileDescriptor.open(FilePath(path), .readOnly)
        let file = FileHandle(fileDescriptor: descriptor.rawValue, closeOnDealloc: true)
        var bytes: [UInt8] = []
        while let part = try file.read(upToCount: 1 << 16), !part.isEmpty {
            bytes += part
            guard bytes.count <= bytesMax else { throw TooLarge() }
        }
        return bytes
    }
}

extension Durability: ExpressibleByArgument {}

/// A checkpoint policy as an argument.
struct PolicyArgument: ExpressibleByArgument {
    let policy: CheckpointPolicy

    init(policy: CheckpointPolicy) { self.policy = policy }

    init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
        switch (parts[0], parts.count) {
        case ("full", 1): policy = .full
        case ("compact", 1): policy = .compact
        case ("interval", 2):
            guard let every = UInt64(parts[1]), every > 0 else { return nil }
            policy = .interval(every)
        default: return nil
        }
    }

    var defaultValueDescription: String { policy.words }
    static let allValueStrings = ["full", "interval:N", "compact"]
}

/// A label as an argument.
struct LabelArgument: ExpressibleByArgument {
    let label: Label

    init?(argument: String) {
        // By bytes: with an accent behind it, the sign is another character to Swift.
        let bytes = argument.utf8
        guard let equals = bytes.firstIndex(of: 0x3D), equals > bytes.startIndex else {
            return nil
        }
        label = Label(
            name: String(argument[..<equals]),
            value: String(argument[bytes.index(after: equals)...]))
    }
}

/// What to do with a run that exists, as an argument.
enum IfExistsArgument: String, ExpressibleByArgument, CaseIterable {
    case fail
    case attach
    case attachSameInput = "attach-same-input"

    var policy: ExistingRun {
        switch self {
        case .fail: .fail
        case .attach: .attach
        case .attachSameInput: .attachIfSameInput
        }
    }
}

extension CheckpointPolicy {
    /// As it is given on the command line.
    var words: String {
        switch self {
        case .full: "full"
        case .interval(let every): "interval:\(every)"
        case .compact: "compact"
        }
    }
}
