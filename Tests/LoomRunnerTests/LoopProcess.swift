import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRuns
import Subprocess
import SystemPackage

/// A process of Tools/crash-loop.
final class LoopProcess {
    /// How it ended, and what it said.
    struct Ending {
        let pid: Int32
        /// Ended by SIGKILL, its own or that of the test.
        let isKilled: Bool
        let status: Int32
        let output: Data
        let errors: String

        /// The line that it prints.
        struct Standing: Decodable {
            var status: String
            var pause: String?
            var call: UInt64?
            var output: [String]?
            var microseconds: UInt64
        }
        var standing: Standing? { try? JSONDecoder().decode(Standing.self, from: output) }
    }

    private static let program = URL(filePath: CommandLine.arguments[0])
        .deletingLastPathComponent().appending(path: "crash-loop")

    /// Kept, so that it is there as long as the process.
    private let folder: LoopFolder
    private let said: String
    private let life: Task<TerminationStatus, any Error>
    let pid: Int32

    /// Starts one in a folder, where it leaves what it says.
    static func start(
        _ arguments: [String], in folder: LoopFolder
    ) async throws -> LoopProcess {
        let said = folder.path.appending("said-\(UUID().uuidString)").string
        let (started, continuation) = AsyncStream.makeStream(of: Int32.self)
        let life = Task { try await Self.live(arguments, said, continuation) }
        for await pid in started { return LoopProcess(folder, said, life, pid) }
        _ = try await life.value
        throw CancellationError()
    }

    private init(
        _ folder: LoopFolder, _ said: String, _ life: Task<TerminationStatus, any Error>,
        _ pid: Int32
    ) {
        self.folder = folder
        self.said = said
        self.life = life
        self.pid = pid
    }

    /// The life of a process, from its start to its end.
    private static func live(
        _ arguments: [String], _ said: String, _ started: AsyncStream<Int32>.Continuation
    ) async throws -> TerminationStatus {
        defer { started.finish() }
        // Files, not pipes: a pipe fills up and the process waits.
        let (output, errors) = (try file("\(said).out"), try file("\(said).err"))
        let result = try await run(
            .path(FilePath(program.path)), arguments: Arguments(arguments), input: .none,
            output: .fileDescriptor(output, closeAfterSpawningProcess: true),
            error: .fileDescriptor(errors, closeAfterSpawningProcess: true)
        ) { execution in
            started.yield(execution.processIdentifier.value)
            started.finish()
        }
        return result.terminationStatus
    }

    private static func file(_ path: String) throws -> FileDescriptor {
        try FileDescriptor.open(
            FilePath(path), .writeOnly, options: [.create], permissions: .ownerReadWrite)
    }

    /// Kills it, unless it has ended: until ``end()`` is called the number is nobody else's.
    func kill() { Foundation.kill(pid, SIGKILL) }

    func end() async throws -> Ending {
        var (isKilled, status) = (false, Int32(0))
        switch try await life.value {
        case .exited(let code): status = code
        case .signaled(let signal):
            status = signal
            isKilled = signal == SIGKILL
        }
        return Ending(
            pid: pid, isKilled: isKilled, status: status,
            output: try Data(contentsOf: URL(filePath: "\(said).out")),
            errors: try String(contentsOfFile: "\(said).err", encoding: .utf8))
    }
}

/// What a call of a step is told by: the tool's kind and the step.
struct CallName: Hashable, CustomStringConvertible {
    var kind: ToolSafety
    var step: Int
    var description: String { "\(kind.rawValue) \(step)" }
}

/// A folder on the real disk with the log of one run and the file of its effects; removed with it.
final class LoopFolder {
    let path: FilePath
    let run: RunID
    var log: FilePath { path.appending("runs.loom") }
    private var effects: String { path.appending("effects").string }

    init() throws {
        run = try RunID("demo")
        path = FilePath(FileManager.default.currentDirectoryPath)
            .appending(".build/loomlog-kill-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            atPath: path.string, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path.string) }

    func start(
        steps: Int, _ durability: Durability, _ policy: String, _ options: [String] = []
    ) async throws -> LoopProcess {
        let arguments = [
            log.string, run.rawValue, "\(steps)", effects, durability.rawValue, policy,
        ]
        return try await LoopProcess.start(arguments + options, in: self)
    }

    /// The run as the log has it; `nil` when the process died before it was there.
    func reader() throws -> RunReader? {
        do {
            let reader = try RunReader(path: log)
            _ = try reader.get(run)
            return reader
        } catch let error as LogError where error.code == .notFound {
            return nil
        } catch RunReadError.unknownRun {
            return nil
        }
    }

    /// What really happened.
    func world() throws -> LoopWorld {
        let text = (try? String(contentsOfFile: effects, encoding: .utf8)) ?? ""
        return try LoopWorld(text)
    }
}

/// What really happened outside the log, and what the steps were told.
struct LoopWorld {
    struct Unreadable: Error { var line: Substring }

    /// The keys under which each call was begun, one for each time that it was made.
    private(set) var begun: [CallName: [String]] = [:]
    /// Calls that came to their end.
    private(set) var done: Set<CallName> = []
    /// Calls whose response a step was given: their end was acknowledged by the log.
    private(set) var answered: Set<CallName> = []
    /// Calls that were made again after a step was given their response.
    private(set) var repeated: [CallName] = []

    init(_ text: String) throws {
        guard text.isEmpty || text.hasSuffix("\n") else { throw Unreadable(line: text.suffix(80)) }
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 3 else { throw Unreadable(line: line) }
            switch words[0] {
            case "done": done.insert(try Self.call(words[1], words[2], line))
            case "answered": answered.insert(try Self.call(words[1], words[2], line))
            default:
                let call = try Self.call(words[0], words[1], line)
                if answered.contains(call) { repeated.append(call) }
                begun[call, default: []].append(String(words[2]))
            }
        }
    }

    private static func call(
        _ kind: Substring, _ step: Substring, _ line: Substring
    ) throws -> CallName {
        let safety = ToolSafety.allCases.first { $0.rawValue == kind }
        guard let safety, let step = Int(step) else { throw Unreadable(line: line) }
        return CallName(kind: safety, step: step)
    }

    func count(_ call: CallName) -> Int { begun[call, default: []].count }
}

/// What the log says of a run whose process was killed.
struct LoopRemains {
    /// Calls whose end is in the log.
    private(set) var completed: Set<CallName> = []
    /// Whether the run was in the middle of a step, and of a call.
    let isInsideStep: Bool
    private(set) var isInsideCall = false
    let stepIndex: Int
    let eventCount: UInt64

    init(_ reader: RunReader, _ run: RunID) throws {
        let summary = try reader.get(run).summary
        isInsideStep = summary.openAttempt != nil
        stepIndex = Int(summary.stepIndex)
        eventCount = summary.nextPosition
        for row in try reader.toolCalls(run) {
            let step = Int(String(decoding: row.start.request, as: UTF8.self)) ?? -1
            let kind = ToolSafety.allCases.first { $0.rawValue == row.start.name }
            guard let kind else { continue }
            if row.status == .completed { completed.insert(CallName(kind: kind, step: step)) }
            if row.status == .started, row.start.attempt == summary.openAttempt {
                isInsideCall = true
            }
        }
    }
}
