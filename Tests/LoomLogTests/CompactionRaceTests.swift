import LoomFormat
import Synchronization
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// A compaction beside a close, and a close in the middle of its own compaction.
@Suite(.timeLimit(.minutes(5))) struct CompactionRaceTests {
    private struct Ends {
        var compaction: LogError.Code??
        /// The newest manifest when the log was closed.
        var closed: UInt64?
    }

    private let storage = SimulatedStorage(seed: 31)
    private let ends = Monitor(Ends())

    /// A log of some ended segments that nobody has archived.
    private func open() throws -> (ArchivedLog, LogWriter) {
        var log = ArchivedLog(storage)
        log.options.archiving = ArchivingOptions(CountingSemantics())
        log.options.archiving?.waitingBytesMax = .max
        log.options.archiving?.liveBytesKept = .max
        let writer = try log.open()
        try log.append(0..<200, to: writer)
        return (log, writer)
    }

    private static func wait(_ isDone: () -> Bool) -> Bool {
        for _ in 0..<3000 {
            if isDone() { return true }
            POSIXStorage().machine.sleep(nanoseconds: 1_000_000)
        }
        return false
    }

    /// Compacts on a thread of its own.
    private func compact(
        _ writer: LogWriter,
        progress: @escaping @Sendable (CompactionProgress) throws(LogError) -> Void = {
            (_) throws(LogError) in
        }
    ) throws {
        let ends = ends
        try WorkerThread.start("compacts") {
            var code: LogError.Code?
            do throws(LogError) {
                _ = try writer.compact(CompactionOrder(endsSegment: false), progress: progress)
            } catch {
                code = error.code
            }
            ends.withLock { $0.compaction = .some(code) }
        }
    }

    /// It was not told that the log had been closed while it waited for the archiver, and wrote
    /// manifests of a log whose lock had been given up.
    @Test("a compaction that waits for the archiver while the log is closed does nothing")
    func closedWhileWaiting() throws {
        let (log, writer) = try open()
        let (monitor, ends) = (writer.core.monitor, ends)
        monitor.withLock { $0.archiving.isWorking = true }
        // An archive is synced when the log is closed.
        storage.whileSyncing { call in
            guard call.path.lastComponent?.string.hasSuffix(".lla") == true else { return }
            _ = Self.wait { ends.withLock { $0.closed != nil } }
        }
        try compact(writer)
        #expect(Self.wait { monitor.withLock { $0.archiving.isReserved } })
        try WorkerThread.start("closes") {
            try? writer.close()
            let generation = (try? log.manifest.generation) ?? 0
            ends.withLock { $0.closed = generation }
        }
        #expect(Self.wait { monitor.withLock { $0.archiving.stopsAt != nil } })
        monitor.withLock { $0.archiving.isWorking = false }
        monitor.notifyAll()
        #expect(Self.wait { ends.withLock { $0.compaction != nil && $0.closed != nil } })
        let (code, generation) = ends.withLock { ($0.compaction, $0.closed) }
        #expect(code == .some(.closed))
        #expect(try log.manifest.generation == generation)
        #expect(try log.problem(count: 200) == nil)
    }

    /// It waited for the compaction, which waited for it.
    @Test("whoever is told of a compaction may close the log, and is refused another")
    func closesInReport() throws {
        let (log, writer) = try open()
        let refused = Monitor<LogError.Code?>(nil)
        try compact(writer) { [weak writer] (_) throws(LogError) in
            do throws(LogError) {
                _ = try writer?.compact()
            } catch {
                refused.withLock { $0 = error.code }
            }
            try writer?.close()
        }
        #expect(Self.wait { ends.withLock { $0.compaction != nil } })
        #expect(ends.withLock { $0.compaction } == .some(.closed))
        #expect(refused.withLock { $0 } == .limitExceeded)
        let reopened = try log.open()
        #expect(reopened.recovery.ending == .clean)
        _ = try reopened.compact()
        try reopened.close()
        #expect(try log.problem(count: 200) == nil)
    }
}
