import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomTesting
import SystemPackage
import Testing

/// A runner before what a later version of loomlog wrote: it refuses, and calls nothing damaged.
@Suite struct NewerStoreTests {
    private let run: RunID

    init() throws { run = try RunID("demo") }

    private func runner(_ store: any RunStore) -> Runner<ClosureLoop<Int, Int>> {
        Runner("l", store: store, options: .testing) {
            (state: Int, _) async throws -> Outcome<Int, Int> in .continue(state + 1)
        }
    }

    private func expectNewer(at position: UInt64, _ body: () async throws -> Void) async {
        let error = await #expect(throws: RunnerError.self) { try await body() }
        guard case .newerVersion(let named, let found)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(named == run && found == position)
    }

    /// It was called damaged.
    @Test(
        "a run with a value of a later version is not driven and not changed",
        arguments: [[10, 1, 99], [16, 1, 99], [99, 1]] as [[UInt8]])
    func value(event: [UInt8]) async throws {
        let store = MemoryRunStore()
        _ = try await runner(store).start(run, state: 0, stepsMax: 1)
        let claim = try await store.claim(run, holder: "a later version")
        var unit = RecordUnit(run: run, epoch: claim.epoch, position: claim.position)
        unit.append(event)
        #expect(try await store.commit(unit) == .ok)
        await store.release(run, epoch: claim.epoch)
        let control = RunControl(store: store)
        await expectNewer(at: claim.position) {
            _ = try await runner(store).resume(run, stepsMax: 1)
        }
        await expectNewer(at: claim.position) { try await control.cancel(run) }
        await expectNewer(at: claim.position) {
            try await control.label(run, [Label(name: "a", value: "b")])
        }
        let after = try await store.claim(run, holder: "a look")
        #expect(after.position == claim.position + 1)
    }

    /// It was a store that cannot be used now: check the disk, resume.
    @Test("a log of a later version is told from one that cannot be used now")
    func log() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        // Behind the writer's back, before it has read anything: it judged the end alone.
        let segments = log.path.appending("seg").string
        let name = try #require(try FileManager.default.contentsOfDirectory(atPath: segments).first)
        let file = try FileHandle(forUpdating: URL(filePath: "\(segments)/\(name)"))
        try file.seek(toOffset: 8)
        try file.write(contentsOf: Data([9]))
        let refused = await #expect(throws: RunStoreError.self) {
            try await store.claim(run, holder: "a")
        }
        guard case .unsupported(let reason)? = refused else {
            Issue.record("\(String(describing: refused))")
            return
        }
        #expect(reason.contains("version 9"), "\(reason)")
        let error = await #expect(throws: RunnerError.self) {
            try await runner(store).start(run, state: 0)
        }
        #expect(error?.description == reason)
        #expect(error?.hint.contains("the version of loomlog that wrote it") == true)
        // As it was, so that the writer finds its own segment when it closes.
        try file.seek(toOffset: 8)
        try file.write(contentsOf: Data([0]))
        try store.close()
    }
}
