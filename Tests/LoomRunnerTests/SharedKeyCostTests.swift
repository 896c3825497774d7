import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import LoomTesting
import Synchronization
import Testing

/// What a call with a key of the whole store reads.
@Suite struct SharedKeyCostTests {
    var options: RunnerOptions { .testing }

    private func bytesRead(_ machine: Simulation) -> Int {
        machine.storage.calls.filter { $0.kind == .read }.reduce(0) { $0 + ($1.count ?? 0) }
    }

    /// Appends so many steps of another run.
    private func fill(_ store: LogRunStore, _ name: String, steps: Int) async throws {
        let counter = Runner("count", store: store, options: options) {
            (number: Int, _: StepContext) async throws -> Outcome<Int, Int> in
            number < steps ? .continue(number + 1) : .complete(number)
        }
        _ = try await counter.start(RunID(name), state: 0)
    }

    /// One call under the key, of a run of its own; returns the bytes that it read.
    private func call(
        _ store: LogRunStore, _ machine: Simulation, _ name: String, key: String = "order-7"
    ) async throws -> Int {
        let pay = Tool<String, String>("pay", safety: .once) { order, _ in "\(order) paid" }
        let runner = Runner("pay", store: store, options: options) {
            (_: Int, context: StepContext) async throws -> Outcome<Int, String> in
            .complete(try await context.call(pay, "7", key: key, scope: .store))
        }
        let before = bytesRead(machine)
        #expect(try await runner.start(RunID(name), state: 0).output == "7 paid")
        return bytesRead(machine) - before
    }

    /// Each call read the log from its start: 210 ms beside 800,000 events.
    @Test("a call with a key of the store reads what its keeper holds, and once what came since")
    func costOfTheKeeper() async throws {
        let machine = Simulation()
        let store = try machine.open()
        _ = try await call(store, machine, "first")
        let small = try await call(store, machine, "second")
        try await fill(store, "long", steps: 20_000)
        // What was appended since the last look is read back once: 100 bytes a step, 2 MB.
        #expect(try await call(store, machine, "look") < 5 << 20)
        let known = try await call(store, machine, "third")
        let new = try await call(store, machine, "fourth", key: "order-8")
        #expect(known <= small + 8192, "\(small) bytes in a small log, \(known) in a large one")
        #expect(new <= small + 8192, "\(new) bytes for a new key")
        try store.close()

        // What another process left is found by the one scan of the first claim.
        let reopened = try machine.open()
        _ = try await call(reopened, machine, "fifth")
        let later = try await call(reopened, machine, "sixth")
        let other = try await call(reopened, machine, "seventh", key: "order-8")
        #expect(later <= small + 8192 && other <= small + 8192, "\(later), \(other)")
        let reader = try machine.reader()
        for view in try reader.list() { #expect(try reader.verify(view.run).isValid) }
        try reopened.close()
    }
}

extension SharedKeyCostTests {
    /// The places are a help, not a truth: what cannot be read by them is found by a scan.
    @Test("a keeper whose results are large, or that was used often, is read whole")
    func manyUnits() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        // More than one block holds.
        let large = String(repeating: "large ", count: 720_000)
        let tries = Mutex(0)
        let fetch = Tool<String, String>("fetch", safety: .idempotent) { _, _ in
            let count = tries.withLock { count in
                count += 1
                return count
            }
            if count < 12 { throw StepFailure("busy", category: .transient) }
            return large
        }
        var options = options
        options.retry.attemptsMax = 100
        let runner = Runner("fetch", store: store, options: options) {
            (_: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            .complete(try await context.call(fetch, "/", key: "page", scope: .store).utf8.count)
        }
        for name in ["a", "b"] {
            #expect(try await runner.start(RunID(name), state: 0).output == large.utf8.count)
        }
        try store.close()
        let reopened = try log.open()
        let later = Runner(runner.loop, store: reopened, options: options)
        #expect(try await later.start(RunID("c"), state: 0).output == large.utf8.count)
        #expect(tries.withLock { $0 } == 12)
        try reopened.close()
    }
}

extension SharedKeyCostTests {
    /// What a place does not give, a scan does: a place is never taken at its word.
    @Test("a place that is no unit of the run gives no events")
    func wrongPlaces() async throws {
        let machine = Simulation()
        let store = try machine.open()
        try await fill(store, "demo", steps: 20)
        let reader = try LogReader(path: Simulation.path, storage: machine.storage)
        var places: [LogPlace] = []
        var count = 0
        try reader.scan { event in
            count += 1
            let place = LogPlace(segmentID: event.segmentID, offset: event.offset)
            if places.last != place { places.append(place) }
        }
        let run = try RunID("demo")
        #expect(try reader.events(of: run, at: places)?.count == count)
        // The first unit declares the run: it is known to be no other one's.
        #expect(try reader.events(of: RunID("other"), at: places) == nil)
        for offset in [0, 8, 128 + 8, 1 << 16, 1 << 29] {
            let wrong = LogPlace(segmentID: places[0].segmentID, offset: offset)
            #expect(try reader.events(of: run, at: [wrong]) == nil, "\(offset)")
        }
        // A segment that is not there was archived, or is missing: a scan tells.
        let gone = LogPlace(segmentID: 99, offset: 128)
        #expect(try reader.events(of: run, at: [gone]) == nil)
        try store.close()
    }
}
