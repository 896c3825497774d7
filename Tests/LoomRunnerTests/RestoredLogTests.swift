import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRuns
import LoomStorage
import Synchronization
import SystemPackage
import Testing

@testable import LoomRunner

/// What becomes of the runs of a log that is restored from a backup.
@Suite struct RestoredLogTests {
    let folder: FilePath

    init() throws {
        folder = FilePath(NSTemporaryDirectory()).appending("restored-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            atPath: folder.string, withIntermediateDirectories: true)
    }

    @Test("runs that were driven are paused as restored, once, and go on when they are resumed")
    func pauses() async throws {
        let (log, backup) = (folder.appending("a.loom"), folder.appending("b.loom"))
        let store = try LogRunStore(path: log)
        let time = Mutex<UInt64>(0)
        let step: @Sendable (Int, StepContext) async throws -> Outcome<Int, Int> = { state, _ in
            if state == 3, time.withLock({ $0 }) == 0 {
                var made = try LogBackup(of: log, to: backup)
                let round = try made.run()
                time.withLock { $0 = round.time }
            }
            return state == 6 ? .complete(state) : .continue(state + 1)
        }
        let runner = Runner("count", store: store, step: step)
        let (driven, resting) = (try RunID("driven"), try RunID("resting"))
        _ = try await runner.start(resting, state: 0, stepsMax: 2)
        _ = try await runner.start(driven, state: 0)
        #expect(try RunReader(log: store.reader).get(driven).summary.status == .completed)
        #expect(store.restoredRuns.isEmpty)
        try store.close()

        // What the backup says as it is: nobody has it, and it was running.
        #expect(try RunReader(path: backup).get(driven).summary.status == .running)
        let restored = try LogRunStore(path: backup)
        #expect(restored.restoredRuns == [driven])
        let reason = PauseReason.restored(
            from: EventTime(microseconds: time.withLock { $0 }))
        let reader = RunReader(log: restored.reader)
        #expect(try reader.get(driven).summary.pauseReason == reason)
        #expect(try reader.get(driven).summary.stepIndex == 3)
        #expect(try reader.get(resting).summary.pauseReason == .budget)
        #expect(try reader.verify(driven).isValid)
        try restored.close()
        let again = try LogRunStore(path: backup)
        #expect(again.restoredRuns.isEmpty)
        let result = try await Runner("count", store: again, step: step).resume(driven)
        #expect(result.status == .completed && result.output == 6)
        try again.close()
    }
}
