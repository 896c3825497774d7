import Foundation
import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// Rewriting now: what it leaves out, what it leaves alone, and what is gone afterwards.
@Suite(.timeLimit(.minutes(10))) struct CompactionTests {
    private func log(
        _ storage: any Storage, _ semantics: CountingSemantics = CountingSemantics()
    ) -> ArchivedLog {
        var log = ArchivedLog(storage)
        log.options.archiving = ArchivingOptions(semantics)
        log.options.archiving?.merges = false
        return log
    }

    /// A log of some archives and a live segment.
    private func fill(_ storage: SimulatedStorage) throws {
        let log = log(storage)
        let writer = try log.open()
        for part in 0..<3 {
            try log.append((part * 100)..<(part * 100 + 100), to: writer)
            writer.runTimers()
        }
        try log.append(300..<310, to: writer)
        try writer.close()
        #expect(try log.manifest.segments.count { $0.role == .archive } == 3)
    }

    /// Names of the files that hold some bytes, whatever folder they are in.
    private func files(
        with secret: [UInt8], in storage: any Storage, below folder: FilePath = "/a.loom"
    ) throws -> [String] {
        var found: [String] = []
        for name in try storage.list(folder) {
            let path = folder.appending(name)
            do throws(StorageError) {
                let file = try storage.open(path, for: .reading)
                defer { try? file.close() }
                let bytes = try file.readBytes(count: file.size(), at: 0)
                let isThere = Data(bytes).range(of: Data(secret)) != nil
                if isThere { found.append(name) }
            } catch {
                found += try files(with: secret, in: storage, below: path)
            }
        }
        return found
    }

    @Test("of a run that was deleted no file has a byte, whoever reads it")
    func deletes() throws {
        let storage = SimulatedStorage(seed: 1)
        try fill(storage)
        let log = log(storage, CountingSemantics(deleted: ["run 3"]))
        let writer = try log.open()
        // Events of the run in archives and in the live segment, as noise that no codec changes.
        let secrets = [103, 303].map { Array(ArchivedLog.body($0).prefix(40)) }
        for secret in secrets { #expect(try !files(with: secret, in: storage).isEmpty) }
        let pin = try #require(
            ReaderPins(directory: log.directory, storage: storage)
                .pin(try log.manifest.generation))
        let before = try log.manifest.segments.reduce(0) { $0 + $1.validEnd }
        var seen: [CompactionProgress] = []
        let result = try writer.compact(CompactionOrder(removesAtOnce: true)) { seen.append($0) }
        for secret in secrets { #expect(try files(with: secret, in: storage) == []) }
        // Counted twice were files that are archived first and then looked at.
        let kept = try log.manifest.segments.filter { $0.role == .archive }
        #expect(result.bytesAfter == kept.reduce(0) { $0 + $1.validEnd })
        #expect(result.bytesBefore > before && result.bytesBefore < 2 * before)
        #expect(Set(result.removed).count == 4 && result.removed.count == 4)
        let left = try storage.list("/a.loom/seg").map { "seg/\($0)" }
        #expect(Set(left).isDisjoint(with: result.removed))
        #expect(seen.map(\.archivesDone) == [1, 2, 3, 4] && seen.last == result)
        // The three, and what was live, which was archived without the run.
        #expect(result.rewritten == 4 && result.bytesAfter < result.bytesBefore)
        let read = try readAll("/a.loom", storage: storage)
        let events = (0..<310).filter { $0 % 5 != 3 }
        #expect(read.map(\.sequence) == events.map { UInt64($0 + 1) })
        #expect(read.map(\.body) == events.map(ArchivedLog.body))
        let archives = try log.manifest.segments.filter { $0.role == .archive }
        #expect(archives.reduce(0) { $0 + $1.eventCount } == UInt64(events.count))
        pin.release()
        // Nothing is left to be done.
        #expect(try writer.compact().rewritten == 0)
        try log.append(310..<320, to: writer)
        try writer.close()
        let reopened = try log.open()
        #expect(reopened.recovery.ending == .clean)
        try reopened.close()
    }

    @Test("archives of which nothing is left stay in the log, and it goes on")
    func deletesAll() throws {
        let storage = SimulatedStorage(seed: 6)
        try fill(storage)
        let all = Set((0..<5).map { "run \($0)" })
        let log = log(storage, CountingSemantics(deleted: all))
        let writer = try log.open()
        #expect(try writer.compact(CompactionOrder(removesAtOnce: true)).rewritten == 4)
        #expect(try readAll("/a.loom", storage: storage).isEmpty)
        try writer.close()
        let plain = self.log(storage)
        let second = try plain.open()
        try plain.append(310..<320, to: second)
        try second.close()
        let events = try readAll("/a.loom", storage: storage)
        #expect(events.map(\.sequence) == Array(311...320))
    }

    @Test("what is hidden is left out once; a second time nothing is written")
    func blanks() throws {
        let storage = SimulatedStorage(seed: 2)
        try fill(storage)
        let log = log(storage, CountingSemantics(blanked: ["run 1"]))
        let writer = try log.open()
        let before = try readAll("/a.loom", storage: storage)
        let measure = try LogReader(path: "/a.loom", storage: storage).measureCompaction(
            CountingSemantics(blanked: ["run 1"]))
        let result = try writer.compact()
        #expect(result.rewritten == 4)
        let after = try readAll("/a.loom", storage: storage)
        #expect(after.map(\.sequence) == before.map(\.sequence))
        for (old, new) in zip(before, after) {
            let isBlanked = old.run.rawValue.utf8.elementsEqual("run 1".utf8)
            #expect(new.body == (isBlanked ? Array(old.body.prefix(1)) : old.body))
        }
        // The measure of before is that of the three archives, to the byte.
        let archives = try log.manifest.segments.prefix(3)
        #expect(measure.rewritten == 3 && measure.archiveCount == 3)
        #expect(measure.bytesAfter == archives.reduce(0) { $0 + $1.validEnd })
        let run = try #require(measure.runs[RunID("run 1")])
        #expect(measure.runs.count == 1 && run.goneCount == 0)
        #expect(run.eventCount == 60 && run.bytesAfter <= 60 && run.bytesBefore > 60_000)
        #expect(run.changed.values.reduce(0, +) > 55)
        let files = try log.files
        let second = try writer.compact()
        #expect(second.rewritten == 0 && second.bytesBefore == second.bytesAfter)
        #expect(try log.files == files)
        try writer.close()
    }

    @Test("without room for the largest file nothing is begun")
    func refusesWithoutRoom() throws {
        let storage = SimulatedStorage(seed: 3)
        try fill(storage)
        let log = log(storage, CountingSemantics(deleted: ["run 3"]))
        let writer = try log.open()
        storage.capacity = 1 << 30
        let free = try storage.availableBytes(at: "/")
        storage.capacity = (1 << 30) - free + (100 << 10)
        let (files, generation) = (try log.files, try log.manifest.generation)
        #expect {
            try writer.compact()
        } throws: {
            ($0 as? LogError)?.code == .outOfSpace
        }
        #expect(try log.files == files && log.manifest.generation == generation)
        storage.capacity = nil
        #expect(try writer.compact().rewritten == 4)
        try writer.close()
    }

    @Test("who stops it halfway has a log with a part of the work done")
    func stops() throws {
        struct Enough: Error {}
        let storage = SimulatedStorage(seed: 4)
        try fill(storage)
        let log = log(storage, CountingSemantics(deleted: ["run 3"]))
        let writer = try log.open()
        #expect {
            try writer.compact { (progress) throws(LogError) in
                if progress.archivesDone == 2 { throw LogError(.closed, "enough") }
            }
        } throws: {
            ($0 as? LogError)?.code == .closed
        }
        #expect(try writer.compact(CompactionOrder(endsSegment: false)).rewritten == 1)
        try writer.close()
        let left = try readAll("/a.loom", storage: storage)
        #expect(left.count == 248)
    }

    @Test("tables that are damaged, missing or of another version are made anew")
    func reindexes() throws {
        let storage = SimulatedStorage(seed: 5)
        try fill(storage)
        let log = log(storage)
        let archive = try log.manifest.segments[1]
        let path = log.directory.archive(archive.segmentID)
        let reader = try ArchiveReader(
            log.directory.openArchive(archive, storeID: log.manifest.storeID, storage))
        let leaf = reader.directory.leaf(0, of: .runs)
        let file = try storage.open(path, for: .writing)
        let byte = try file.readBytes(count: 1, at: leaf.offset + 70)[0]
        try file.writeBytes([byte ^ 1], at: leaf.offset + 70)
        let writer = try log.open()
        let result = try writer.reindex(onlyDamaged: true)
        #expect(result.rewritten == 1 && result.archivesDone == 3)
        #expect(try writer.reindex(onlyDamaged: true).rewritten == 0)
        #expect(try writer.reindex(onlyDamaged: false).rewritten == 3)
        try writer.close()
        #expect(try log.problem(count: 310) == nil)
        let newer = self.log(storage, CountingSemantics(summaryVersion: 8))
        let second = try newer.open()
        #expect(try second.reindex(onlyDamaged: true).rewritten == 3)
        try second.close()
        #expect(try log.problem(count: 310) == nil)
    }

    @Test("beside a writer that goes on, with threads, nothing is lost", arguments: [true, false])
    func threads(removesAtOnce: Bool) throws {
        let folder = try TemporaryFolder()
        var log = ArchivedLog(POSIXStorage(), path: folder.log)
        log.options.archiving = ArchivingOptions(CountingSemantics(hidden: ["run 2"]))
        log.options.driver = .threads
        let writer = try log.open()
        try log.append(0..<400, to: writer)
        let copy = log
        try WorkerThread.start("appends") {
            for number in 400..<1200 { try? copy.append(number..<(number + 1), to: writer) }
        }
        let reader = try LogReader(path: folder.log)
        var (cursor, read) = (try reader.cursor(), 0)
        while read < 1200 {
            _ = try writer.compact(CompactionOrder(removesAtOnce: removesAtOnce))
            while let unit = try cursor.nextUnit() {
                for event in unit {
                    #expect(event.body == ArchivedLog.body(read))
                    read += 1
                }
            }
        }
        try writer.close()
        #expect(try log.problem(count: 1200) == nil)
    }
}
