import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import SystemPackage
import Testing

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

// Retries: how many, and after which time.

extension DifferenceTests {
    /// The delays that were decided on, in microseconds, and how often the run was to fail.
    private func decisions(
        of run: RunID, in store: any RunStore
    ) async throws -> (delays: [UInt64], failed: Int) {
        var (delays, failed): ([UInt64], Int) = ([], 0)
        for event in try await events(of: run, in: store) {
            guard case .attemptFailed(_, _, let decision) = event else { continue }
            switch decision {
            case .retry(let delay): delays.append(delay)
            case .fail: failed += 1
            }
        }
        return (delays, failed)
    }

    @Test("the failures of a step are counted from the log: a resume gives no new attempts")
    func attemptsAcrossResumes() async throws {
        let notes = Notes()
        // Failed, failed, then the machine stops; failed once more is once too often.
        func runner(_ machine: Simulation) throws -> Counting {
            Runner("busy", store: try machine.open(), options: options) {
                (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
                if number == 0 { return .continue(1) }
                if notes.add("call") == 2 { throw machine.stop() }
                throw StepFailure("busy", category: .transient)
            }
        }
        let machine = Simulation()
        await #expect(throws: RunnerError.self) {
            try await runner(machine).start(run, state: 0)
        }
        let again = machine.restarted()
        let resumed = try runner(again)
        #expect(try await resumed.resume(run).status == .failed)
        #expect(notes.count("call") == 4)
        #expect(try again.reader().stats(run).failedAttemptCount == 3)

        // `retry` begins a new count.
        try await resumed.retry(run)
        #expect(try await resumed.resume(run).status == .failed)
        #expect(notes.count("call") == 7)
        let rows = try again.reader().attempts(run, step: 1)
        #expect(rows.map(\.id.attempt) == Array(0...6))
        #expect(try again.reader().verify(run).isValid)
    }

    @Test("retries wait: twice as long each time, up to a limit, on the clock that was given")
    func exponentialBackoff() async throws {
        let store = try LogRunStore(path: path)
        let clock = VirtualRunClock()
        var options = RunnerOptions()
        options.clock = clock
        options.retry = RetryPolicy(
            attemptsMax: 6, delay: .milliseconds(200), delayMax: .seconds(1), jitter: 0)
        let runner = Runner("busy", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            throw StepFailure("busy", category: .transient)
        }
        let before = clock.now().microseconds
        #expect(try await runner.start(run, state: 0).status == .failed)
        let (delays, failed) = try await decisions(of: run, in: store)
        #expect(delays == [200_000, 400_000, 800_000, 1_000_000, 1_000_000])
        #expect(failed == 1)
        #expect(clock.now().microseconds - before == 3_400_000)
        // What is recorded is that clock's time.
        let rows = try RunReader(path: path).attempts(run)
        #expect(rows.map { $0.started.microseconds - before }.last == 3_400_000)
        try store.close()
    }

    @Test("delays have jitter: many runs that fail together do not try again together")
    func jitter() async throws {
        let store = try LogRunStore(path: path)
        let runner = Runner("busy", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            throw StepFailure("busy", category: .transient)
        }
        var first: Set<UInt64> = []
        for index in 0..<20 {
            let run = try RunID("run-\(index)")
            _ = try await runner.start(run, state: 0)
            let delays = try await decisions(of: run, in: store).delays
            #expect(delays.count == 2)
            #expect(delays[0] > 0 && delays[0] <= 200_000)
            #expect(delays[1] > 0 && delays[1] <= 400_000)
            first.insert(delays[0])
        }
        #expect(first.count > 10)
        try store.close()
    }

    @Test("retry-after is the least that a retry waits", arguments: [false, true])
    func retryAfter(inTool: Bool) async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let ask = Tool<Int, Int>("ask", safety: .idempotent) { number, _ in
            if notes.add("asked") > 0 { return number }
            throw StepFailure("later", category: .transient, retryAfter: .seconds(45))
        }
        let runner = Runner("ask", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            if inTool { return .complete(try await context.call(ask, number)) }
            if notes.add("asked") > 0 { return .complete(number) }
            throw StepFailure("later", category: .transient, retryAfter: .seconds(45))
        }
        #expect(try await runner.start(run, state: 3).output == 3)
        #expect(try await decisions(of: run, in: store).delays == [45_000_000])
        try store.close()
    }

    @Test("a cancellation while a retry waits leaves a paused run, whose failures stay counted")
    func cancelledWhileWaiting() async throws {
        let (store, notes, hasFailed) = (try LogRunStore(path: path), Notes(), Gate())
        var options = RunnerOptions()
        options.retry = RetryPolicy(attemptsMax: 2, delay: .seconds(600), delayMax: .seconds(600))
        let runner = Runner("busy", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            notes.add("call")
            hasFailed.open()
            throw StepFailure("busy", category: .transient)
        }
        let task = Task { try await runner.start(run, state: 3) }
        await hasFailed.wait()
        while try await decisions(of: run, in: store).delays.isEmpty { await Task.yield() }
        task.cancel()
        let paused = try await task.value
        #expect(paused.status == .paused)
        #expect(paused.pauseReason == .interrupted)
        #expect(try await runner.resume(run).status == .failed)
        #expect(notes.count("call") == 2)
        try store.close()
    }
}

// Time limits.

extension DifferenceTests {
    /// Real time, and little of it.
    private func limited(_ limit: Duration, grace: Duration) -> RunnerOptions {
        var options = RunnerOptions()
        options.attemptTimeout = limit
        options.timeoutGrace = grace
        options.retry.delay = .zero
        options.holder = "the first worker"
        return options
    }

    @Test("a step that takes too long and ends when cancelled has failed, transiently: tried again")
    func timeoutOfACooperativeStep() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let options = limited(.milliseconds(50), grace: .seconds(60))
        let runner = Runner("slow", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            if notes.add("call") == 0 { try await Task.sleep(for: .seconds(600)) }
            return .complete(number)
        }
        #expect(try await runner.start(run, state: 3).output == 3)
        let rows = try RunReader(path: path).attempts(run)
        #expect(rows.map(\.status) == [.failed, .completed])
        #expect(rows.first?.failure?.category == .transient)
        #expect(rows.first?.failure?.isRetryable == true)
        #expect(try RunReader(path: path).verify(run).isValid)
        try store.close()
    }

    @Test("a step that always takes too long uses up its attempts")
    func timeoutsAreFailures() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let options = limited(.milliseconds(20), grace: .seconds(60))
        let runner = Runner("slow", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            notes.add("call")
            try await Task.sleep(for: .seconds(600))
            return .complete(number)
        }
        let failed = try await runner.start(run, state: 3)
        #expect(failed.status == .failed)
        #expect(failed.failure?.category == .transient)
        #expect(notes.count("call") == 3)
        try store.close()
    }

    @Test("a step that goes on after its timeout gets no further attempt; its run is interrupted")
    func timeoutOfADeafStep() async throws {
        let (store, notes, mayEnd) = (try LogRunStore(path: path), Notes(), Gate())
        // Long enough for the first step, which is no slow one, on a busy machine.
        let options = limited(.milliseconds(800), grace: .milliseconds(100))
        let runner = Runner("deaf", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            guard number == 1 && notes.add("call") == 0 else {
                return number < 2 ? .continue(number + 1) : .complete(number)
            }
            await mayEnd.wait()
            // Too late: nothing of it may reach the log.
            let error = await self.message { try await context.label("late", "yes") }
            notes.add(error.hasPrefix("no error") ? "labelled" : "refused")
            return .complete(-1)
        }
        let told = await refusal { try await runner.start(run, state: 0) }
        guard case .stillRunning(run, step: 1)? = told else {
            return #expect(Bool(false), "not told that the step still runs")
        }
        let reader = try RunReader(path: path)
        #expect(try reader.get(run).summary.status == .paused)
        #expect(try reader.get(run).summary.pauseReason == .interrupted)
        #expect(try reader.attempts(run, step: 1).map(\.status) == [.interrupted])
        #expect(try reader.stats(run).failedAttemptCount == 0)
        let error = RunnerError.stillRunning(run, step: 1)
        #expect(error.description.contains("step 1 of run demo"))
        #expect(error.hint.contains("another one"))

        // Meanwhile nobody in this process gets it, and is told who has it.
        guard case .held(run, by: let holder)? = await refusal({ try await runner.resume(run) })
        else { return #expect(Bool(false), "the run was resumed beside its step") }
        #expect(holder.contains("the first worker"))
        #expect(notes.count("call") == 1)

        mayEnd.open()
        var done: Int?
        while done == nil {
            do {
                done = try await Runner(runner.loop, store: store).resume(run).output
            } catch RunnerError.held { try await Task.sleep(for: .milliseconds(5)) }
        }
        #expect(done == 2)
        #expect(notes.all.contains("refused"))
        #expect(try reader.get(run).summary.labels == [:])
        #expect(try reader.attempts(run, step: 1).map(\.status) == [.interrupted, .completed])
        #expect(try reader.verify(run).isValid)
        try store.close()
    }
}

// What kind of error it is.

extension DifferenceTests {
    /// Drives a step, or a tool in it, that throws once; returns what is recorded of it.
    private func recorded(
        _ error: any Error, inTool: Bool, _ store: any RunStore, _ name: String
    ) async throws -> (Failure?, RunStatus) {
        let notes = Notes()
        let ask = Tool<Int, Int>("ask", safety: .idempotent) { number, _ in
            if notes.add("asked") == 0 { throw error }
            return number
        }
        let runner = Runner("ask", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            if inTool { return .complete(try await context.call(ask, number)) }
            if notes.add("asked") == 0 { throw error }
            return .complete(number)
        }
        let run = try RunID(name)
        let result = try await runner.start(run, state: 0)
        return (try RunReader(path: path).attempts(run).first?.failure, result.status)
    }

    private func check(_ errors: [any Error], isTransient: Bool) async throws {
        let store = try LogRunStore(path: path)
        for (index, error) in errors.enumerated() {
            for inTool in [false, true] {
                let (failure, status) = try await recorded(
                    error, inTool: inTool, store, "\(index)-\(inTool)")
                #expect(
                    failure?.category == (isTransient ? .transient : .unknown), "\(error)")
                #expect(status == (isTransient ? .completed : .failed), "\(error)")
            }
        }
        try store.close()
    }

    private struct Plain: Error {}

    @Test("timeouts and connection errors are transient")
    func connectionErrors() async throws {
        let errnos: [Errno] = [
            .timedOut, .connectionReset, .connectionRefused, .connectionAbort, .brokenPipe,
            .networkUnreachable, .noRouteToHost,
        ]
        let codes: [URLError.Code] = [
            .timedOut, .cannotFindHost, .cannotConnectToHost, .networkConnectionLost,
            .dnsLookupFailed, .notConnectedToInternet,
        ]
        let domain = NSError(domain: NSPOSIXErrorDomain, code: Int(ETIMEDOUT))
        try await check(
            errnos + codes.map { URLError($0) } + [domain], isTransient: true)
    }

    @Test("timeouts and connection errors are transient: as Foundation's POSIXError too")
    func connectionErrorsOfPOSIX() async throws {
        let codes: [POSIXErrorCode] = [.ETIMEDOUT, .ECONNRESET, .ECONNREFUSED]
        try await check(codes.map { POSIXError($0) }, isTransient: true)
    }

    @Test("timeouts and connection errors are transient: a connection that was shut down too")
    func connectionsShutDown() async throws {
        try await check([Errno.socketShutdown, Errno.socketNotConnected], isTransient: true)
    }

    @Test("other errors are unknown, and final")
    func otherErrors() async throws {
        try await check(
            [Plain(), Errno.noSuchFileOrDirectory, URLError(.badURL), POSIXError(.EACCES)],
            isTransient: false)
    }
}
