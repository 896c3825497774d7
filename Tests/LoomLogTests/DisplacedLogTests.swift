import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

/// A log that is moved, deleted or replaced while a writer has it open.
@Suite struct DisplacedLogTests {
    enum Change: String, CaseIterable, CustomTestStringConvertible {
        case renamed, replaced, deleted, restored, cut, unlocked
        var testDescription: String { rawValue }

        func apply(to folder: TemporaryFolder, backup: String) throws {
            let (files, log) = (FileManager.default, folder.log.string)
            let segment = log + "/seg/" + FileName.segment(1)
            switch self {
            case .renamed: try files.moveItem(atPath: log, toPath: log + ".moved")
            case .replaced:
                try files.moveItem(atPath: log, toPath: log + ".moved")
                let other = try LogWriter(path: folder.log)
                for number in 0..<3 { try other.commit(.numbered(number, run: "other")) }
                try other.close()
            case .deleted: try files.removeItem(atPath: log)
            case .restored:
                try files.removeItem(atPath: segment)
                try files.copyItem(atPath: backup, toPath: segment)
            case .cut: try #require(FileHandle(forWritingAtPath: segment)).truncate(atOffset: 9)
            case .unlocked: try files.removeItem(atPath: log + "/LOCK")
            }
        }
    }

    private func isDisplaced(_ error: LogError?) -> Bool {
        guard let error else { return false }
        if let cause = error.cause as? StorageError { return cause.isDisplaced }
        return isDisplaced(error.cause as? LogError)
    }

    /// It went on into files that nobody could reach, or into the other log, and ruined both.
    @Test(
        "a barrier is refused and poisons the writer", arguments: Change.allCases,
        Durability.allCases)
    func barrier(change: Change, durability: Durability) throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log, options: LogOptions(durability: durability))
        let segment = folder.log.string + "/seg/" + FileName.segment(1)
        try FileManager.default.copyItem(atPath: segment, toPath: folder.path.string + "/backup")
        for number in 0..<5 { try writer.commit(.numbered(number, isBarrier: number == 4)) }
        try change.apply(to: folder, backup: folder.path.string + "/backup")

        let error = #expect(throws: LogError.self) {
            try writer.commit(.numbered(5, isBarrier: true))
        }
        #expect(error?.code == .poisoned)
        #expect(isDisplaced(error), "\(String(describing: error))")
        #expect(error?.message.contains("moved, deleted, replaced or overwritten") == true)
        #expect(error?.hint.contains("directory") == true)
        #expect(throws: LogError.self) { try writer.append(.numbered(5)) }
        #expect(throws: LogError.self) { try writer.close() }
        if change == .replaced {
            #expect(try readAll(folder.log).map(\.run.rawValue) == ["other", "other", "other"])
        }
        // Nothing of the refused unit is in the log, wherever it is now.
        guard change == .renamed || change == .replaced else { return }
        let moved = FilePath(folder.log.string + ".moved")
        #expect(try readAll(moved).count == 5)
        let again = try LogWriter(path: moved)
        #expect(again.position == LogPosition(nextSequence: 6))
        try again.close()
    }

    /// The store through the mapping raised SIGBUS, which ended the process of the host.
    @Test("a file that is cut under the mapping poisons the writer")
    func cutUnderMapping() throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log, options: LogOptions(durability: .off))
        for number in 0..<3 { try writer.commit(.numbered(number)) }
        try Change.cut.apply(to: folder, backup: "")
        let error = #expect(throws: LogError.self) { try writer.append(.numbered(3)) }
        #expect(error?.code == .poisoned)
        #expect(isDisplaced(error), "\(String(describing: error))")
        #expect(throws: LogError.self) { try writer.append(.numbered(4)) }
        #expect(throws: LogError.self) { try writer.close() }
        // Another log of the same process goes on.
        let other = try LogWriter(path: FilePath(folder.log.string + ".other"))
        for number in 0..<3 { try other.commit(.numbered(number)) }
        try other.close()
    }

    /// `cp -r backup/. log/` leaves path and inode as they are: the writer went on behind a gap.
    @Test("an older copy written over the files in place is noticed", arguments: [true, false])
    func overwritten(isMarkCopied: Bool) throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log, options: LogOptions(durability: .off))
        let segment = folder.log.string + "/seg/" + FileName.segment(1)
        let mark = folder.log.string + "/" + FileName.mark
        for number in 0..<3 { try writer.commit(.numbered(number)) }
        let backup = try [segment, mark].map { ($0, try Data(contentsOf: URL(filePath: $0))) }
        for number in 3..<6 { try writer.commit(.numbered(number)) }
        for (path, bytes) in isMarkCopied ? backup : Array(backup.prefix(1)) {
            let handle = try #require(FileHandle(forWritingAtPath: path))
            try handle.write(contentsOf: bytes)
            try handle.close()
        }
        let error = #expect(throws: LogError.self) {
            try writer.commit(.numbered(6, isBarrier: true))
        }
        #expect(isDisplaced(error), "\(String(describing: error))")
    }

    @Test("a new segment is refused, and the other log stays as it is")
    func roll() throws {
        let folder = try TemporaryFolder()
        var options = LogOptions(durability: .off)
        options.firstSegmentBytes = 64 << 10
        let writer = try LogWriter(path: folder.log, options: options)
        try writer.commit(.numbered(0))
        try Change.replaced.apply(to: folder, backup: "")
        let names = { try FileManager.default.subpathsOfDirectory(atPath: folder.log.string) }
        let before = try names()
        // What fits into the segment that is there goes to the log that was opened.
        var (appended, failure) = (1, LogError?.none)
        while failure == nil, appended < 200 {
            do {
                try writer.append(.numbered(appended, size: 1000))
                appended += 1
            } catch let error as LogError {
                failure = error
            }
        }
        #expect(isDisplaced(failure))
        #expect(try names() == before)
        #expect(try readAll(FilePath(folder.log.string + ".moved")).count == appended)
    }

    /// `close` said that everything was durable, in a directory that was gone.
    @Test("a close that nobody can reach is an error")
    func close() throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log)
        try writer.commit(.numbered(0))
        try Change.renamed.apply(to: folder, backup: "")
        let error = #expect(throws: LogError.self) { try writer.close() }
        #expect(isDisplaced(error))
    }

    @Test("a reader sees one log, also when another takes its name")
    func reader() throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log)
        for number in 0..<5 { try writer.commit(.numbered(number)) }
        let (outside, own) = (try LogReader(path: folder.log), try writer.reader())
        try writer.close()
        try Change.replaced.apply(to: folder, backup: "")
        for reader in [outside, own] {
            var runs: [String] = []
            try reader.scan { runs.append($0.run.rawValue) }
            #expect(runs == Array(repeating: "demo", count: 5))
        }
    }

    @Test("the simulated storage notices the same")
    func simulated() throws {
        let storage = SimulatedStorage()
        var options = LogOptions()
        options.driver = .inline
        let writer = try LogWriter(path: "/runs.loom", options: options, storage: storage)
        try writer.commit(.numbered(0, isBarrier: true))
        try storage.rename("/runs.loom", to: "/moved")
        try writer.append(.numbered(1))
        let error = #expect(throws: LogError.self) {
            try writer.append(.numbered(2, isBarrier: true))
        }
        #expect(isDisplaced(error))
        #expect(try readAll("/moved", storage: storage).count == 2)
    }

    /// Pages that stayed mapped stayed in the cache, which the next opening then judged.
    @Test(
        "a closed writer maps nothing, also after it was poisoned",
        .enabled(if: FileManager.default.fileExists(atPath: "/proc/self/maps")),
        arguments: [false, true])
    func mappings(poisoned: Bool) throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log)
        try writer.commit(.numbered(0))
        // Where the file system lets it, that is.
        guard try maps().contains(folder.path.string) else { return }
        if poisoned {
            try Change.unlocked.apply(to: folder, backup: "")
            #expect(throws: LogError.self) { try writer.commit(.numbered(1, isBarrier: true)) }
            #expect(throws: LogError.self) { try writer.close() }
        } else {
            try writer.close()
        }
        let left = try maps()
        #expect(!left.contains(folder.path.string))
        withExtendedLifetime(writer) {}
    }

    private func maps() throws -> String {
        let file = try POSIXStorage().open("/proc/self/maps", for: .reading)
        return String(decoding: try file.readBytes(count: 4 << 20, at: 0), as: UTF8.self)
    }
}
