import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Testing

@testable import LoomStdio

/// ``StdioLoop`` in this process: its pool of programs, its starts and its ends.
@Suite(.timeLimit(.minutes(10))) struct StdioLoopTests {
    private let log: TemporaryLog
    private let store: LogRunStore

    init() throws {
        log = try TemporaryLog()
        store = try log.open()
    }

    private static func options(_ words: String...) -> StepProgramOptions {
        var options = StepProgramOptions(LoopsProcess.program() + words)
        options.helloTimeout = .seconds(60)
        return options
    }

    private func start(_ name: String, _ loop: StdioLoop) async throws -> RunResult<StdioLoop> {
        try await Runner(loop, store: store).start(
            RunID(name), state: loop.firstState ?? .null)
    }

    /// The processes that made the steps of a run.
    private func processes(_ result: RunResult<StdioLoop>) throws -> [Int32] {
        guard case .object(let members)? = result.output,
            case .array(let numbers)? = members["pids"]
        else { throw StepFailure("no result: \(result)") }
        return numbers.compactMap {
            if case .integer(let number) = $0 { Int32(number) } else { nil }
        }
    }

    private static func isThere(_ process: Int32) -> Bool { kill(process, 0) == 0 }

    private static func error(_ options: StepProgramOptions) async -> String {
        do {
            let loop = try await StdioLoop(options)
            try await loop.stop()
            return "none"
        } catch {
            return "\(error)"
        }
    }

    @Test("at most so many copies of a program, and each is used again")
    func bound() async throws {
        var options = Self.options("count", "5")
        options.programsMax = 2
        let loop = try await StdioLoop(options)
        let used = try await withThrowingTaskGroup(of: [Int32].self) { group in
            for run in 0..<8 {
                group.addTask { try processes(await start("run\(run)", loop)) }
            }
            return try await group.reduce(into: Set()) { $0.formUnion($1) }
        }
        #expect((1...2).contains(used.count), "\(used)")
        #expect(used.allSatisfy(Self.isThere))
        let later = try processes(await start("later", loop))
        #expect(used.isSuperset(of: later) && later.count == 1)
        try await loop.stop()
        #expect(!used.contains(where: Self.isThere))
        // The loop can be used again.
        let again = try processes(await start("again", loop))
        #expect(used.isDisjoint(with: again))
        try await loop.stop()
    }

    /// The next step was given to the dead program, and counted as interrupted.
    @Test("a copy that died while it had nothing to do is replaced")
    func deadCopy() async throws {
        let loop = try await StdioLoop(Self.options("count", "1"))
        for process in try processes(await start("first", loop)) {
            kill(process, SIGKILL)
            while Self.isThere(process) { try await Task.sleep(for: .milliseconds(5)) }
        }
        #expect(try await start("second", loop).status == .completed)
        #expect(try log.reader().attempts(RunID("second")).count == 1)
        try await loop.stop()
    }

    @Test("a program that cannot be started: an error that says why, and nothing left behind")
    func notStarted() async throws {
        let folder = FileManager.default.temporaryDirectory.path
        let file = "\(folder)/loomlog-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        try Data("no program".utf8).write(to: URL(filePath: file))
        #expect(await Self.error(StepProgramOptions([])).contains("the command is empty"))
        #expect(
            await Self.error(StepProgramOptions(["no-such-program"]))
                .contains("no-such-program: No such file or directory"))
        #expect(
            await Self.error(StepProgramOptions([file])).contains("\(file): Permission denied"))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file)
        #expect(await Self.error(StepProgramOptions([file])).contains("Exec format error"))
        var options = StepProgramOptions(["true"])
        options.folder = "/no/such/folder"
        #expect(await Self.error(options).contains("the folder /no/such/folder: No such file"))
        options.folder = file
        #expect(await Self.error(options).contains("Not a directory"))
        options = StepProgramOptions(["true", "a\0b"])
        #expect(await Self.error(options).contains("zero byte"))
        options = StepProgramOptions(["true"])
        options.variables["A=B"] = "c"
        #expect(await Self.error(options).contains("equals sign"))
        options = StepProgramOptions(["true", String(repeating: "x", count: 8 << 20)])
        let tooLong = await Self.error(options)
        #expect(tooLong.contains("list too long"), "\(tooLong.suffix(200))")
    }

    @Test("cancelled before hello, the program is killed at once")
    func cancelledStart() async throws {
        var options = Self.options("mute")
        options.helloTimeout = .seconds(3600)
        let start = ContinuousClock.now
        let task = Task { [options] in try await StdioLoop(options) }
        try await Task.sleep(for: .milliseconds(200))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(ContinuousClock.now - start < .seconds(100))
    }

    @Test("cancelled while it waits for a copy, a run lets others through")
    func cancelledWait() async throws {
        var options = Self.options("hangs")
        options.programsMax = 1
        options.cancelGrace = .milliseconds(100)
        let loop = try await StdioLoop(options)
        let first = Task { try await start("first", loop) }
        try await Task.sleep(for: .milliseconds(200))
        let second = Task { try await start("second", loop) }
        try await Task.sleep(for: .milliseconds(200))
        second.cancel()
        #expect(try await second.value.pauseReason == .interrupted)
        first.cancel()
        #expect(try await first.value.pauseReason == .interrupted)
        try await loop.stop()
    }

    /// It was waited for without end.
    @Test("a program whose end is not seen is given up, with an error")
    func givenUp() async throws {
        let gate = DispatchSemaphore(value: 0)
        var options = Self.options("noise")
        options.killGrace = .milliseconds(300)
        options.stepTimeout = .seconds(1)
        // Its thread stands here, as it would for a process that not even SIGKILL ends.
        options.errors = { _ in gate.wait() }
        let loop = try await StdioLoop(options)
        await #expect { try await start("run", loop) } throws: { error in
            "\(error)".contains("is still there after SIGKILL")
        }
        gate.signal()
        try await loop.stop()
    }

    @Test("more calls open than allowed are refused; as many as allowed are not")
    func openCalls() async throws {
        for (calls, isRefused) in [(3, false), (4, true)] {
            var options = Self.options("calls", "\(calls)")
            options.openCallsMax = 3
            let loop = try await StdioLoop(options)
            do {
                #expect(try await start("run\(calls)", loop).status == .completed)
                #expect(!isRefused)
            } catch {
                #expect(isRefused && error as? StepProgramError == .tooManyCalls(3), "\(error)")
            }
            try await loop.stop()
        }
    }

    /// The clock's arithmetic overflowed.
    @Test("times without an end, and no time at all")
    func extremeTimes() async throws {
        var options = Self.options("count", "2")
        let forever = Duration(secondsComponent: .max, attosecondsComponent: 0)
        (options.helloTimeout, options.stepTimeout, options.cancelGrace) = (
            forever, forever, forever
        )
        options.openCallsMax = .max
        options.programsMax = .max
        let loop = try await StdioLoop(options)
        #expect(try await start("run", loop).status == .completed)
        try await loop.stop()
        // One that would say hello may do so before anybody looks at the clock.
        options = Self.options("mute")
        options.helloTimeout = .seconds(-1)
        let refusal = await Self.error(options)
        #expect(refusal.contains("said nothing"), "\(refusal)")
    }

    @Test("a grandchild that keeps the pipes is not taken for the program")
    func grandchildren() async throws {
        let loop = try await StdioLoop(Self.options("grandchild"))
        guard case .integer(let child)? = try await start("run", loop).output else {
            Issue.record("no child")
            return
        }
        try await loop.stop()
        // It was in the group and went with it; its new parent may take a moment to reap it.
        let stat = { try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8) }
        let deadline = ContinuousClock.now + .seconds(10)
        while !(stat()?.contains(") Z ") ?? true), ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(stat()?.contains(") Z ") ?? true)
        let other = try await StdioLoop(Self.options("leaves-group"))
        let start = ContinuousClock.now
        await #expect(throws: StepProgramError.ended("with status 3")) {
            try await self.start("other", other)
        }
        #expect(ContinuousClock.now - start < .seconds(500))
        try await other.stop()
    }

    @Test("a program that closes its output is ended, and the run is told")
    func closedOutput() async throws {
        let loop = try await StdioLoop(Self.options("closes-output"))
        await #expect(throws: StepProgramError.closedPipe("output")) {
            try await start("run", loop)
        }
        try await loop.stop()
    }

    @Test("a loop that nobody stopped ends its programs when it goes")
    func abandoned() async throws {
        var used: [Int32] = []
        do {
            let loop = try await StdioLoop(Self.options("count", "1"))
            used = try processes(await start("run", loop))
        }
        let end = ContinuousClock.now + .seconds(10)
        while used.contains(where: Self.isThere), .now < end {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(!used.contains(where: Self.isThere) && used.count == 1)
    }

    /// What it still said of the step that was broken off was an error of another run's step.
    @Test("a program that has not said the end of its step is not used again")
    func brokenOff() async throws {
        let pool = ProgramPool(Self.options("count", "1"))
        let begin = { (program: StepProgram) async throws -> Void in _ = program.beginStep() }
        let first = try await pool.take(for: nil, begin)
        first.breakOff()
        try await pool.giveBack(first, run: nil)
        let second = try await pool.take(for: nil, begin)
        #expect(first !== second && first.hasEnded)
        second.endStep()
        try await pool.giveBack(second, run: nil)
        let third = try await pool.take(for: nil, begin)
        #expect(second === third)
        try await pool.stop()
        #expect(third.hasEnded)
    }

    /// The word of the program was dropped with the line behind it: the run waited for a person.
    @Test("a call counts that ended before the line that was too long")
    func callBeforeLongLine() async throws {
        var options = Self.options("line-after-call")
        options.lineBytesMax = 1024
        let loop = try await StdioLoop(options)
        await #expect(throws: StepProgramError.lineTooLong(1024)) { try await start("run", loop) }
        let calls = try log.reader().toolCalls(RunID("run"))
        #expect(calls.map(\.status) == [.completed])
        try await loop.stop()
    }

    /// Nothing ended it: Ctrl-C waited for the program.
    @Test("a migration that is cancelled ends as a step does")
    func cancelledMigration() async throws {
        var options = Self.options("count", "1")
        options.cancelGrace = .milliseconds(100)
        let loop = try await StdioLoop(options)
        let start = ContinuousClock.now
        let task = Task { try await loop.migrate(Array("{}".utf8), from: 0) }
        try await Task.sleep(for: .milliseconds(300))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(ContinuousClock.now - start < .seconds(20))
        try await loop.stop()
    }

    /// Their steps were begun again at once, by programs that outlived the stop.
    @Test("a loop that is stopped interrupts its steps and starts no program for them")
    func stopped() async throws {
        var options = Self.options("hangs")
        options.programsMax = 1
        let loop = try await StdioLoop(options)
        let runs = ["first", "second"].map { name in Task { try await start(name, loop) } }
        // A step that begins after the stop would start a program again.
        let reader = try log.reader()
        while try reader.list().filter({ $0.summary.openAttempt != nil }).count < 2 {
            try await Task.sleep(for: .milliseconds(20))
        }
        try await Task.sleep(for: .milliseconds(300))
        try await loop.stop()
        for run in runs {
            await #expect(throws: StepProgramError.stopped) { try await run.value }
        }
        #expect(try log.reader().list().map(\.status) == ["paused", "paused"])
    }
}
