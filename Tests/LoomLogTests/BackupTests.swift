import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// Backups of logs that are written, rolled and archived meanwhile, on simulated files.
@Suite(.timeLimit(.minutes(10))) struct BackupTests {
    private func work(_ seed: UInt64 = 1) -> BackupWork {
        BackupWork(SimulatedStorage(seed: seed), seed: seed)
    }

    @Test("a backup has the events of the log, links what never changes, and says what it is")
    func whole() throws {
        var work = work()
        try work.append(300)
        try work.archive()
        let round = try work.backUp()
        let segments = try work.log.manifest.segments
        #expect(round.isNew && round.linkedFileCount == segments.count - 1)
        #expect(round.copiedFileCount == 0 && round.copiedByteCount > 0)
        #expect(round.position.nextSequence == 301)
        #expect(try work.problem(count: 300, in: work.log.storage) == nil)
        let overview = try LogReader(path: work.target, storage: work.log.storage).overview()
        #expect(overview.copyTime == round.time && overview.endRule == .copied)
        #expect(overview.archiveCount == 1)
        let names = try work.log.storage.list(work.target)
        #expect(Set(names).subtracting(["seg"]).allSatisfy { $0.hasPrefix("MANIFEST-") })
        // A directory of another device, or none of whose files can be linked.
        var copying = try LogBackup(
            of: work.log.directory.root, to: "/c.loom", linksFiles: false,
            storage: work.log.storage)
        let copied = try copying.run()
        #expect(copied.linkedFileCount == 0 && copied.copiedFileCount == segments.count - 1)
        #expect(try work.problem(count: 300, in: work.log.storage, at: "/c.loom") == nil)
    }

    @Test("the writer of a restored log begins a new segment; the time stays, the mark goes")
    func restored() throws {
        var work = work(2)
        try work.append(120)
        try work.writer?.close()
        let round = try work.backUp()
        try copyLog(work.target, to: "/r.loom", in: work.log.storage)
        let restored = ArchivedLog(work.log.storage, path: "/r.loom")
        let before = try restored.manifest
        let writer = try restored.open()
        #expect(writer.recovery.ending == .copied)
        #expect(writer.unsettledCopy == round.time)
        #expect(try restored.manifest.segments.count == before.segments.count + 1)
        #expect(try restored.manifest.writerEpoch > before.writerEpoch)
        #expect(try restored.manifest.storeID == work.log.manifest.storeID)
        try restored.append(120..<130, to: writer)
        try writer.settleCopy()
        #expect(writer.unsettledCopy == nil)
        try writer.close()
        let again = try restored.open()
        #expect(again.recovery.ending == .clean && again.unsettledCopy == nil)
        try again.close()
        #expect(try restored.problem(count: 130) == nil)
        let overview = try LogReader(path: "/r.loom", storage: work.log.storage).overview()
        #expect(overview.copyTime == round.time)
        #expect(overview.recoveries.last?.isCopy == true)
        // It is no backup any more, and the original has not what it has.
        for target: FilePath in ["/r.loom", "/a.loom"] {
            var onto = try LogBackup(of: "/a.loom", to: target, storage: work.log.storage)
            #expect(throws: LogError.self) { try onto.run() }
        }
        #expect(try restored.problem(count: 130) == nil)
    }

    @Test("a backup of a backup that is not restored keeps its time")
    func twice() throws {
        var work = work(3)
        try work.append(50)
        let first = try work.backUp()
        (work.log.storage as? SimulatedStorage)?.advanceClock(nanoseconds: 5_000_000_000)
        var second = try LogBackup(of: work.target, to: "/c.loom", storage: work.log.storage)
        #expect(try second.run().position.nextSequence == 51)
        let overview = try LogReader(path: "/c.loom", storage: work.log.storage).overview()
        #expect(overview.copyTime == first.time)
    }

    @Test("rounds of a backup follow a log through any life, and every one is whole")
    func rounds() throws {
        for seed in 1...(CrashTests.isHeavy ? 400 : 5) as ClosedRange<UInt64> {
            var work = work(seed)
            try work.append(20)
            var backup = try work.backup(links: seed % 3 > 0)
            for _ in 0..<25 {
                try work.act()
                guard work.upTo(2) == 0 else { continue }
                if work.upTo(4) == 0 { backup = try work.backup() }
                let round = try backup.run()
                #expect(round.position.nextSequence == UInt64(work.count + 1), "seed \(seed)")
                let problem = try work.problem(count: work.count, in: work.log.storage)
                #expect(problem == nil, "seed \(seed)")
                #expect(try backup.run().changedNothing, "seed \(seed)")
            }
            _ = try backup.run()
            work.writer = nil
            try copyLog(work.target, to: "/r.loom", in: work.log.storage)
            let restored = ArchivedLog(work.log.storage, path: "/r.loom")
            let writer = try restored.open()
            try restored.append(work.count..<(work.count + 30), to: writer)
            try writer.close()
            #expect(try restored.problem(count: work.count + 30) == nil, "seed \(seed)")
        }
    }

    @Test("a backup that is ahead of the log, or of another log, is left as it is")
    func otherHistory() throws {
        var work = work(5)
        let storage = work.log.storage
        try work.append(40)
        _ = try work.backUp()
        try copyLog(work.target, to: "/old.loom", in: storage)
        try work.append(200)
        _ = try work.backUp()
        let old = ArchivedLog(storage, path: "/old.loom")
        // The old copy alone, then with a writer of its own.
        var behind = try LogBackup(of: "/old.loom", to: work.target, storage: storage)
        let refusal = #expect(throws: LogError.self) { try behind.run() }
        #expect(refusal?.code == .notALog)
        let writer = try old.open()
        try old.append(40..<90, to: writer)
        try writer.close()
        behind = try LogBackup(of: "/old.loom", to: work.target, storage: storage)
        #expect(throws: LogError.self) { try behind.run() }
        #expect(try work.problem(count: 240, in: storage) == nil)
        let other = ArchivedLog(storage, path: "/other.loom")
        try other.open().close()
        var strange = try LogBackup(of: "/other.loom", to: work.target, storage: storage)
        #expect(throws: LogError.self) { try strange.run() }
        try storage.createDirectory("/empty")
        var empty = try LogBackup(of: "/a.loom", to: "/empty", storage: storage)
        #expect(throws: LogError.self) { try empty.run() }
        #expect(try storage.list("/empty").isEmpty)
        #expect(try work.problem(count: 240, in: storage) == nil)
    }

    @Test("what a failed sync took back from the log stays in the backup until the log goes on")
    func lostTail() throws {
        let storage = SimulatedStorage(seed: 6)
        var work = BackupWork(storage, seed: 6)
        try work.append(20)
        try work.writer?.close()
        work.writer = nil
        try work.append(3)
        _ = try work.backUp()
        // Power is lost before what was appended last was synced; the backup was.
        let image = storage.powerLossImage(.nothingPending)
        var after = BackupWork(image, seed: 6)
        #expect(try readAll("/a.loom", storage: image).count == 20)
        #expect(try after.backUp().position.nextSequence == 24)
        after.count = 20
        // Other events than those that were lost.
        let other = try after.log.open()
        try other.append(.numbered(1_000))
        try other.append(.numbered(1_001, size: 900))
        let refusal = #expect(throws: LogError.self) { try after.backUp() }
        #expect(refusal?.code == .notALog)
        #expect(try after.problem(count: 23, in: image) == nil)
        for number in 0..<40 { try other.append(.numbered(number, run: "x", size: 900)) }
        #expect(throws: LogError.self) { try after.backUp() }
        #expect(try after.problem(count: 23, in: image) == nil)
    }
}
