internal import ArgumentParser
internal import Foundation
internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRunner
internal import LoomRuns
internal import LoomStdio
internal import Synchronization

/// Drives one run for a command: opens the log, listens for Ctrl-C, shows progress, prints where
/// the run stands, and ends with the right status.
struct Driving {
    private let arguments: DriveArguments
    private let createsLog: Bool
    private let next: NextLine

    init(_ arguments: DriveArguments, createsLog: Bool, next: NextLine? = nil) {
        self.arguments = arguments
        self.createsLog = createsLog
        self.next = next ?? NextLine(arguments.log)
    }

    func drive<Loop: StepLoop>(
        _ body: @escaping (LogRunStore) async throws -> RunResult<Loop>
    ) async throws {
        let stop = StopSignals()
        var opened: LogReader?
        let (result, log): (RunResult<Loop>, LogReader)
        do {
            (result, log) = try await arguments.log.writing(
                creates: createsLog, waits: arguments.wait, durability: arguments.durability
            ) { store in
                opened = store.reader
                try arguments.checkRestored(store)
                Self.tellRequests(to: store, stop)
                defer { Progress.shared.finish() }
                return (try await stop.cancelling { try await body(store) }, store.reader)
            }
        } catch  where error is CancellationError || error is StepProgramError {
            // Asked to stop before the run was begun: what that breaks is no error to tell.
            if let status = stop.status { throw ExitCode(status) }
            if CommandFailure(error).status == .damaged, let opened {
                try tellUnknownCall(RunReader(log: opened))
            }
            throw error
        }
        let status = Self.status(result, stop)
        Output.setEndStatus(status)
        // From the log that was written, whatever its path leads to by now.
        let runs = RunReader(log: log)
        tellUnknown(result.run, result.pauseReason, runs)
        let change = change(result.run, result.status, result.stepIndex)
        let view = try change.reading { try runs.get(result.run) }
        arguments.output.print(view.json, view.lines + [next.after(view)])
        if status != 0 { throw ExitCode(status) }
    }

    /// Says what other processes ask of the runs here; a run that one of them cancels stops in its
    /// step, as by Ctrl-C.
    private static func tellRequests(to store: LogRunStore, _ stop: StopSignals) {
        store.requestDesk.listen { [weak desk = store.requestDesk] run, asked in
            Progress.shared.finish()
            Output.note("run \(run): \(asked.by) asked to \(asked.verb): \(asked.answer.words)")
            // Other runs may be cancelled through this process, too.
            guard asked.answer == .done, asked.verb.hasSameBytes(as: "cancel"),
                desk?.drives(run) == true
            else { return }
            stop.cancel()
        }
    }

    /// What driving came to, told when it cannot be printed.
    private func change(_ run: RunID, _ status: RunStatus, _ step: UInt64) -> Change {
        Change(what: "run \(run) is \(status) at step \(step)", look: next.get(run))
    }

    /// A program that broke off inside a `.once` call: besides its error, which decides the status,
    /// it is told where the run stands, as that call has to be resolved first.
    private func tellUnknownCall(_ runs: RunReader) throws {
        guard let run = try? arguments.run.run(), let view = try? runs.get(run),
            case .unknownOutcome? = view.summary.pauseReason
        else { return }
        Output.setEndStatus(ExitStatus.damaged.rawValue)
        Output.setChange(change(run, view.summary.status, view.summary.stepIndex))
        tellUnknown(run, view.summary.pauseReason, runs)
        arguments.output.print(view.json, view.lines + [next.after(view)])
    }

    /// The run is paused, and that is no error; but why somebody has to look at a call is told at
    /// once, by whatever name the call ended.
    private func tellUnknown(_ run: RunID, _ reason: PauseReason?, _ runs: RunReader) {
        guard case .unknownOutcome(let call, let cause)? = reason else { return }
        let calls = try? runs.explain(run).unfinishedCalls
        let name = calls?.first { $0.position == call }.map { " of \($0.start.name)" } ?? ""
        CommandFailure(
            message: "call \(call)\(name) may or may not have happened"
                + (cause.map { ": \($0.message)" } ?? ": its end is not in the log"),
            hint: "look at the other side, then say what you found: "
                + next.resolve(run.rawValue, call),
            status: .io
        ).tell("paused")
    }

    private static func status<Loop>(_ result: RunResult<Loop>, _ stop: StopSignals) -> Int32 {
        switch result.status {
        case .failed: ExitStatus.runFailed.rawValue
        case .paused: stop.status ?? 0
        default: 0
        }
    }
}

/// Ctrl-C, SIGTERM and SIGHUP while a run is driven: the first one stops it between two steps, or
/// cuts the step if it listens; the second one, or Ctrl-\, ends the process at once, as a crash
/// would, and its step programs with it.
final class StopSignals: Sendable {
    private static let numbers = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]
    private let received = Mutex<Int32?>(nil)
    private let cancelling = Mutex<(@Sendable () -> Void)?>(nil)
    private let note: String

    /// - Parameter note: What is said at the first signal.
    init(note: String = "pausing after this step; once more to end at once") { self.note = note }

    /// The exit status by convention, 128 and the signal's number, once there was one.
    var status: Int32? { received.withLock { $0.map { 128 + $0 } } }

    /// Runs `body` in a task that the signals cancel.
    func cancelling<Result: Sendable>(
        _ body: @escaping () async throws -> Result
    ) async throws -> Result {
        let work = UncheckedBody(body: body)
        let task = Task { try await work.body() }
        cancelling.withLock { $0 = { task.cancel() } }
        // What nohup or a shell has switched off stays so.
        let numbers = Self.numbers.filter { !Self.isIgnored($0) }
        let sources = numbers.map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { self.receive(number) { task.cancel() } }
            source.resume()
            return source
        }
        defer {
            for source in sources { source.cancel() }
            for number in numbers { signal(number, SIG_DFL) }
        }
        return try await task.value
    }

    /// Cancels the work without a signal.
    func cancel() { cancelling.withLock { $0 }?() }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard unsafe sigaction(number, nil, &action) == 0 else { return false }
        return unsafe unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
    }

    private func receive(_ number: Int32, _ cancel: () -> Void) {
        let isFirst = received.withLock { received in
            defer { received = received ?? number }
            return received == nil
        }
        guard isFirst, number != SIGQUIT else {
            // They have process groups of their own, which no terminal reaches.
            StdioLoop.killAll()
            // No handlers: they would wait for who still works.
            _exit(128 + number)
        }
        Output.note(note)
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

    func migrate(_ state: [UInt8], from version: UInt64) async throws -> Base.State {
        try await base.migrate(state, from: version)
    }
}

extension DriveArguments {
    func watched<Loop: StepLoop>(_ loop: Loop) -> WatchedLoop<Loop> { WatchedLoop(base: loop) }
}
