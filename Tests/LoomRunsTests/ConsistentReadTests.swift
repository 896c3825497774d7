import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import Synchronization
import SystemPackage
import Testing

/// A storage that lets something happen just before a reader asks who has the log.
private struct WatchedStorage: StorageForwarding {
    let base: any Storage
    let beforeLockHolder: @Sendable () -> Void

    func lockHolder(_ path: FilePath) throws(StorageError) -> String? {
        beforeLockHolder()
        return try base.lockHolder(path)
    }
}

/// Reads of a log that changes while they look.
@Suite struct ConsistentReadTests {
    private let storage = SimulatedStorage()

    private func open() throws -> LogRunStore {
        var options = LogOptions()
        options.driver = .inline
        return try LogRunStore(path: "/runs.loom", options: options, storage: storage)
    }

    /// Its writer finished and went between the pass over the log and the look at the lock: the
    /// reader said `interrupted` of a run that had completed.
    @Test("a run that ends while a reader looks is not called interrupted")
    func endsMeanwhile() async throws {
        for isList in [false, true] {
            let store = try open()
            let name = isList ? "b" : "a"
            var raw = try await RawRun(name, in: store, state: Array("1".utf8))
            let attempt = AttemptID(step: 0, attempt: 0)
            try await raw.write([.attemptStarted(attempt)])
            // The rest of the run, prepared: the reader's own thread writes it.
            var unit = RecordUnit(run: raw.run, epoch: 1, position: 3)
            let end = RunEvent.Content.runCompleted(attempt, result: Array("2".utf8))
            unit.append(RunEvent(time: EventTime(microseconds: 9), end).encoded())
            let last = unit
            let isDone = Mutex(false)
            let watched = WatchedStorage(base: storage) {
                let isFirst = isDone.withLock { isDone in
                    defer { isDone = true }
                    return !isDone
                }
                guard isFirst else { return }
                _ = try? store.append(last) { RunOutline() }
                try? store.close()
            }
            let reader = try RunReader(path: "/runs.loom", storage: watched)
            var filter = RunFilter()
            filter.prefix = name
            let view = try isList ? reader.list(filter)[0] : reader.get(raw.run)
            #expect(view.status == "completed")
            #expect(view.result == Array("2".utf8))
        }
    }
}
