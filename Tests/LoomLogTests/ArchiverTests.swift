import Foundation
import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// The archiver of a writer: what it makes, what it removes, and when it keeps others waiting.
@Suite(.timeLimit(.minutes(10))) struct ArchiverTests {
    private func log(_ storage: any Storage, path: FilePath = "/a.loom") -> ArchivedLog {
        var log = ArchivedLog(storage, path: path)
        log.options.archiving = ArchivingOptions(CountingSemantics())
        log.options.archiving?.merges = false
        return log
    }

    @Test("what has ended is archived, its files go, and everything is read as before")
    func archives() throws {
        var log = log(SimulatedStorage(seed: 1))
        log.options.archiving?.waitingBytesMax = .max
        let writer = try log.open()
        try log.append(0..<300, to: writer)
        #expect(try log.waiting > 100_000)
        // Small segments go together.
        writer.runTimers()
        #expect(try log.waiting == 0)
        #expect(try log.manifest.segments.map(\.role) == [.archive, .live])
        let ended = try log.manifest.superseded.map { FileName.segment($0.segmentID) }
        let names = Set(try log.files)
        #expect(ended.count > 3 && names.isDisjoint(with: ended))
        #expect(try log.problem(count: 300) == nil)
        try log.append(300..<400, to: writer)
        writer.runTimers()
        try log.append(400..<410, to: writer)
        try writer.close()
        #expect(try log.manifest.superseded.isEmpty)
        #expect(try log.problem(count: 410) == nil)
        let reopened = try log.open()
        #expect(reopened.recovery.ending == .clean)
        #expect(try reopened.overview().archiveCount == 2)
        try reopened.close()
    }

    @Test("a run goes on in the next archive from what the older ones know of it")
    func past() throws {
        let log = log(SimulatedStorage(seed: 2))
        let writer = try log.open()
        for step in 0..<4 {
            try log.append((step * 100)..<(step * 100 + 100), to: writer)
            writer.runTimers()
        }
        try writer.close()
        let manifest = try log.manifest
        let archives = manifest.segments.filter { $0.role == .archive }
        #expect(archives.count >= 3)
        var counts: [RunID: UInt64] = [:]
        for archive in archives {
            let reader = try ArchiveReader(
                log.directory.openArchive(archive, storeID: manifest.storeID, log.storage))
            for number in 0..<5 {
                let run = try RunID("run \(number)")
                let (row, _) = try #require(try reader.row(of: run))
                #expect(row.countsBefore.steps == counts[run, default: 0])
                counts[run] = CountingSemantics().end(of: row)?.counts.steps
            }
        }
        let archived = try #require(archives.last).endSequence - 1
        #expect(counts.values.reduce(0, +) == archived)
    }

    @Test("a superseded file stays for a reader of an older generation, and for 10 minutes at most")
    func pins() throws {
        let storage = SimulatedStorage(seed: 3)
        let log = log(storage)
        let writer = try log.open()
        try log.append(0..<200, to: writer)
        let pins = ReaderPins(directory: log.directory, storage: storage)
        let old = try log.manifest
        let pin = try #require(pins.pin(old.generation))
        writer.runTimers()
        #expect(try log.manifest.segments[0].role == .archive)
        func isThere() throws -> Bool {
            let names = try log.files
            return old.segments.allSatisfy { names.contains(FileName.segment($0.segmentID)) }
        }
        #expect(try isThere())
        // A reader of the new generation holds nothing.
        let newer = try #require(pins.pin(try log.manifest.generation))
        storage.advanceClock(nanoseconds: 3_000_000_000)
        writer.runTimers()
        #expect(try isThere())
        pin.release()
        storage.advanceClock(nanoseconds: 3_000_000_000)
        writer.runTimers()
        #expect(try !isThere())
        newer.release()

        let left = try log.manifest
        let leaked = try #require(pins.pin(left.generation))
        try log.append(200..<300, to: writer)
        writer.runTimers()
        storage.advanceClock(nanoseconds: 590_000_000_000)
        writer.runTimers()
        #expect(try log.files.contains(FileName.segment(left.segments[1].segmentID)))
        storage.advanceClock(nanoseconds: 11_000_000_000)
        writer.runTimers()
        #expect(try !log.files.contains(FileName.segment(left.segments[1].segmentID)))
        leaked.release()
        #expect(try log.problem(count: 300) == nil)
        try writer.close()
    }

    @Test("an opening leaves what a reader has pinned, and the archiver takes it later")
    func pinnedAtOpening() throws {
        let storage = SimulatedStorage(seed: 4)
        let log = log(storage)
        var writer = try log.open()
        try log.append(0..<200, to: writer)
        let old = try log.manifest
        let pins = ReaderPins(directory: log.directory, storage: storage)
        let pin = try #require(pins.pin(old.generation))
        writer.runTimers()
        try writer.close()
        writer = try log.open()
        #expect(try log.files.contains(FileName.segment(old.segments[0].segmentID)))
        pin.release()
        writer.runTimers()
        #expect(try !log.files.contains(FileName.segment(old.segments[0].segmentID)))
        try writer.close()
        try log.open().close()
        #expect(try log.problem(count: 200) == nil)
    }

    @Test("appends that need a segment wait where much is to be archived, not for what was found")
    func holds() throws {
        var log = log(SimulatedStorage(seed: 5))
        log.options.archiving = nil
        let before = try log.open()
        try log.append(0..<300, to: before)
        try before.close()
        let found = try log.waiting
        log.options.archiving = ArchivingOptions(CountingSemantics())
        log.options.archiving?.waitingBytesMax = 100 << 10
        let writer = try log.open()
        var most = 0
        for number in 300..<600 {
            try log.append(number..<(number + 1), to: writer)
            let waiting = try log.waiting
            // What was found at opening is archived when the first append waits.
            most = max(most, waiting >= found ? waiting - found : waiting)
        }
        #expect(most > 100 << 10 && most < 230 << 10)
        #expect(try log.manifest.segments[0].role == .archive)
        try writer.close()
        #expect(try log.problem(count: 600) == nil)
    }

    @Test("what recovery set aside goes to quarantine before its segment goes")
    func tails() throws {
        let storage = SimulatedStorage(seed: 6)
        let log = log(storage)
        do {
            let writer = try log.open()
            try log.append(0..<30, to: writer)
        }
        // A store that a crash cut, behind the end.
        let last = try #require(try log.manifest.segments.last)
        let overview = try LogReader(path: log.directory.root, storage: storage).overview()
        let torn: [UInt8] = [66, 76, 75, 49, 9, 0, 8, 7, 6]
        let file = try storage.open(log.directory.segment(last.segmentID), for: .writing)
        try file.writeBytes(torn, at: overview.byteCount)
        let writer = try log.open()
        #expect(writer.recovery.discardedBytes == torn.count)
        writer.runTimers()
        #expect(try !log.files.contains(FileName.segment(last.segmentID)))
        let kept = try storage.list(log.directory.quarantine)
        #expect(kept.count == 1)
        let copy = try storage.open(log.directory.quarantine.appending(kept[0]), for: .reading)
        #expect(try copy.readBytes(count: 100, at: 0) == torn)
        #expect(try log.manifest.segments[0].discardedBytes == UInt64(torn.count))
        try writer.close()
        #expect(try log.problem(count: 30) == nil)
    }

    @Test(
        "with threads: readers beside it lose nothing and see nothing twice",
        arguments: [true, false])
    func threads(holds: Bool) throws {
        let folder = try TemporaryFolder()
        var log = log(POSIXStorage(), path: folder.log)
        log.options.driver = .threads
        if holds { log.options.archiving?.waitingBytesMax = 64 << 10 }
        let writer = try log.open()
        let reader = try LogReader(path: folder.log)
        var (cursor, read) = (try reader.cursor(), 0)
        for step in 0..<60 {
            try log.append((step * 20)..<(step * 20 + 20), to: writer)
            while let unit = try cursor.nextUnit() {
                for event in unit {
                    #expect(event.body == ArchivedLog.body(read))
                    read += 1
                }
                if read % 7 == 0 { break }
            }
            if step % 10 == 3 { #expect(try log.problem(count: step * 20 + 20) == nil) }
        }
        while let unit = try cursor.nextUnit() { read += unit.count }
        #expect(read == 1200)
        while try log.waiting > 0 { usleep(10_000) }
        try writer.close()
        #expect(try log.problem(count: 1200) == nil)
        #expect(try log.manifest.segments.count { $0.role == .live } == 1)
        try log.open().close()
    }
}
