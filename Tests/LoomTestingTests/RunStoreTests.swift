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
        return try LogRunStore(path: "/a.loom", options: options, storage: storage)
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
    private struct Careless: RunStoreWrapper {
        let base: any RunStore = MemoryRunStore()
        func append(
            _ unit: RecordUnit, outline: () -> RunOutline
        ) throws(RunStoreError) -> Appending {
            var unit = unit
            let appending = try base.append(unit, outline: outline)
            if case .answered(.ok) = appending { return appending }
            unit.epoch += 1
            return try base.append(unit, outline: outline)
        }
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
        var unit = RecordUnit(run: run, epoch: claim.epoch, position: 0, isBarrier: true)
        unit.append(event.encoded())
        let answer = try await store.commit(unit)
        guard case .unknown = answer else { return #expect(Bool(false), "\(answer)") }
    }

    @Test("waiting on the virtual clock takes no time and moves it")
    func clock() async throws {
        let clock = VirtualRunClock(microseconds: 5)
        try await clock.sleep(microseconds: 3_600_000_000)
        #expect(clock.now().microseconds == 3_600_000_005)
    }
}
