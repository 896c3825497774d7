import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// Runs that nobody could have written, and reads that must be of one mind.
extension EdgeTests {
    private func write(
        _ bytes: [[UInt8]], as name: RunID, to store: LogRunStore
    ) async throws {
        let claim = try await store.claim(name, holder: store.writer)
        var unit = RecordUnit(run: name, epoch: claim.epoch, position: 0)
        for event in bytes { unit.append(event) }
        #expect(try await store.commit(unit) == .ok)
    }

    private static func event(_ content: RunEvent.Content) -> [UInt8] {
        RunEvent(time: EventTime(microseconds: 1), content).encoded()
    }

    /// The reader trapped on the first, and listed nothing for the second.
    @Test("a run that nobody could have written is noted, and does not hide the others")
    func hostileRuns() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let id = AttemptID(step: 0, attempt: 0)
        let strange = try RunID("strange")
        try await write(
            [
                [200, 1], Self.event(.attemptStarted(id)),
                Self.event(.runCompleted(id, result: [0x31])),
            ], as: strange, to: store)
        try await write([[1, 1, 9]], as: RunID("bad"), to: store)
        let delta = StateDelta.encode(
            from: [UInt8](repeating: 0x31, count: 64), to: [UInt8](repeating: 0x31, count: 65))
        try await write(
            [
                Self.event(.created(RunCreation(loop: "v", state: [0x31]))),
                Self.event(.resumed(holder: "x")), Self.event(.attemptStarted(id)),
                Self.event(.stepCommitted(id, delta: delta)),
            ], as: RunID("other base"), to: store)
        let runner = Runner("l", store: store, options: options) {
            (state: Int, _) async throws -> Outcome<Int, Int> in .complete(state)
        }
        _ = try await runner.start(run, state: 0)
        let reader = try log.reader()
        let statuses = try reader.list().map { "\($0.run) \($0.status)" }
        #expect(Set(statuses) == ["demo completed", "bad damaged", "other base damaged"])
        #expect(throws: RunReadError.self) { try reader.get(RunID("bad")) }
        #expect(throws: RunReadError.unknownRun(strange)) { try reader.get(strange) }
        try store.close()
    }

    private struct Old: StepLoop {
        let name = "v"
        func step(_ state: Int, _ context: StepContext) async throws -> Outcome<Int, Int> {
            .continue(state + 1)
        }
    }

    private struct New: StepLoop {
        let name = "v"
        var stateVersion: UInt64 { 2 }
        func migrate(_ state: [UInt8], from version: UInt64) throws -> String {
            "v2:" + String(decoding: state, as: UTF8.self)
        }
        func step(_ state: String, _ context: StepContext) async throws -> Outcome<String, Int> {
            .continue(state + "+")
        }
    }

    /// History, show and the input hash had two shapes of it.
    @Test("the state of a step is the one that it read, also when it was migrated")
    func migrated() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        _ = try await Runner(Old(), store: store, options: options)
            .start(run, state: 0, stepsMax: 2)
        let new = Runner(New(), store: store, options: options)
        _ = try await new.resume(run, stepsMax: 0)
        let reader = try log.reader()
        let before = try reader.state(run, at: 2)
        #expect(before.state == Array(#""v2:2""#.utf8))
        #expect(try reader.history(run).last == before)
        _ = try await new.resume(run, stepsMax: 1)
        #expect(try reader.state(run, at: 2) == before)
        #expect(try reader.history(run)[2] == before)
        let attempt = try reader.attempts(run).last { $0.id.step == 2 }
        #expect(attempt?.inputHash == InputHash.of(state: before.state))
        #expect(try reader.history(run).map(\.step) == [0, 1, 2, 3])
        try store.close()
    }

    /// It was shown once, and would be gone with compaction.
    @Test("of a completed run, show has the states that history has")
    func completedInterval() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        var options = options
        options.policy = .interval(2)
        let runner = Runner("l", store: store, options: options) {
            (state: Int, _) async throws -> Outcome<Int, Int> in
            state == 3 ? .complete(state) : .continue(state + 1)
        }
        _ = try await runner.start(run, state: 0)
        let reader = try log.reader()
        let shown = try reader.history(run).map(\.step)
        #expect(shown == [0, 2])
        for step in 0...3 as ClosedRange<UInt64> {
            let state = try? reader.state(run, at: step)
            #expect((state != nil) == shown.contains(step), "step \(step)")
        }
        try store.close()
    }

    /// In a container each process has the same number, and the new one was taken for the old one.
    @Test("a run of a process that died is not taken for one of its successor")
    func sameNumber() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        try await write(
            [
                Self.event(.created(RunCreation(loop: "v", state: [0x31]))),
                Self.event(.resumed(holder: store.writer)),
                Self.event(.attemptStarted(AttemptID(step: 0, attempt: 0))),
            ], as: run, to: store)
        #expect(try log.reader().get(run).status == "running")
        try store.close()
        let second = try log.open()
        #expect(try log.reader().get(run).status == "interrupted")
        try second.close()
    }
}
