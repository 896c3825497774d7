import Foundation
import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// Logs whose manifests list archives: opened, appended to, read, and read on while they change.
@Suite(.timeLimit(.minutes(10))) struct ArchivedLogTests {
    /// A closed log of 300 events in several segments.
    private func closed(_ seed: UInt64 = 1) throws -> ArchivedLog {
        let log = ArchivedLog(SimulatedStorage(seed: seed))
        let writer = try log.open()
        try log.append(0..<300, to: writer)
        try writer.close()
        return log
    }

    @Test("a log with archives is read in order of sequence, opened, appended to and rolled")
    func life() throws {
        let log = try closed()
        #expect(try log.manifest.segments.count > 5)
        try log.archive(0..<3)
        #expect(try log.problem(count: 300) == nil)
        try log.archive(1..<3)
        #expect(try log.problem(count: 300) == nil)
        // The predecessor of the first live segment is no longer listed.
        let writer = try log.open()
        #expect(writer.recovery.ending == .clean)
        try log.append(300..<450, to: writer)
        try writer.close()
        #expect(try log.problem(count: 450) == nil)
        let manifest = try log.manifest
        #expect(manifest.segments.prefix(3).map(\.role) == [.archive, .archive, .live])
        let overview = try LogReader(path: log.directory.root, storage: log.storage).overview()
        #expect(overview.archiveCount == 2 && overview.segmentCount == manifest.segments.count)
        #expect(overview.position.nextSequence == 451)
    }

    @Test("everything but the last segment may be archived, and an unclean end recovered behind it")
    func recovery() throws {
        let log = try closed()
        try log.archive(0..<(log.manifest.segments.count - 1))
        do {
            let writer = try log.open()
            try log.append(300..<310, to: writer)
            // Goes away without closing.
        }
        let writer = try log.open()
        #expect(writer.recovery.ending == .tornProven)
        try log.append(310..<320, to: writer)
        try writer.close()
        #expect(try log.problem(count: 320) == nil)
        let recovered = try log.manifest.segments.count - 2
        let entry = try log.archive(1..<(recovered + 1))
        #expect(entry.ending == .tornProven)
        let overview = try LogReader(path: log.directory.root, storage: log.storage).overview()
        let recovery = try #require(overview.recoveries.first)
        #expect(recovery.offset == nil && recovery.isProven == true)
        #expect(recovery.position.nextSequence == 311)
    }

    @Test("opening removes superseded files and unlisted archives, and the rows of what is gone")
    func opening() throws {
        let log = try closed()
        let first = try log.manifest.segments.prefix(3).map(\.segmentID)
        try log.archive(0..<3)
        #expect(try log.manifest.superseded.map(\.segmentID) == first)
        let stray = log.directory.archive(4000)
        try log.storage.create(stray).close()
        let generation = try log.manifest.generation
        try log.open().close()
        for id in first {
            #expect(try !log.files.contains(FileName.segment(id)))
        }
        #expect(try !log.files.contains(FileName.archive(4000)))
        // A manifest of this writer's own came first: the one that it found may not be durable.
        #expect(try log.manifest.generation > generation)
        // The next edit drops the rows.
        let writer = try log.open()
        try log.append(300..<400, to: writer)
        try writer.close()
        #expect(try log.manifest.superseded.isEmpty)
        #expect(try log.problem(count: 400) == nil)
    }

    @Test("an archive that is missing, cut or another one stops the opening; nothing is removed")
    func damagedEnds() throws {
        let log = try closed()
        let entry = try log.archive(0..<3)
        let path = log.directory.archive(entry.segmentID)
        let file = try log.storage.open(path, for: .writing)
        let bytes = try file.readBytes(count: Int(entry.validEnd), at: 0)
        var names = try log.files
        for offset in [30, 72] {
            try file.writeBytes([bytes[offset] ^ 1], at: offset)
            let error = #expect(throws: LogError.self) { try log.open() }
            #expect(error?.code == .corrupt && error?.path == path)
            #expect(try log.files == names)
            try file.writeBytes([bytes[offset]], at: offset)
        }
        // A seal is as derived as a table: whoever appends is not kept from the log.
        for offset in [Int(entry.validEnd) - 1, Int(entry.validEnd) - 100] {
            try file.writeBytes([bytes[offset] ^ 1], at: offset)
            try log.open().close()
            try file.writeBytes([bytes[offset]], at: offset)
        }
        names = try log.files
        try file.truncate(to: bytes.count - 8)
        #expect(throws: LogError.self) { try log.open() }
        #expect(try log.files == names)
        try file.writeBytes(Array(bytes.suffix(8)), at: bytes.count - 8)
        try log.storage.rename(path, to: log.directory.archive(5000))
        let error = #expect(throws: LogError.self) { try log.open() }
        #expect(error?.message.contains("missing") == true)
        #expect(try log.files.count == names.count)
        try log.storage.rename(log.directory.archive(5000), to: path)
        #expect(try log.problem(count: 300) == nil)
    }

    @Test("a bit of an event in an archive is found by a scan, with file and offset")
    func damagedEvent() throws {
        let log = try closed()
        let entry = try log.archive(0..<3)
        let file = try log.storage.open(log.directory.archive(entry.segmentID), for: .writing)
        let byte = try file.readBytes(count: 1, at: 300)[0]
        try file.writeBytes([byte ^ 4], at: 300)
        let error = #expect(throws: LogError.self) { try log.problem(count: 300) }
        #expect(error?.code == .corrupt && error?.path == file.path && error?.offset != nil)
        // Who goes on appending is not concerned.
        try log.open().close()
    }

    @Test("the window of an archive is as small as it must be, and the order is the same")
    func windows() throws {
        let log = try closed()
        let entry = try log.archive(0..<4)
        for bytes in [1, 500, 5000, 100_000] {
            for first in [1, 2, 77, entry.endSequence - 1, entry.endSequence] {
                let archive = try log.directory.openArchive(
                    entry, storeID: log.manifest.storeID, log.storage)
                var sequence = ArchiveSequence(archive.body, from: first, bytesMax: bytes)
                var found: [UInt64] = []
                while let event = try sequence.next() {
                    found.append(event.sequence)
                    #expect(event.position == event.sequence - 1)
                }
                #expect(found == Array(first..<entry.endSequence))
                #expect(sequence.nextSequence == entry.endSequence)
            }
        }
    }

    @Test("a cursor begins at any sequence, whatever holds it")
    func fromSequence() throws {
        let log = try closed()
        try log.archive(0..<2)
        try log.archive(1..<3)
        let reader = try LogReader(path: log.directory.root, storage: log.storage)
        for first in stride(from: UInt64(1), to: 303, by: 7) {
            var (cursor, sequences) = (try reader.cursor(from: first), [UInt64]())
            while let unit = try cursor.nextUnit() { sequences += unit.map(\.sequence) }
            #expect(sequences == Array(first..<max(first, 301)))
        }
    }

    @Test(
        "a reader goes on by sequence when what it reads is archived and removed", arguments: 1...6)
    func moves(seed: UInt64) throws {
        let log = ArchivedLog(SimulatedStorage(seed: seed))
        var random = SplitMix(seed: seed)
        try log.open().close()
        let reader = try LogReader(path: log.directory.root, storage: log.storage)
        var (cursor, read, appended) = (try reader.cursor(), 0, 0)
        for _ in 0..<30 {
            let count = Int(random.next() % 40)
            do {
                let writer = try log.open()
                try log.append(appended..<(appended + count), to: writer)
                appended += count
                // Reads some while the writer has the log, some after, some when it is archived.
                try readOn(&cursor, &read, Int(random.next() % 30))
                if random.next() % 3 > 0 { try writer.close() }
            }
            let ended = try log.manifest.segments.count - 1
            let archives = try log.manifest.segments.count { $0.role == .archive }
            if ended > archives, random.next() % 2 == 0 {
                let last = archives + 1 + Int(random.next() % UInt64(ended - archives))
                try log.archive(archives..<last)
                // Removes what is superseded.
                try log.open().close()
            }
            try readOn(&cursor, &read, Int(random.next() % 30))
        }
        try readOn(&cursor, &read, .max)
        #expect(read == appended)
        #expect(try log.problem(count: appended) == nil)
    }

    private func readOn(_ cursor: inout LogCursor, _ read: inout Int, _ count: Int) throws {
        var left = count
        while left > 0, let unit = try cursor.nextUnit() {
            for event in unit {
                #expect(event.sequence == UInt64(read + 1))
                #expect(event.body == ArchivedLog.body(read))
                read += 1
            }
            left -= 1
        }
    }

    @Test("a log with archives, left for the second reader")
    func sample() throws {
        let folder = FilePath(".build/archived-logs")
        let storage = POSIXStorage()
        try? storage.createDirectory(folder)
        let path = folder.appending("archived.loom")
        try? FileManager.default.removeItem(atPath: path.string)
        let log = ArchivedLog(storage, path: path)
        let writer = try log.open()
        try log.append(0..<120, to: writer)
        try writer.close()
        try log.archive(0..<2)
        try log.archive(1..<2)
        #expect(try log.problem(count: 120) == nil)
    }
}
