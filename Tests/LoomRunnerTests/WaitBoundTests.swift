import Logging
import LoomFormat
import LoomModel
import LoomRunner
import LoomTesting
import Synchronization
import Testing

/// Waits that somebody else decides are bounded, and what was cut is told.
@Suite struct WaitBoundTests {
    let run: RunID

    init() throws { run = try RunID("demo") }

    /// The run waited for centuries, and nobody was told.
    @Test("a retry-after of centuries is cut to a day, and the attempt's error says so")
    func retryAfter() async throws {
        let store = MemoryRunStore()
        let failures = Mutex(0)
        let runner = Runner("busy", store: store, options: .testing) {
            (_: Int, _: StepContext) async throws -> Outcome<Int, Int> in
            let isFirst = failures.withLock { count in
                defer { count += 1 }
                return count == 0
            }
            guard isFirst else { return .complete(1) }
            throw StepFailure(
                "busy", category: .transient, retryAfter: .seconds(10_000_000_000))
        }
        #expect(try await runner.start(run, state: 0).status == .completed)
        var failed: [(Failure, FailureDecision)] = []
        try await store.read(run, from: 0) { event, _ in
            if case .attemptFailed(_, let failure, let decision)? = event?.content {
                failed.append((failure, decision))
            }
        }
        #expect(failed.map(\.1) == [.retry(delay: 86_400_000_000)])
        let message = try #require(failed.first?.0.message)
        #expect(message.contains("10000000000 s"), "\(message)")
        #expect(message.contains("cut to 86400 s"), "\(message)")
    }
}

// Every duration and number of a runner's options, at its ends.
extension WaitBoundTests {
    /// A delay far below zero trapped when it was doubled; so did a policy of no attempts.
    @Test("a retry policy takes any number")
    func policySweep() {
        let failure = Failure(message: "x", category: .transient, isRetryable: true)
        let ends: [Duration] = [
            .zero, .seconds(-1), .seconds(Int64.max), .seconds(Int64.min), .nanoseconds(1),
        ]
        let century: UInt64 = 3_155_760_000_000_000
        for (delay, most) in ends.flatMap({ delay in ends.map { (delay, $0) } }) {
            for jitter in [0, 1, -1, .nan, .infinity, -.infinity, 0.5] {
                for count in [0, 1, 64, 65, 1_000, UInt64.max - 1] {
                    let policy = RetryPolicy(
                        attemptsMax: .max, delay: delay, delayMax: most, jitter: jitter,
                        retryAfterMax: most)
                    let decision = policy.decision(
                        after: failure, count: count, retryAfter: delay, random: 0.5)
                    guard case .retry(let wait) = decision else {
                        Issue.record("no retry after \(count)")
                        continue
                    }
                    #expect(wait <= century + 1_000_000)
                }
            }
        }
        let none = RetryPolicy(attemptsMax: 0)
        #expect(
            none.decision(after: failure, count: 1, retryAfter: nil, random: 0) == .fail)
    }

    @Test("a runner takes any duration and any number")
    func optionsSweep() async throws {
        for time: Duration in [.seconds(Int64.max), .seconds(Int64.min), .zero, .seconds(-1)] {
            for number: UInt64 in [0, 1, .max] {
                var options = RunnerOptions.testing
                options.timeoutGrace = time
                options.retry.delay = time
                options.retry.delayMax = time
                options.retry.retryAfterMax = time
                options.retry.interruptionsMax = number
                options.retry.attemptsMax = number
                options.payloads = PayloadPolicy(shownBytesMax: number)
                if number > 0 { options.policy = .interval(number) }
                let runner = Runner("l", store: MemoryRunStore(), options: options) {
                    (state: Int, context: StepContext) async throws -> Outcome<Int, Int> in
                    if context.attempt.attempt == 0, state == 1 {
                        throw StepFailure("busy", category: .transient, retryAfter: time)
                    }
                    return state < 2 ? .continue(state + 1) : .complete(state)
                }
                let result = try await runner.start(run, state: 0, stepsMax: .max)
                // A limit of 0 counts as 1: the first failure is the last.
                #expect(result.status == (number > 1 ? .completed : .failed))
            }
        }
    }

    @Test("the system's clock waits for as long as a number goes, until it is cancelled")
    func endlessSleep() async throws {
        let task = Task { try await SystemRunClock().sleep(microseconds: .max) }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        // It would have returned, or ended the process, had the time run over.
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    private struct NoClock: RunClock {
        func now() -> EventTime { EventTime(microseconds: 0) }
        func sleep(microseconds: UInt64) async throws {}
    }

    /// What was logged, as lines.
    private final class Lines: LogHandler, @unchecked Sendable {
        static let all = Mutex<[String]>([])
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.warning
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: Logging.LogEvent) { Self.all.withLock { $0.append("\(event.message)") } }
    }

    /// Nobody knew that the times in the log were wrong, or that the run was not stuck.
    @Test("a clock before 1970 and a long wait are told")
    func told() async throws {
        var options = RunnerOptions()
        options.clock = NoClock()
        options.logger = Logger(label: "test") { _ in Lines() }
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            guard context.attempt.attempt > 0 else {
                throw StepFailure("busy", category: .transient, retryAfter: .seconds(3600))
            }
            return .complete(1)
        }
        #expect(try await runner.start(run, state: 0).status == .completed)
        let lines = Lines.all.withLock { $0 }
        #expect(lines.contains { $0.contains("before 1970") }, "\(lines)")
        #expect(lines.contains { $0.contains("in 3600 s") }, "\(lines)")
    }
}
