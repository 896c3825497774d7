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

// Runs of dead processes, reads without the program, other versions, pauses.

extension DifferenceTests {
    /// A run whose process is gone in the middle of its second step, and the machine after it.
    private func abandoned(_ run: RunID) async throws -> Simulation {
        let machine = Simulation()
        let runner = Runner("dies", store: try machine.open(), options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            if number < 1 { return .continue(number + 1) }
            // As long as somebody drives it, it runs.
            #expect(try machine.reader().get(run).status == "running")
            #expect(try machine.reader().list().map(\.status) == ["running"])
            throw machine.stop()
        }
        await #expect(throws: RunnerError.self) { try await runner.start(run, state: 0) }
        return machine.restarted()
    }

    @Test("a run whose process died says interrupted: nobody has the log open")
    func interruptedWithoutAWriter() async throws {
        let reader = try await abandoned(run).reader()
        #expect(try reader.get(run).status == "interrupted")
        #expect(try reader.get(run).summary.status.isResumable)
        #expect(try reader.list().map(\.status) == ["interrupted"])
        #expect(try reader.explain(run).view.status == "interrupted")
        #expect(try reader.verify(run).isValid)
    }

    @Test("a run whose process died says interrupted: a later writer drives another run")
    func interruptedBesideAWriter() async throws {
        let machine = try await abandoned(run)
        let (store, other) = (try machine.open(), try RunID("other"))
        let reader = try machine.reader()
        let runner = Runner("lives", store: store, options: options) {
            [run] (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            #expect(try reader.get(other).status == "running")
            #expect(try reader.get(run).status == "interrupted")
            #expect(try reader.list().map(\.status).sorted() == ["interrupted", "running"])
            #expect(try reader.explain(run).view.status == "interrupted")
            return .complete(number)
        }
        #expect(try await runner.start(other, state: 0).status == .completed)
        // The later writer may take it, and then it runs again.
        let again = Runner("dies", store: store, options: options) {
            [run] (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            #expect(try reader.get(run).status == "running")
            return .complete(number)
        }
        #expect(try await again.resume(run).output == 1)
        #expect(try reader.get(run).status == "completed")
    }

    /// States in a form of the program's own, which no reader knows.
    private struct Private: StepLoop {
        let name = "private"
        var stateCodec: ValueCodec<Int> {
            ValueCodec(
                name: "stars", encode: { [UInt8](repeating: 0x2A, count: $0) },
                decode: { $0.count })
        }
        func step(_ state: Int, _ context: StepContext) async throws -> Outcome<Int, String> {
            state < 3 ? .continue(state + 1) : .complete("done")
        }
    }

    private func files() throws -> [String: Data] {
        var files: [String: Data] = [:]
        let all = FileManager.default.enumerator(atPath: path.string)
        while let name = all?.nextObject() as? String {
            let url = URL(filePath: path.appending(name).string)
            files[name] = try? Data(contentsOf: url)
        }
        return files
    }

    @Test("reads need the log alone, and change nothing in it")
    func readsNeedTheLogAlone() async throws {
        do {
            // The only place that knows the loops; it is gone when the log is read.
            let store = try LogRunStore(path: path)
            let runner = Runner(Private(), store: store, options: options)
            _ = try await runner.start(RunID("private"), state: 0, stepsMax: 2)
            let other = Runner("other", store: store, options: options) {
                (names: [String], context: StepContext) async throws -> Outcome<[String], Int> in
                names.count < 2 ? .continue(names + ["x"]) : .complete(2)
            }
            _ = try await other.start(RunID("other"), state: [])
            try store.close()
        }
        let before = try files()
        #expect(before.count >= 3)
        let reader = try RunReader(path: path)
        // One run that is not understood stands in no other's way.
        #expect(try reader.list().map(\.run.rawValue).sorted() == ["other", "private"])
        let strange = try RunID("private")
        #expect(try reader.get(strange).state == Array("**".utf8))
        #expect(try reader.get(strange).summary.loop == "private")
        #expect(try reader.get(strange).summary.codec == "stars")
        #expect(try reader.history(strange).map(\.state.count) == [0, 1, 2])
        #expect(try reader.get(RunID("other")).result == Array("2".utf8))
        for run in try reader.list().map(\.run) {
            #expect(try reader.attempts(run).count >= 2)
            #expect(try reader.toolCalls(run) == [])
            #expect(try reader.explain(run).notes == [])
            #expect(try reader.stats(run).stepCount == 3)
        }
        #expect(try files() == before)
    }

    private struct Old: StepLoop {
        struct State: Codable, Sendable, Equatable { var pages: Int }
        let name = "crawl"
        func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
            state.pages < 6 ? .continue(State(pages: state.pages + 1)) : .complete(state.pages)
        }
    }

    /// The same loop with another state; it may know how to read the old one.
    private struct New: StepLoop {
        struct State: Codable, Sendable, Equatable {
            var done: Int
            var names: [String]
        }
        let name = "crawl"
        let stateVersion: UInt64 = 2
        var migrates = true
        func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
            let next = State(done: state.done + 1, names: state.names + ["page"])
            return state.done < 6 ? .continue(next) : .complete(state.names.count)
        }
        func migrate(_ state: [UInt8], from version: UInt64) throws -> State {
            guard migrates else { throw StepFailure("cannot read version \(version)") }
            let old = try CanonicalJSONDecoder().decode(Old.State.self, from: state)
            return State(done: old.pages, names: [])
        }
    }

    private struct Unmigrated: StepLoop {
        let name = "crawl"
        let stateVersion: UInt64 = 2
        func step(_ state: Int, _ context: StepContext) async throws -> Outcome<Int, Int> {
            .complete(state)
        }
    }

    @Test("a state of another version is an error that leaves the run resumable, or is migrated")
    func stateVersions() async throws {
        let store = try LogRunStore(path: path)
        let reader = try RunReader(path: path)
        let old = Runner(Old(), store: store, options: options)
        _ = try await old.start(run, state: .init(pages: 0), stepsMax: 2)
        #expect(try reader.get(run).summary.stateVersion == 1)

        let before = try await events(of: run, in: store)
        do {
            _ = try await Runner(Unmigrated(), store: store, options: options).resume(run)
            Issue.record("a state of another version was read")
        } catch RunnerError.stateVersion(let stored, let expected) {
            #expect(stored == 1 && expected == 2)
        }
        var deaf = New()
        deaf.migrates = false
        let error = await message { try await Runner(deaf, store: store).resume(run) }
        #expect(error.contains("cannot read version 1"))
        #expect(try await events(of: run, in: store) == before)
        // The old program goes on with it.
        #expect(try await old.resume(run, stepsMax: 1).state == .init(pages: 3))

        let new = Runner(New(), store: store, options: options)
        let paused = try await new.resume(run, stepsMax: 1)
        #expect(paused.state == .init(done: 4, names: ["page"]))
        #expect(try reader.get(run).summary.stateVersion == 2)
        // From here on it is a run of the new version.
        await #expect(throws: RunnerError.self) { try await old.resume(run) }
        #expect(try await new.resume(run).output == 3)
        #expect(try reader.verify(run).isValid)
        #expect(try reader.history(run).map(\.step) == Array(0...6))
        try store.close()
    }

    @Test("a migrated run survives a stop of the machine in its first step")
    func migrationSurvives() async throws {
        let machine = Simulation()
        let old = Runner(Old(), store: try machine.open(), options: options)
        _ = try await old.start(run, state: .init(pages: 0), stepsMax: 2)
        let second = machine.restarted()
        let new = Runner(New(), store: try second.open(), options: options)
        _ = try await new.resume(run, stepsMax: 0)
        let third = second.afterPowerLoss()
        let last = Runner(New(), store: try third.open(), options: options)
        #expect(try await last.resume(run).output == 4)
        #expect(try third.reader().verify(run).isValid)
    }

    @Test("a step may pause its run, with a reason: the state is committed and survives")
    func pauseOutcome() async throws {
        let machine = Simulation()
        func runner(_ machine: Simulation) throws -> Counting {
            Runner("ask", store: try machine.open(), options: options) {
                (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
                if number == 2 { return .pause(number + 1, reason: "may I go on?") }
                return number < 5 ? .continue(number + 1) : .complete(number)
            }
        }
        let paused = try await runner(machine).start(run, state: 0, stepsMax: 100)
        #expect(paused.status == .paused)
        #expect(paused.pauseReason == .requested("may I go on?"))
        #expect(paused.state == 3)
        #expect(paused.stepIndex == 3)

        // A pause is a barrier: also the loss of power leaves it.
        let after = machine.afterPowerLoss()
        let reader = try after.reader()
        let view = try reader.get(run)
        #expect(view.status == "paused")
        #expect(view.summary.pauseReason == .requested("may I go on?"))
        #expect(view.state == Array("3".utf8))
        #expect(try reader.history(run).map(\.step) == [0, 1, 2, 3])
        #expect(try reader.attempts(run).allSatisfy { $0.status == .completed })
        #expect(try await runner(after).resume(run).output == 5)
        #expect(try reader.get(run).summary.pauseReason == nil)
        #expect(try reader.stats(run).retryCount == 0)
        #expect(try reader.verify(run).isValid)
    }
}
