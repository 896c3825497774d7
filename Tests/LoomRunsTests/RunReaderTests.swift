import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

/// Fails now and then, calls a tool in every step, and is cut where it is told to.
struct Uneven: StepLoop {
    let name = "uneven"
    var failsAt: Set<Int> = []

    func step(_ state: [Int], _ context: StepContext) async throws -> Outcome<[Int], Int> {
        let step = Int(context.attempt.step)
        let double = Tool<Int, Int>("double", safety: .idempotent) { value, _ in value * 2 }
        let doubled = try await context.call(double, step)
        if failsAt.contains(step), context.attempt.attempt % 3 != 2 {
            throw StepFailure("not yet", category: .transient)
        }
        return step == 24 ? .complete(state.count) : .continue(state + [doubled])
    }
}

@Suite struct RunReaderTests {
    private let storage = SimulatedStorage()

    private func open() throws -> LogRunStore {
        var options = LogOptions()
        options.driver = .inline
        return try LogRunStore(path: "/runs.loom", options: options, storage: storage)
    }

    private func reader() throws -> RunReader {
        try RunReader(path: "/runs.loom", storage: storage)
    }

    private func options(_ policy: CheckpointPolicy) -> RunnerOptions {
        var options = RunnerOptions()
        options.clock = VirtualRunClock()
        options.policy = policy
        return options
    }

    /// A run under one policy, then under another, with failures, retries and an interruption.
    private func drive(
        _ run: RunID, _ first: CheckpointPolicy, _ second: CheckpointPolicy?
    ) async throws {
        let store = try open()
        let runner = Runner(
            Uneven(failsAt: [2, 11, 17]), store: store, options: options(first))
        _ = try await runner.start(run, state: [], stepsMax: 9)
        if let second { try await RunControl(store: store).setPolicy(run, second) }
        let claim = try await store.claim(run, holder: "one that dies")
        var unit = RecordUnit(run: run, epoch: claim.epoch, position: claim.position)
        for content in [
            RunEvent.Content.resumed(holder: "x"), .attemptStarted(.init(step: 9, attempt: 0)),
        ] { unit.append(RunEvent(time: .init(microseconds: 9), content).encoded()) }
        #expect(try await store.commit(unit) == .ok)
        await store.release(run, epoch: claim.epoch)
        let done = try await runner.resume(run)
        #expect(done.output == 24)
        try store.close()
    }

    static let changes: [(CheckpointPolicy, CheckpointPolicy?)] = [
        (.full, nil), (.interval(4), nil), (.compact, nil), (.full, .interval(3)),
        (.interval(2), .interval(3)), (.compact, .full), (.interval(5), .compact),
    ]

    @Test("counts are those of the rows, and pages those of the whole lists")
    func agree() async throws {
        for (index, (first, second)) in Self.changes.enumerated() {
            let run = try RunID("run-\(index)")
            try await drive(run, first, second)
            let reader = try reader()
            let (history, attempts) = (try reader.history(run), try reader.attempts(run))
            let calls = try reader.toolCalls(run)
            let stats = try reader.stats(run)
            #expect(stats.stepCount == history.count, "\(first), \(second as Any)")
            #expect(stats.attemptCount == attempts.count, "\(first), \(second as Any)")
            #expect(stats.retryCount == attempts.count { $0.id.attempt > 0 })
            #expect(stats.failedAttemptCount == attempts.count { $0.status == .failed })
            #expect(stats.toolCallCount == calls.count)
            #expect(attempts.count { $0.status == .interrupted } == 1)
            #expect(try reader.verify(run).isValid)
            for offset in [0, 1, 5, 23, 40] {
                for limit in [0, 1, 7] {
                    #expect(
                        try reader.history(run, limit: limit, offset: offset)
                            == Array(history.dropFirst(offset).prefix(limit)))
                    #expect(
                        try reader.attempts(run, limit: limit, offset: offset)
                            == Array(attempts.dropFirst(offset).prefix(limit)))
                    #expect(
                        try reader.toolCalls(run, limit: limit, offset: offset)
                            .map(\.position)
                            == calls.dropFirst(offset).prefix(limit).map(\.position))
                }
            }
            for step in [0, 2, 9, 11, 24] as [UInt64] {
                #expect(
                    try reader.attempts(run, step: step) == attempts.filter { $0.id.step == step })
                #expect(
                    try reader.toolCalls(run, step: step).map(\.position)
                        == calls.filter { $0.start.attempt.step == step }.map(\.position))
            }
        }
    }

    @Test(
        "a step's state is shown where the policy keeps it; the present one always is"
    )
    func states() async throws {
        let (all, some) = (try RunID("all"), try RunID("some"))
        try await drive(all, .full, nil)
        try await drive(some, .interval(10), nil)
        let reader = try reader()
        for row in try reader.history(all) {
            #expect(try reader.state(all, at: row.step) == row)
        }
        #expect(try reader.state(some, at: 20) == reader.state(all, at: 20))
        #expect(throws: RunReadError.notKept(some, step: 24, kept: 20)) {
            try reader.state(some, at: 24)
        }
        #expect(throws: RunReadError.notKept(some, step: 13, kept: 10)) {
            try reader.state(some, at: 13)
        }
        #expect(throws: RunReadError.notReached(some, step: 25, last: 24)) {
            try reader.state(some, at: 25)
        }
    }

    @Test("a list is filtered by status, loop, label and name, and comes in pages")
    func filters() async throws {
        let store = try open()
        for index in 0..<6 {
            var options = options(.full)
            options.labels = [Label(name: "team", value: index % 2 == 0 ? "a" : "b")]
            let runner = Runner(Uneven(), store: store, options: options)
            let run = try RunID("\(index < 3 ? "x" : "y")-\(index)")
            _ = try await runner.start(run, state: [], stepsMax: index == 5 ? nil : index)
        }
        let reader = try reader()
        func names(_ change: (inout RunFilter) -> Void) throws -> [String] {
            var filter = RunFilter()
            change(&filter)
            return try reader.list(filter).map(\.run.rawValue)
        }
        #expect(try names { _ in } == ["x-0", "x-1", "x-2", "y-3", "y-4", "y-5"])
        #expect(try names { $0.prefix = "y" } == ["y-3", "y-4", "y-5"])
        #expect(try names { $0.status = "completed" } == ["y-5"])
        #expect(try names { $0.loop = "another" } == [])
        #expect(
            try names { $0.labels = [Label(name: "team", value: "b")] } == ["x-1", "y-3", "y-5"])
        #expect(try reader.list(limit: 2, offset: 1).map(\.run.rawValue) == ["x-1", "x-2"])
        #expect(throws: RunReadError.negative("offset", -1)) { try reader.list(offset: -1) }
        try store.close()
    }

    @Test("a run whose process does not have the log is interrupted, also while another writes")
    func interrupted() async throws {
        let run = try RunID("left")
        let store = try open()
        let claim = try await store.claim(run, holder: "x")
        var unit = RecordUnit(run: run, epoch: claim.epoch, position: 0)
        let creation = RunCreation(loop: "uneven", state: Array("[]".utf8))
        for content in [
            RunEvent.Content.created(creation), .resumed(holder: "agent, \(store.writer)"),
        ] { unit.append(RunEvent(time: .init(microseconds: 1), content).encoded()) }
        #expect(try await store.commit(unit) == .ok)
        #expect(try reader().get(run).status == "running")
        // The process ends; another one, with a name of its own, opens the log.
        let image = storage.killImage(.sampled(1))
        var options = LogOptions()
        options.driver = .inline
        let dead = try RunReader(path: "/runs.loom", storage: image)
        #expect(try dead.get(run).status == "interrupted")
        let next = try LogRunStore(path: "/runs.loom", options: options, storage: image)
        #expect(next.writer != store.writer)
        #expect(try dead.get(run).status == "interrupted")
        _ = try await Runner(Uneven(), store: next, options: self.options(.full)).resume(
            run, stepsMax: 1)
        #expect(try dead.get(run).status == "paused")
        try next.close()
    }

    @Test("a tail gives every event in order, and goes on when more are written")
    func tail() async throws {
        let store = try open()
        let runner = Runner(Uneven(), store: store, options: options(.full))
        let run = try RunID("followed")
        _ = try await runner.start(run, state: [], stepsMax: 2)
        var tail = try reader().tail(run)
        var rows: [RunTail.Row] = []
        while let more = try tail.next() { rows += more }
        let before = rows.count
        #expect(rows.map(\.place.position) == (0..<UInt64(before)).map { $0 })
        _ = try await runner.resume(run, stepsMax: 1)
        while let more = try tail.next() { rows += more }
        #expect(rows.count > before)
        #expect(rows.map(\.place.position) == (0..<UInt64(rows.count)).map { $0 })
        try store.close()
    }
}
