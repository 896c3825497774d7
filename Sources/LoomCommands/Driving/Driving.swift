internal import ArgumentParser
internal import Foundation
internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRunner
internal import LoomRuns
internal import Synchronization

/// Drives one run for a command: opens the log, listens for Ctrl-C, shows progress, prints where
/// the run stands, and ends with the right status.
struct Driving {
    private let arguments: DriveArguments
    private let createsLog: Bool

    init(_ arguments: DriveArguments, createsLog: Bool) {
        self.arguments = arguments
        self.createsLog = createsLog
    }

    func drive<Loop: StepLoop>(
        _ body: @escaping (LogRunStore) async throws -> RunResult<Loop>
    ) async throws {
        let stop = StopSignals()
        let result = try await arguments.log.writing(
            creates: createsLog, waits: arguments.wait, durability: arguments.durability
        ) { store in
            defer { Progress.shared.finish() }
            return try await stop.cancelling { try await body(store) }
        }
        let view = try arguments.log.reader().get(result.run)
        arguments.output.print(view.json, Self.lines(view, arguments.log))
        if let status = stop.status, result.pauseReason == .interrupted {
            throw ExitCode(status)
        }
        if result.status == .failed { throw ExitCode(ExitStatus.runFailed.rawValue) }
    }

    /// What people read: where the run stands, and what to do next.
    private static func lines(_ view: RunView, _ log: LogArguments) -> [String] {
        var lines = view.lines
        let place = log.path.map { " --log \($0)" } ?? ""
        switch view.summary.status {
        case .paused:
            if case .unknownOutcome(let call)? = view.summary.pauseReason {
                lines.append(
                    "next     loomlog resolve \(view.run) \(call)\(place) "
                        + "--result JSON or --did-not-happen")
            } else {
                lines.append("next     resume \(view.run)\(place)")
            }
        case .failed: lines.append("next     retry \(view.run)\(place), then resume it")
        default: lines.append("next     explain \(view.run)\(place)")
        }
        return lines
    }
}

/// Ctrl-C and SIGTERM while a run is driven: the first one stops it between two steps, or cuts the
/// step if it listens; the second one ends the process at once, as a crash would.
final class StopSignals: Sendable {
    private let received = Mutex<Int32?>(nil)

    /// The exit status by convention, 128 and the signal's number, once there was one.
    var status: Int32? { received.withLock { $0.map { 128 + $0 } } }

    /// Runs `body` in a task that the signals cancel.
    func cancelling<Result: Sendable>(
        _ body: @escaping () async throws -> Result
    ) async throws -> Result {
        let work = UncheckedBody(body: body)
        let task = Task { try await work.body() }
        let sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { self.receive(number) { task.cancel() } }
            source.resume()
            return source
        }
        defer {
            for source in sources { source.cancel() }
            for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
        }
        return try await task.value
    }

    private func receive(_ number: Int32, _ cancel: () -> Void) {
        let isFirst = received.withLock { received in
            defer { received = received ?? number }
            return received == nil
        }
        guard isFirst else { exit(128 + number) }
        Output.note("pausing after this step; once more to end at once")
        cancel()
    }
}

/// Carries a body into a task: the caller waits for the task and does not use it meanwhile.
private struct UncheckedBody<Result>: @unchecked Sendable {
    let body: () async throws -> Result
}

/// The step that a run is at, on a terminal's standard error, a few times a second.
final class Progress: Sendable {
    static let shared = Progress()
    private struct State {
        var shown = 0.0
        var isShown = false
    }
    private let state = Mutex(State())
    private let isTerminal = isatty(STDERR_FILENO) == 1

    func step(_ step: UInt64) {
        guard isTerminal, step % 64 == 0 || step < 64 else { return }
        let now = Date().timeIntervalSinceReferenceDate
        let isDue = state.withLock { state in
            guard now - state.shown > 0.2 else { return false }
            defer { state.shown = now }
            // Nothing for what is over in a moment.
            guard state.shown > 0 else { return false }
            state.isShown = true
            return true
        }
        if isDue { Output.raw("\rstep \(step) ") }
    }

    func finish() {
        if state.withLock({ $0.isShown }) { Output.raw("\r\u{1B}[K") }
    }
}

/// A loop that tells its progress.
struct WatchedLoop<Base: StepLoop>: StepLoop {
    let base: Base
    var name: String { base.name }
    var stateVersion: UInt64 { base.stateVersion }
    var stateCodec: ValueCodec<Base.State> { base.stateCodec }
    var outputCodec: ValueCodec<Base.Output> { base.outputCodec }

    func step(
        _ state: Base.State, _ context: StepContext
    ) async throws -> Outcome<Base.State, Base.Output> {
        Progress.shared.step(context.attempt.step)
        return try await base.step(state, context)
    }

    func migrate(_ state: [UInt8], from version: UInt64) throws -> Base.State {
        try base.migrate(state, from: version)
    }
}

extension DriveArguments {
    func watched<Loop: StepLoop>(_ loop: Loop) -> WatchedLoop<Loop> { WatchedLoop(base: loop) }
}
