import LoomFormat
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import LoomTesting
import Synchronization
import SystemPackage
import Testing

@testable import LoomLog

@Suite struct RunSourceTests {
    private static func logStore() throws -> LogRunStore {
        var options = LogOptions()
        options.driver = .inline
        options.firstSegmentBytes = 40 << 10
        options.segmentBytesMax = 40 << 10
        return try LogRunStore(path: "/a.loom", options: options, storage: SimulatedStorage())
    }

    @Test("the store in memory keeps every promise of a source")
    func memory() async {
        #expect(await RunSourceConformance { MemoryRunStore() }.run() == [])
    }

    @Test("the log keeps every promise of a source, to whoever has it and to others")
    func log() async {
        #expect(await RunSourceConformance { try Self.logStore() }.run() == [])
        let others = RunSourceConformance(
            reopen: { store in
                guard let store = store as? LogRunStore else { throw RunStoreError.corrupt("") }
                return LogRunSource(store.reader)
            }, { try Self.logStore() })
        #expect(await others.run() == [])
    }

    /// Ends a segment, and archives it, after every few commits.
    private final class Archiving: RunStoreWrapper {
        let log: LogRunStore
        private let count = Mutex(0)
        var base: any RunStore { log }

        init() throws { log = try RunSourceTests.logStore() }

        func append(
            _ unit: RecordUnit, outline: () -> RunOutline
        ) throws(RunStoreError) -> Appending {
            let appending = try log.append(unit, outline: outline)
            let isDue = count.withLock { count in
                count += 1
                return count % 3 == 0
            }
            if isDue {
                log.log.core.monitor.withLock { $0.isRolling = true }
                log.log.runTimers()
            }
            return appending
        }
    }

    @Test("the log keeps them while everything is archived and merged at once")
    func archiving() async {
        #expect(await RunSourceConformance { try Archiving() }.run() == [])
        let others = RunSourceConformance(
            reopen: { store in
                guard let store = store as? Archiving else { throw RunStoreError.corrupt("") }
                return LogRunSource(store.log.reader)
            }, { try Archiving() })
        #expect(await others.run() == [])
    }

    /// Shows one event less than there are.
    private struct Late: RunStoreWrapper {
        let base: any RunStore = MemoryRunStore()
        func events(_ parts: [RunPart]) throws -> any RunEventCursor {
            try base.events(
                parts.map { RunPart($0.run, from: $0.positions.lowerBound + 1, before: .max) })
        }
    }

    /// Never says who holds a run.
    private struct Silent: RunStoreWrapper {
        let base: any RunStore = MemoryRunStore()
        func row(of run: RunID) throws -> RunRow? {
            try base.row(of: run).map { RunRow(run: $0.run, outline: $0.outline) }
        }
    }

    @Test("a source that leaves events out, or says of nobody that he holds a run, is found out")
    func careless() async {
        let late = await RunSourceConformance { Late() }.run()
        #expect(late.contains { $0.hasPrefix("events of a part come whole") })
        let silent = await RunSourceConformance { Silent() }.run()
        #expect(silent.map { $0.hasPrefix("a row says who holds its run") } == [true])
    }

    @Test("every read answers alike over a log and over a store in memory")
    func readsAlike() async throws {
        let (log, memory) = (try Self.logStore(), MemoryRunStore())
        var readers: [RunReader] = []
        for store in [log, memory] as [any RunStore] {
            _ = await RunSourceConformance { store }.run()
            readers.append(RunReader(source: store))
        }
        let (a, b) = (readers[0], readers[1])
        let runs = try a.list().map(\.run)
        #expect(runs.count > 5)
        #expect(try runs == b.list().map(\.run))
        for run in runs {
            #expect(try a.history(run) == b.history(run))
            #expect(try a.attempts(run) == b.attempts(run))
            #expect(try a.toolCalls(run) == b.toolCalls(run))
            #expect(try a.stats(run) == b.stats(run))
            let (first, second) = (try a.explain(run), try b.explain(run))
            #expect(first.notes == second.notes && first.stats == second.stats)
            #expect(first.unfinishedCalls == second.unfinishedCalls)
            // All but the words of the holder, who is another.
            #expect(first.view.state == second.view.state)
            #expect(try a.get(run).status == b.get(run).status)
            #expect(try a.state(run, at: 0) == b.state(run, at: 0))
        }
    }

    /// Asks for the outline that it is offered, and compares it with what it holds.
    private final class Asking: RunStoreWrapper {
        let base: any RunStore = MemoryRunStore()
        let seen = Mutex((equal: 0, other: 0))

        func append(
            _ unit: RecordUnit, outline: () -> RunOutline
        ) throws(RunStoreError) -> Appending {
            let offered = outline()
            let appending = try base.append(unit, outline: outline)
            let isEqual = (try? base.row(of: unit.run)?.outline) == offered
            seen.withLock { $0 = isEqual ? ($0.equal + 1, $0.other) : ($0.equal, $0.other + 1) }
            return appending
        }
    }

    private struct Adding: StepLoop {
        let name = "adding"

        func step(_ state: Int, _ context: StepContext) async throws -> Outcome<Int, Int> {
            let add = Tool<Int, Int>("add", safety: .once) { number, _ in number + 1 }
            let next = try await context.call(add, state)
            return next < 40 ? .continue(next) : .complete(next)
        }
    }

    @Test("the outline that a runner offers beside a unit is the fold of all events")
    func offered() async throws {
        let store = Asking()
        let runner = Runner(Adding(), store: store)
        _ = try await runner.start(RunID("demo"), state: 0, stepsMax: 15)
        _ = try await runner.resume(RunID("demo"))
        let seen = store.seen.withLock { $0 }
        #expect(seen.equal > 80 && seen.other == 0)
    }
}
