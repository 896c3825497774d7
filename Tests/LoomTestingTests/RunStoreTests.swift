import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

@Suite struct RunStoreTests {
    private static func logStore(_ storage: SimulatedStorage) throws -> LogRunStore {
        var options = LogOptions()
        options.driver = .inline
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        return LogRunStore(
            writer: writer, reader: try LogReader(path: "/a.loom", storage: storage))
    }

    @Test("the store in memory keeps every promise")
    func memory() async {
        #expect(await RunStoreConformance { MemoryRunStore() }.run() == [])
    }

    @Test("the log keeps every promise")
    func log() async {
        #expect(await RunStoreConformance { try Self.logStore(SimulatedStorage()) }.run() == [])
    }

    /// Forgets to look at the epoch.
    private struct Careless: RunStore {
        let base = MemoryRunStore()
        func claim(_ run: RunID, holder: String) async throws(RunStoreError) -> RunClaim {
            try await base.claim(run, holder: holder)
        }
        func append(
            _ events: [RunEvent], to run: RunID, epoch: UInt64, position: UInt64, isBarrier: Bool
        ) async throws(RunStoreError) -> AppendAnswer {
            for newer in epoch...(epoch + 1) {
                let answer = try await base.append(
                    events, to: run, epoch: newer, position: position, isBarrier: isBarrier)
                if answer == .ok { return .ok }
            }
            return .fenced
        }
        func read(
            _ run: RunID, from position: UInt64,
            _ body: (RunEvent, RunFold.Place) throws -> Void
        ) async throws { try await base.read(run, from: position, body) }
        func release(_ run: RunID, epoch: UInt64) async { await base.release(run, epoch: epoch) }
    }

    @Test("a store without a fence is found out")
    func careless() async {
        let broken = await RunStoreConformance { Careless() }.run()
        #expect(broken == ["an older epoch is fenced and appends nothing"])
    }

    @Test("a failed disk is the unknown answer, never an acknowledgement")
    func unknown() async throws {
        let storage = SimulatedStorage()
        let store = try Self.logStore(storage)
        let run = try RunID("demo")
        let claim = try await store.claim(run, holder: "a")
        storage.failCalls(of: .syncData, with: .ioError)
        let event = RunEvent(time: EventTime(microseconds: 0), .retried)
        let answer = try await store.append(
            [event], to: run, epoch: claim.epoch, position: 0, isBarrier: true)
        guard case .unknown = answer else { return #expect(Bool(false), "\(answer)") }
    }

    @Test("waiting on the virtual clock takes no time and moves it")
    func clock() async throws {
        let clock = VirtualRunClock(microseconds: 5)
        try await clock.sleep(microseconds: 3_600_000_000)
        #expect(clock.now().microseconds == 3_600_000_005)
    }
}
