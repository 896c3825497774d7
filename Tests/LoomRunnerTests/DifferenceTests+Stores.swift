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

// Storage errors.

extension DifferenceTests {
    /// How a disk may fail when it is written to.
    enum DiskFault: String, CaseIterable, Sendable {
        case storesNothing, storesSome, storesAll, syncs, full

        func begin(on storage: SimulatedStorage) {
            let (kinds, extent): ([SimulatedCall.Kind], FaultExtent) =
                switch self {
                case .storesNothing: (Self.storing, .nothing)
                case .storesSome: (Self.storing, .part)
                case .storesAll: (Self.storing, .everything)
                case .syncs: (Self.syncing, .part)
                case .full: ([], .part)
                }
            for kind in kinds { storage.failCalls(of: kind, with: .ioError, extent: extent) }
            if self == .full { storage.capacity = 0 }
        }

        func end(on storage: SimulatedStorage) {
            for kind in Self.storing + Self.syncing { storage.stopFailing(kind) }
            storage.capacity = nil
        }

        private static let storing: [SimulatedCall.Kind] = [.write, .store, .fillZeros]
        private static let syncing: [SimulatedCall.Kind] = [.sync, .syncData]
    }

    /// A run of ten steps with much text in each, so that a full disk is soon in the way.
    private func writing(
        _ store: any RunStore, _ notes: Notes, _ inStepFive: @escaping @Sendable () throws -> Void
    ) -> Runner<ClosureLoop<[String], Int>> {
        Runner("write", store: store, options: options) {
            (pages: [String], context: StepContext) async throws -> Outcome<[String], Int> in
            notes.add("step \(pages.count)")
            if pages.count == 5 { try inStepFive() }
            var random = SeededGenerator(UInt64(pages.count))
            let page = (0..<1000).map { _ in String(random.next()) }
            let next = pages + [page.joined(separator: " ")]
            return next.count < 10 ? .continue(next) : .complete(next.count)
        }
    }

    /// Drives until the disk fails, which is said and fails no run; the disk is then well again.
    private func failing(
        _ fault: DiskFault, _ durability: Durability, seed: UInt64 = 1
    ) async throws -> Simulation {
        let machine = Simulation(storage: SimulatedStorage(seed: seed))
        let store = try machine.open(durability)
        let runner = writing(store, Notes()) { fault.begin(on: machine.storage) }
        let thrown = await message { try await runner.start(run, state: []) }
        #expect(!thrown.hasPrefix("no error"), "\(thrown)")
        fault.end(on: machine.storage)
        #expect(try machine.reader().get(run).summary.status != .failed)
        try? store.close()
        return machine
    }

    /// Opens the log, finds a run that can be resumed, and goes on where the log stands.
    private func resume(_ machine: Simulation, _ durability: Durability) async throws {
        let (reopened, reader, notes) = (
            try machine.open(durability), try machine.reader(), Notes()
        )
        let summary = try reader.get(run).summary
        #expect(summary.status.isResumable)
        #expect(summary.failure == nil)
        #expect(try await writing(reopened, notes) {}.resume(run).output == 10)
        #expect(notes.all == (Int(summary.stepIndex)..<10).map { "step \($0)" })
        #expect(try reader.verify(run).isValid)
        try reopened.close()
    }

    @Test(
        "storage errors end the hold on the run, which stays resumable",
        arguments: DiskFault.allCases, Durability.allCases)
    func storageErrors(fault: DiskFault, durability: Durability) async throws {
        let machine = try await failing(fault, durability)
        let killed = machine.restarted()
        // What `off` and `normal` may lose with the power includes the creation only in `off`.
        if durability != .off { try await resume(machine.afterPowerLoss(), durability) }
        guard fault != .syncs else { return }
        for after in [machine, killed] {
            // Five steps were acknowledged.
            #expect(try after.reader().get(run).summary.stepIndex >= 5)
            try await resume(after, durability)
        }
    }

    /// A failed sync may take back what was stored since the last good one; the operating system
    /// then shows the old bytes, as Btrfs does.
    @Test("a failed sync leaves a run that is resumable from a log reopened on the same boot")
    func failedSyncOnThisBoot() async throws {
        for seed in 1...5 {
            let machine = try await failing(.syncs, .full, seed: UInt64(seed))
            let killed = machine.restarted()
            try await resume(machine, .full)
            try await resume(killed, .full)
        }
    }

    @Test("a full disk is no end: with room again, the same store goes on")
    func fullDisk() async throws {
        let (machine, notes) = (Simulation(), Notes())
        let storage = machine.storage
        let store = try machine.open()
        let runner = writing(store, notes) { storage.capacity = 0 }
        await #expect(throws: RunnerError.self) { try await runner.start(run, state: []) }
        await #expect(throws: RunnerError.self) { try await runner.resume(run) }
        storage.capacity = nil
        let done = try await writing(store, notes) {}.resume(run)
        #expect(done.output == 10)
        #expect(try machine.reader().verify(run).isValid)
        try store.close()
    }

    @Test(
        "a storage error fails no run, also when the step wraps it or passes over it",
        arguments: ["wraps", "passes over"])
    func storageErrorsInSteps(how: String) async throws {
        let machine = Simulation()
        let storage = machine.storage
        let store = try machine.open()
        let look = Tool<Int, Int>("look", safety: .once) { number, _ in number }
        let runner = Runner("look", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            if number == 1 && !storage.isCrashed { DiskFault.storesSome.begin(on: storage) }
            do {
                _ = try await context.call(look, number)
            } catch {
                if how == "wraps" { throw StepFailure("\(error)", category: .business) }
            }
            return number < 2 ? .continue(number + 1) : .complete(number)
        }
        await #expect(throws: RunnerError.self) { try await runner.start(run, state: 0) }
        DiskFault.storesSome.end(on: storage)
        try? store.close()
        let reopened = try machine.open()
        let view = try machine.reader().get(run)
        #expect(view.summary.status.isResumable)
        #expect(view.summary.stepIndex == 1)
        #expect(try machine.reader().verify(run).isValid)
        try reopened.close()
    }

    @Test("a disk that fails before a `.once` call keeps it from being made")
    func onceNeedsItsIntent() async throws {
        let (machine, notes) = (Simulation(), Notes())
        let storage = machine.storage
        let store = try machine.open()
        let pay = Tool<Int, Int>("pay", safety: .once) { number, _ in notes.add("paid") }
        let runner = Runner("pay", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            DiskFault.syncs.begin(on: storage)
            return .complete(try await context.call(pay, number))
        }
        await #expect(throws: RunnerError.self) { try await runner.start(run, state: 0) }
        #expect(notes.all == [])
        #expect(try machine.reader().get(run).summary.status.isResumable)
    }

    @Test("a disk that cannot be read under a step fails no run")
    func readErrorInAStep() async throws {
        let machine = Simulation()
        let storage = machine.storage
        let store = try machine.open()
        let notes = Notes()
        let look = Tool<Int, Int>("look", safety: .pure) { number, _ in number * 10 }
        let runner = Runner("look", store: store, options: options) {
            (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            if context.run == self.run, notes.add("call") == 0 {
                storage.failCalls(of: .open, with: .ioError)
                storage.failCalls(of: .read, with: .ioError)
            }
            // A key of the store that was used before is looked up in the log.
            return .complete(try await context.call(look, number, key: "k", scope: .store))
        }
        #expect(try await runner.start(RunID("first"), state: 4).output == 40)
        let thrown = await message { try await runner.start(run, state: 4) }
        storage.stopFailing(.open)
        storage.stopFailing(.read)
        #expect(!thrown.hasPrefix("no error"), "\(thrown)")
        #expect(try machine.reader().get(run).summary.status.isResumable)
        #expect(try await runner.resume(run).output == 40)
    }
}

// One at a time.

extension DifferenceTests {
    @Test("two resumers: one holds the run, the other gets an error that names the holder")
    func twoResumers() async throws {
        let store = try LogRunStore(path: path)
        let (notes, isInside, mayEnd) = (Notes(), Gate(), Gate())
        func runner(_ holder: String) -> Counting {
            var options = options
            options.holder = holder
            return Runner("count", store: store, options: options) {
                (number: Int, context: StepContext) async throws -> Outcome<Int, Int> in
                notes.add("step \(number)")
                isInside.open()
                await mayEnd.wait()
                return number < 3 ? .continue(number + 1) : .complete(number)
            }
        }
        _ = try await runner("nobody").start(run, state: 0, stepsMax: 0)
        let task = Task { [run] in try await runner("worker A").resume(run) }
        await isInside.wait()
        let before = try await events(of: run, in: store)
        for attempt in 0..<4 {
            let second = runner("worker B")
            do {
                switch attempt {
                case 0: _ = try await second.resume(run)
                case 1: _ = try await second.start(run, state: 0, ifExists: .attach)
                case 2: try await second.cancel(run)
                default: try await RunControl(store: store).label(run, [])
                }
                Issue.record("attempt \(attempt) was let in")
            } catch RunnerError.held(let name, by: let holder) {
                #expect(name == run)
                #expect(holder.contains("worker A"))
                #expect("\(RunnerError.held(name, by: holder))".contains("worker A"))
            }
        }
        #expect(try await events(of: run, in: store) == before)
        mayEnd.open()
        #expect(try await task.value.output == 3)
        #expect(notes.all == (0...3).map { "step \($0)" })
        #expect(try RunReader(path: path).verify(run).isValid)
        try store.close()
    }

    @Test("one writer at a time: the second is told who has the log")
    func secondWriter() throws {
        let store = try LogRunStore(path: path)
        let error = #expect(throws: LogError.self) { try LogRunStore(path: path) }
        #expect(error?.code == .locked)
        let process = "\(ProcessInfo.processInfo.processIdentifier)"
        #expect(error?.description.contains(process) == true)
        #expect(error?.hint.contains("--wait") == true)
        // Reading needs no lock.
        #expect(try RunReader(path: path).list() == [])
        try store.close()
        try LogRunStore(path: path).close()
    }

    @Test("one writer at a time: the second waits when it is asked to")
    func secondWriterWaits() async throws {
        let store = try LogRunStore(path: path)
        let isOpen = Notes()
        async let second = withCheckedContinuation { continuation in
            Thread.detachNewThread { [path] in
                var options = LogOptions()
                options.lockWaitNanoseconds = 600_000_000_000
                isOpen.add("waits")
                let opened = Result { try LogRunStore(path: path, options: options) }
                isOpen.add("open")
                continuation.resume(returning: opened)
            }
        }
        while isOpen.count("waits") == 0 { await Task.yield() }
        try await Task.sleep(for: .milliseconds(100))
        #expect(isOpen.count("open") == 0)
        try store.close()
        try await second.get().close()
    }

    @Test("64 runs at once on one log all complete, and verify")
    func manyRuns() async throws {
        let store = try LogRunStore(path: path)
        let add = Tool<Int, Int>("add", safety: .idempotent) { number, _ in number + 1 }
        let runner = Runner("add", store: store) {
            (numbers: [Int], context: StepContext) async throws -> Outcome<[Int], Int> in
            await Task.yield()
            guard numbers[1] < 20 else { return .complete(numbers[0]) }
            return .continue([
                try await context.call(add, numbers[0]), numbers[1] + 1,
            ])
        }
        let outputs = try await withThrowingTaskGroup(of: (Int, Int?).self) { group in
            for index in 0..<64 {
                group.addTask {
                    let run = try RunID("run-\(index)")
                    return (index, try await runner.start(run, state: [index * 100, 0]).output)
                }
            }
            return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        #expect(outputs == Dictionary(uniqueKeysWithValues: (0..<64).map { ($0, $0 * 100 + 20) }))
        try store.close()
        let reader = try RunReader(path: path)
        #expect(try reader.list().count == 64)
        for index in 0..<64 {
            let run = try RunID("run-\(index)")
            #expect(try reader.verify(run).isValid)
            #expect(try reader.history(run).count == 21)
            #expect(try reader.toolCalls(run).count == 20)
        }
    }
}
