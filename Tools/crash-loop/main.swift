// Drives a run whose steps act on the world outside the log, until it is over or somebody kills it:
// starts the run, or goes on with it when it exists. Each step calls a tool of each kind. What a
// call really did stands in the file EFFECTS, whatever the log says: `kind step key` as it begins,
// `done kind step` as it ends, `answered kind step` once the step has the response, which the log
// then holds. Prints where the run stands as one line of JSON. Exit 0: completed or paused; 75:
// another process has the log.
// Use: crash-loop LOG RUN STEPS EFFECTS off|normal|full full|interval:N|compact
//   --no-reconcile      the `.once` tool cannot find out whether a call happened
//   --kill-before STEP  ends itself by SIGKILL in the `.once` call of the step, before its effect
//   --kill-inside STEP  the same, after its effect
//   --kill-after MICROSECONDS  the same, on a thread of its own, so long after its start
//   --work MICROSECONDS how long a call takes, 300
//   --wait-for FILE     begins when the file is there; until then FILE.PID says that it waits

import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import SystemPackage

/// What the command line asks for.
struct Arguments: Sendable {
    var log: FilePath
    var run: RunID
    var steps: Int
    var effects: Effects
    var durability: Durability
    var policy: CheckpointPolicy
    var reconciles = true
    var killBefore: Int?
    var killInside: Int?
    var killAfter: UInt32?
    var work = 300
    var waitFor: String?

    /// `nil`: they are not to be understood.
    init?(_ words: [String]) {
        guard words.count >= 6, let run = try? RunID(words[1]), let steps = Int(words[2]),
            let durability = Durability(rawValue: words[4]),
            let policy = Self.policy(words[5])
        else { return nil }
        log = FilePath(words[0])
        self.run = run
        self.steps = steps
        effects = Effects(path: FilePath(words[3]))
        self.durability = durability
        self.policy = policy
        var rest = words[6...]
        while let option = rest.popFirst() {
            if option == "--no-reconcile" {
                reconciles = false
                continue
            }
            guard let value = rest.popFirst() else { return nil }
            switch option {
            case "--kill-before": killBefore = Int(value)
            case "--kill-inside": killInside = Int(value)
            case "--kill-after": killAfter = UInt32(value)
            case "--work": work = Int(value) ?? work
            case "--wait-for": waitFor = value
            default: return nil
            }
        }
    }

    private static func policy(_ text: String) -> CheckpointPolicy? {
        if text == "full" { return .full }
        if text == "compact" { return .compact }
        guard text.hasPrefix("interval:") else { return nil }
        return UInt64(text.dropFirst("interval:".count)).map { .interval($0) }
    }
}

/// The world outside the log: a file that only grows.
struct Effects: Sendable {
    let path: FilePath

    /// One write call on a descriptor that appends: a line is there whole or not at all.
    func append(_ line: String) throws {
        let file = try FileDescriptor.open(
            path, .writeOnly, options: [.append, .create], permissions: .ownerReadWrite)
        _ = try file.closeAfter { try file.writeAll(Array("\(line)\n".utf8)) }
    }

    func contains(_ line: String) -> Bool {
        let text = (try? String(contentsOfFile: path.string, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").contains { $0 == line }
    }
}

/// Each step calls a tool of each kind; the state gathers what they returned.
struct CrashLoop: StepLoop {
    struct State: Codable, Sendable {
        var step = 0
        var answers: [String] = []
    }
    let name = "crash-loop"
    let arguments: Arguments

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, [String]> {
        if state.step == arguments.steps { return .complete(state.answers) }
        var next = state
        for kind in ToolSafety.allCases {
            next.answers.append(try await context.call(tool(kind), state.step))
            try arguments.effects.append("answered \(kind.rawValue) \(state.step)")
        }
        next.step += 1
        return .continue(next)
    }

    private func tool(_ kind: ToolSafety) -> Tool<Int, String> {
        let effects = arguments.effects
        guard kind == .once, arguments.reconciles else {
            return Tool(kind.rawValue, safety: kind) { try await act(kind, $0, $1) }
        }
        return Tool(
            kind.rawValue, safety: kind,
            reconcile: { step, call in
                let begun = begin(kind, step, call)
                return effects.contains(begun)
                    ? .happened(response(kind, step, call)) : .didNotHappen
            }
        ) { try await act(kind, $0, $1) }
    }

    private func act(_ kind: ToolSafety, _ step: Int, _ call: ToolCall) async throws -> String {
        if kind == .once, step == arguments.killBefore { kill(getpid(), SIGKILL) }
        try arguments.effects.append(begin(kind, step, call))
        if kind == .once, step == arguments.killInside { kill(getpid(), SIGKILL) }
        try await Task.sleep(for: .microseconds(arguments.work))
        try arguments.effects.append("done \(kind.rawValue) \(step)")
        return response(kind, step, call)
    }

    private func begin(_ kind: ToolSafety, _ step: Int, _ call: ToolCall) -> String {
        "\(kind.rawValue) \(step) \(call.idempotencyKey)"
    }

    /// Depends on the key: a call that is made again under another one is found in the result. That
    /// of the pure tool is long, so that kills fall into rolls as well.
    private func response(_ kind: ToolSafety, _ step: Int, _ call: ToolCall) -> String {
        let text = begin(kind, step, call)
        guard kind == .pure else { return text }
        var number = UInt64(step) &+ 1
        return (0..<128).reduce(into: text) { text, _ in
            number = number &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            text += " \(number)"
        }
    }
}

/// Where the run stands, as it is printed.
struct Standing: Encodable {
    var status: String
    var step: UInt64
    var pause: String?
    /// The call that a pause with an unknown outcome is about.
    var call: UInt64?
    var failure: String?
    var output: [String]?
    /// How long it took.
    var microseconds: UInt64

    init(_ result: RunResult<CrashLoop>, _ time: Duration) {
        microseconds = UInt64(time / .microseconds(1))
        status = result.status.rawValue
        step = result.stepIndex
        if let reason = result.pauseReason { pause = "\(reason)" }
        if case .unknownOutcome(let position, _)? = result.pauseReason { call = position }
        failure = result.failure?.message
        output = result.output
    }
}

/// Opens the log, drives the run as far as it goes, closes the log.
func drive(_ arguments: Arguments) async throws -> RunResult<CrashLoop> {
    var logOptions = LogOptions(durability: arguments.durability)
    // Small segments, short delays: so that kills fall into rolls, syncs and marks as well.
    logOptions.firstSegmentBytes = 64 << 10
    logOptions.segmentBytesMax = 256 << 10
    logOptions.syncDelayNanoseconds = 3_000_000
    logOptions.idleMarkNanoseconds = 1_000_000
    let store = try LogRunStore(path: arguments.log, options: logOptions)
    var options = RunnerOptions()
    options.policy = arguments.policy
    let runner = Runner(CrashLoop(arguments: arguments), store: store, options: options)
    let result = try await runner.start(arguments.run, state: .init(), ifExists: .attach)
    try store.close()
    return result
}

func isHeld(_ error: any Error) -> Bool {
    if let error = error as? LogError { return error.code == .locked }
    if case .held? = error as? RunnerError { return true }
    return false
}

guard let arguments = Arguments(Array(CommandLine.arguments.dropFirst())) else {
    FileHandle.standardError.write(
        Data("usage: crash-loop LOG RUN STEPS EFFECTS DURABILITY POLICY [OPTION]\n".utf8))
    exit(64)
}
let start = ContinuousClock.now
if let killAfter = arguments.killAfter {
    Thread.detachNewThread {
        usleep(killAfter)
        kill(getpid(), SIGKILL)
    }
}
if let file = arguments.waitFor {
    _ = FileManager.default.createFile(atPath: "\(file).\(getpid())", contents: nil)
    while !FileManager.default.fileExists(atPath: file) { usleep(200) }
}
do {
    let result = try await drive(arguments)
    let line =
        try CanonicalJSONEncoder().encode(Standing(result, ContinuousClock.now - start))
        + Array("\n".utf8)
    FileHandle.standardOutput.write(Data(line))
    exit(result.status == .completed || result.status == .paused ? 0 : 1)
} catch {
    FileHandle.standardError.write(Data("error: \(error)\n".utf8))
    exit(isHeld(error) ? 75 : 74)
}
