import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import SystemPackage
import Testing

/// Who holds a run, as the store that holds it says while the run goes on.
@Suite struct HeldRowTests {
    /// The rows were read, then the holder was asked for: by then it had ended the run and let go.
    @Test("a run that ends while its store's rows are fetched is not called interrupted")
    func endsMeanwhile() async throws {
        var options = LogOptions()
        options.driver = .inline
        let store = try LogRunStore(
            path: "/runs.loom", options: options, storage: SimulatedStorage())
        let run = try RunID("r")
        func commit(_ contents: [RunEvent.Content], at position: UInt64, epoch: UInt64) async throws
        {
            var unit = RecordUnit(run: run, epoch: epoch, position: position)
            for content in contents {
                unit.append(RunEvent(time: EventTime(microseconds: 1), content).encoded())
            }
            #expect(try await store.commit(unit, outline: { RunOutline() }) == .ok)
        }
        let claim = try await store.claim(run, holder: "h")
        let creation = RunCreation(loop: "raw", state: [0x30])
        try await commit([.created(creation), .resumed(holder: "h")], at: 0, epoch: claim.epoch)
        try await commit([.cancelled(reason: "x")], at: 2, epoch: claim.epoch)
        await store.release(run, epoch: claim.epoch)
        let row = try store.row(of: run)
        #expect(row?.isAbandoned == false)
        #expect(row?.holder == nil)
    }

    @Test("a run that says running and that nobody holds is abandoned, whoever has the log")
    func abandoned() async throws {
        var options = LogOptions()
        options.driver = .inline
        let store = try LogRunStore(
            path: "/runs.loom", options: options, storage: SimulatedStorage())
        let run = try RunID("r")
        let claim = try await store.claim(run, holder: "h")
        var unit = RecordUnit(run: run, epoch: claim.epoch, position: 0)
        for content in [
            .created(RunCreation(loop: "raw", state: [0x30])), .resumed(holder: "h"),
        ] as [RunEvent.Content] {
            unit.append(RunEvent(time: EventTime(microseconds: 1), content).encoded())
        }
        _ = try await store.commit(unit, outline: { RunOutline() })
        #expect(try store.row(of: run)?.holder == "h")
        await store.release(run, epoch: claim.epoch)
        #expect(try store.row(of: run)?.isAbandoned == true)
        // Claimed again and not yet written: it is held.
        _ = try await store.claim(run, holder: "i")
        #expect(try store.row(of: run)?.holder == "i")
    }
}
