import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Testing

// The life of a run: cut, failed, opened again, shown, migrated, paused.

extension DifferenceTests {
    typealias Counting = Runner<ClosureLoop<Int, Int>>

    @Test(
        "a crash inside a step: the next attempt has the next index, the earlier is interrupted",
        arguments: policies)
    func crashInsideAStep(policy: CheckpointPolicy) async throws {
        let notes = Notes()
        func runner(_ machine: Simulation) throws -> Counting {
            var options = options
            options.policy = policy
            return Runner("cut", store: try machine.open(), options: options) {
                (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
                let isFirst = notes.add("step \(number)") == 0
                notes.add("\(context.attempt.step).\(context.attempt.attempt)")
                if number == 2 && isFirst { throw machine.stop() }
                return number < 4 ? .continue(number + 1) : .complete(number)
            }
        }
        let machine = Simulation()
        await #expect(throws: RunnerError.self) {
            try await runner(machine).start(run, state: 0)
        }
        let again = machine.restarted()
        let done = try await runner(again).resume(run)
        #expect(done.status == .completed)
        #expect(done.output == 4)
        let attempts = notes.all.filter { $0.contains(".") }
        #expect(attempts == ["0.0", "1.0", "2.0", "2.1", "3.0", "4.0"])

        let reader = try again.reader()
        let rows = try reader.attempts(run, step: 2)
        #expect(rows.map(\.id.attempt) == [0, 1])
        #expect(rows.map(\.status) == [.interrupted, .completed])
        let stats = try reader.stats(run)
        #expect(stats.retryCount == 1)
        #expect(stats.failedAttemptCount == 0)
        #expect(try reader.verify(run).isValid)
    }

    @Test(
        "a cancellation inside a step leaves a paused run, and the step is made again",
        arguments: policies, [nil, Duration.seconds(600)])
    func cancellationInsideAStep(policy: CheckpointPolicy, limit: Duration?) async throws {
        let (notes, isInside) = (Notes(), Gate())
        let store = try LogRunStore(path: path)
        var options = options
        options.policy = policy
        options.attemptTimeout = limit
        options.clock = SystemRunClock()
        let runner = Runner("cut", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            if number == 2 && notes.add("step 2") == 0 {
                isInside.open()
                try await Task.sleep(for: .seconds(600))
            }
            return number < 4 ? .continue(number + 1) : .complete(number)
        }
        let task = Task { try await runner.start(run, state: 0) }
        await isInside.wait()
        task.cancel()
        let paused = try await task.value
        #expect(paused.status == .paused)
        #expect(paused.pauseReason == .interrupted)
        #expect(paused.state == 2)

        let reader = try RunReader(path: path)
        #expect(try reader.attempts(run, step: 2).map(\.status) == [.interrupted])
        #expect(try await runner.resume(run).output == 4)
        let rows = try reader.attempts(run, step: 2)
        #expect(rows.map(\.id.attempt) == [0, 1])
        #expect(rows.map(\.status) == [.interrupted, .completed])
        #expect(try reader.stats(run).retryCount == 1)
        #expect(try reader.stats(run).failedAttemptCount == 0)
        #expect(try reader.verify(run).isValid)
        try store.close()
    }

    /// Much of Foundation answers a cancellation with an error of its own, as URLError.cancelled.
    @Test("a cancellation inside a step that throws its own error for it fails no run either")
    func cancellationInOtherWords() async throws {
        let (notes, isInside) = (Notes(), Gate())
        let store = try LogRunStore(path: path)
        let runner = Runner("cut", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            guard notes.add("step") == 0 else { return .complete(number) }
            isInside.open()
            do {
                try await Task.sleep(for: .seconds(600))
            } catch { throw StepFailure("the request was cancelled") }
            return .complete(-1)
        }
        let task = Task { try await runner.start(run, state: 7) }
        await isInside.wait()
        task.cancel()
        let stopped = try await task.value
        #expect(stopped.status == .paused)
        #expect(stopped.pauseReason == .interrupted)
        #expect(try RunReader(path: path).stats(run).failedAttemptCount == 0)
        #expect(try await runner.resume(run).output == 7)
        try store.close()
    }

    @Test("interruptions are no failures: they do not use up the attempts of a step")
    func interruptionsAreNoFailures() async throws {
        let notes = Notes()
        // Cut, failed, cut, failed, cut, done: two failures of the three that are allowed.
        func runner(_ machine: Simulation) throws -> Counting {
            Runner("cut", store: try machine.open(), options: options) {
                (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
                switch notes.add("call") {
                case 0, 2, 4: throw machine.stop()
                case 1, 3: throw StepFailure("busy", category: .transient)
                default: return .complete(number)
                }
            }
        }
        var machine = Simulation()
        await #expect(throws: RunnerError.self) {
            try await runner(machine).start(run, state: 5)
        }
        for _ in 0..<2 {
            machine = machine.restarted()
            await #expect(throws: RunnerError.self) { try await runner(machine).resume(run) }
        }
        machine = machine.restarted()
        #expect(try await runner(machine).resume(run).output == 5)
        let rows = try machine.reader().attempts(run)
        #expect(rows.map(\.id.attempt) == [0, 1, 2, 3, 4, 5])
        #expect(
            rows.map(\.status) == [
                .interrupted, .failed, .interrupted, .failed, .interrupted, .completed,
            ])
        #expect(try machine.reader().verify(run).isValid)
    }

    @Test("interruptions have a limit of their own: ten of one step, then the run is paused")
    func interruptionLimit() async throws {
        let notes = Notes()
        func runner(_ machine: Simulation) throws -> Counting {
            Runner("cut", store: try machine.open(), options: options) {
                (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
                if notes.add("call") < 10 { throw machine.stop() }
                return .complete(number)
            }
        }
        var machine = Simulation()
        await #expect(throws: RunnerError.self) {
            try await runner(machine).start(run, state: 5)
        }
        for _ in 1..<10 {
            machine = machine.restarted()
            await #expect(throws: RunnerError.self) { try await runner(machine).resume(run) }
        }
        machine = machine.restarted()
        let paused = try await runner(machine).resume(run)
        #expect(paused.status == .paused)
        #expect(paused.pauseReason == .interruptedTooOften)
        #expect(notes.count("call") == 10)
        // Whoever resumes it then has looked.
        #expect(try await runner(machine.restarted()).resume(run).output == 5)
    }

    @Test("a failed run is opened again by retry, from its last committed state")
    func retryOfAFailedRun() async throws {
        let notes = Notes()
        let store = try LogRunStore(path: path)
        let look = Tool<Int, Int>("look", safety: .once) { number, _ in
            notes.add("look \(number)")
            return number * 10
        }
        let runner = Runner("flaw", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            let isFirst = notes.add("step \(number)") == 0
            let seen = try await context.call(look, number)
            if number == 3 && isFirst { throw StepFailure("no", category: .business) }
            return number < 4 ? .continue(number + 1) : .complete(seen)
        }
        let failed = try await runner.start(run, state: 0)
        #expect(failed.status == .failed)
        #expect(failed.failure?.category == .business)
        #expect(failed.state == 3)
        #expect(await message { try await runner.resume(run) } == "run demo is failed")

        try await runner.retry(run)
        let reader = try RunReader(path: path)
        #expect(try reader.get(run).status == "paused")
        #expect(try reader.get(run).state == Array("3".utf8))
        let done = try await runner.resume(run)
        #expect(done.output == 40)
        // No committed step runs again, no completed call is made again.
        #expect((0...4).map { notes.count("step \($0)") } == [1, 1, 1, 2, 1])
        #expect((0...4).map { notes.count("look \($0)") } == [1, 1, 1, 1, 1])
        #expect(try reader.attempts(run, step: 3).map(\.status) == [.failed, .completed])
        #expect(try reader.verify(run).isValid)
        guard case .notFailed(run, .completed) = await refusal({ try await runner.retry(run) })
        else {
            return #expect(Bool(false), "a completed run was retried")
        }
        try store.close()
    }
}

// What the read side shows.

extension DifferenceTests {
    /// Counts to 10; step 4 fails once; each step looks something up.
    private func counting(
        _ store: any RunStore, _ notes: Notes, _ policy: CheckpointPolicy
    ) -> Counting {
        var options = options
        options.policy = policy
        let look = Tool<Int, Int>("look", safety: .pure) { number, _ in number }
        return Runner("count", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            _ = try await context.call(look, number)
            if number == 4 && notes.add("four") == 0 {
                throw StepFailure("busy", category: .transient)
            }
            return number < 10 ? .continue(number + 1) : .complete(number)
        }
    }

    @Test("the policy is stored with the run: other options change neither it nor verify")
    func policyIsStored() async throws {
        let store = try LogRunStore(path: path)
        let reader = try RunReader(path: path)
        for (index, policy) in Self.policies.enumerated() {
            let run = try RunID("run-\(index)")
            _ = try await counting(store, Notes(), policy).start(run, state: 0, stepsMax: 5)
            for other in Self.policies where other != policy {
                _ = try await counting(store, Notes(), other).resume(run, stepsMax: 1)
            }
            #expect(try reader.get(run).summary.policy == policy)
            #expect(try reader.verify(run).isValid)
            #expect(try reader.verify(run).notes == [])
        }
        try store.close()
    }

    @Test("full shows every step, every attempt, all calls")
    func fullShows() async throws {
        let store = try LogRunStore(path: path)
        _ = try await counting(store, Notes(), .full).start(run, state: 0)
        let reader = try RunReader(path: path)
        #expect(try reader.history(run).map(\.step) == Array(0...10))
        let attempts = try reader.attempts(run)
        #expect(attempts.count == 12)
        #expect(attempts.allSatisfy { $0.inputHash != nil })
        #expect(attempts.allSatisfy { ($0.output == nil) == ($0.status == .failed) })
        #expect(Set(try reader.toolCalls(run).map(\.start.attempt.step)) == Set(0...10))
        #expect(try reader.explain(run).notes == [])
        try store.close()
    }

    @Test("interval shows state 0 and every nth, in history and in attempts alike")
    func intervalShows() async throws {
        let store = try LogRunStore(path: path)
        let runner = counting(store, Notes(), .interval(3))
        _ = try await runner.start(run, state: 0, stepsMax: 5)
        let reader = try RunReader(path: path)
        #expect(try reader.history(run).map(\.step) == [0, 3])
        // The current state is always there.
        #expect(try reader.get(run).state == Array("5".utf8))
        #expect(try await runner.resume(run).output == 10)
        #expect(try reader.history(run).map(\.step) == [0, 3, 6, 9])
        #expect(
            try reader.history(run).map(\.state) == ["0", "3", "6", "9"].map { Array($0.utf8) })

        let attempts = try reader.attempts(run)
        #expect(attempts.map(\.id.step) == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10])
        #expect(attempts.filter { $0.inputHash != nil }.map(\.id.step) == [0, 3, 6, 9])
        // The output of step 2 is state 3; the final result is always there.
        #expect(attempts.filter { $0.output != nil }.map(\.id.step) == [2, 5, 8, 10])
        #expect(attempts.last?.isResult == true)
        #expect(attempts.last?.output == Array("10".utf8))
        #expect(Set(try reader.toolCalls(run).map(\.start.attempt.step)) == Set(0...10))
        #expect(try reader.verify(run).isValid)
        try store.close()
    }

    @Test("compact shows every state, and of attempts those that were not ordinary")
    func compactShows() async throws {
        let store = try LogRunStore(path: path)
        _ = try await counting(store, Notes(), .compact).start(run, state: 0)
        let reader = try RunReader(path: path)
        #expect(try reader.history(run).map(\.step) == Array(0...10))
        let attempts = try reader.attempts(run)
        #expect(attempts.map(\.id.step) == [4, 4])
        #expect(attempts.map(\.status) == [.failed, .completed])
        #expect(Set(try reader.toolCalls(run).map(\.start.attempt.step)) == Set(0...10))
        #expect(try reader.explain(run).notes == ["compact_attempt_log"])
        #expect(try reader.verify(run).isValid)
        try store.close()
    }

    @Test("policies combine: of the past, what both show is shown")
    func policiesCombine() async throws {
        let store = try LogRunStore(path: path)
        let runner = counting(store, Notes(), .full)
        let control = RunControl(store: store)
        _ = try await runner.start(run, state: 0, stepsMax: 5)
        try await control.setPolicy(run, .interval(2))
        _ = try await runner.resume(run, stepsMax: 3)
        try await control.setPolicy(run, .full)
        _ = try await runner.resume(run)
        let reader = try RunReader(path: path)
        #expect(try reader.history(run).map(\.step) == [0, 2, 4, 6, 8, 9, 10])
        #expect(try reader.attempts(run).count == 12)
        // Also of a run that is over.
        try await control.setPolicy(run, .compact)
        #expect(try reader.history(run).map(\.step) == [0, 2, 4, 6, 8, 9, 10])
        #expect(try reader.attempts(run).map(\.id.step) == [4, 4])
        #expect(try reader.get(run).result == Array("10".utf8))
        #expect(try reader.verify(run).isValid)
        try store.close()
    }
}
