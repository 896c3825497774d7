import Foundation
import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// Backups on the real disk: links, a writer of another process that is killed, and copies that are
/// no backups.
@Suite(.serialized, .timeLimit(.minutes(5))) struct BackupFileTests {
    private static func options() -> LogOptions {
        var options = LogOptions(durability: .off)
        options.firstSegmentBytes = 64 << 10
        options.segmentBytesMax = 64 << 10
        return options
    }

    private func append(_ numbers: Range<Int>, to writer: LogWriter) throws {
        for number in numbers { try writer.append(.numbered(number, size: 700)) }
    }

    private func copy(_ log: FilePath, to target: FilePath) throws {
        try FileManager.default.copyItem(atPath: log.string, toPath: target.string)
    }

    @Test("ended segments are linked, and bear what the writer and its successors do to them")
    func links() throws {
        let folder = try TemporaryFolder()
        let target = folder.path.appending("b.loom")
        let storage = POSIXStorage()
        var backup: LogBackup?
        var (count, linked) = (0, 0)
        for round in 0..<6 {
            let writer = try LogWriter(path: folder.log, options: Self.options())
            if backup == nil { backup = try LogBackup(of: folder.log, to: target) }
            for _ in 0..<4 {
                try append(count..<(count + 400), to: writer)
                count += 400
                linked += try backup?.run().linkedFileCount ?? 0
                #expect(try readAll(target).count == count)
            }
            // Every other one goes away: what follows cuts its last segment to its end.
            if round % 2 == 0 { try writer.close() }
        }
        backup = nil
        #expect(linked > 3)
        let segments = FilePath("seg")
        var shared = 0
        for name in try storage.list(target.appending(segments.components)) {
            let path = segments.appending(name)
            guard
                let file = try? storage.open(
                    folder.log.appending(path.components), for: .reading)
            else { continue }
            let copy = try storage.open(target.appending(path.components), for: .reading)
            if copy.identity == file.identity { shared += 1 }
        }
        #expect(shared > 3)
        try LogWriter(path: folder.log, options: Self.options()).close()
        let bodies = (0..<count).map { RecordUnit.body($0, size: 700) }
        #expect(try readAll(target).map(\.body) == bodies)
        // A writer in the backup itself, and one in a copy of it: the original stays.
        for path in [folder.path.appending("r.loom"), target] {
            if path != target { try copy(target, to: path) }
            let writer = try LogWriter(path: path, options: Self.options())
            #expect(writer.recovery.ending == .copied)
            try append(count..<(count + 200), to: writer)
            try writer.close()
            #expect(try readAll(path).count == count + 200)
        }
        #expect(try readAll(folder.log).count == count)
    }

    @Test("a copy that was made file by file while a writer had the log open is refused by name")
    func plainCopies() throws {
        let folder = try TemporaryFolder()
        let names = FileManager.default
        let writer = try LogWriter(path: folder.log, options: Self.options())
        try append(0..<200, to: writer)
        func copyPart(_ copy: FilePath, segments: Bool) throws {
            try? names.createDirectory(atPath: copy.string, withIntermediateDirectories: true)
            for name in try names.contentsOfDirectory(atPath: folder.log.string)
            where segments == (name == "seg") {
                try names.copyItem(
                    atPath: folder.log.appending(name).string,
                    toPath: copy.appending(name).string)
            }
        }
        // The manifest of before a roll with the segments of after it, and the other way round.
        let (early, late) = (folder.path.appending("early"), folder.path.appending("late"))
        try copyPart(early, segments: false)
        try copyPart(late, segments: true)
        try append(200..<600, to: writer)
        try copyPart(early, segments: true)
        try copyPart(late, segments: false)
        for path in [early, late] {
            for attempt in [{ _ = try readAll(path) }, { _ = try LogWriter(path: path) }] {
                let error = #expect(throws: LogError.self) { try attempt() }
                #expect(error?.code == .copiedWhileLive)
                #expect(error?.message.hasPrefix("copied while live: use backup") == true)
            }
        }
        // Whole, if by luck: a log that ended uncleanly. And without MARK nobody knows of a copy.
        let lucky = folder.path.appending("lucky")
        try copy(folder.log, to: lucky)
        #expect(try readAll(lucky).count == 600)
        try names.removeItem(atPath: early.appending("MARK").string)
        let error = #expect(throws: LogError.self) { try readAll(early) }
        #expect(error?.code == .corrupt)
        try writer.close()
    }

    @Test("a writer that is killed leaves a backup that has all but its last moment")
    func killed() async throws {
        let folder = try TemporaryFolder()
        let target = folder.path.appending("b.loom")
        let text = folder.path.appending("text")
        let lines = (0..<500).map { "line \($0) " + String(repeating: "x", count: $0 % 300) }
        try lines.joined(separator: "\n").write(
            toFile: text.string, atomically: true, encoding: .utf8)
        let output = folder.path.appending("told").string
        _ = FileManager.default.createFile(atPath: output, contents: nil)
        let process = Process()
        process.executableURL = URL(filePath: CommandLine.arguments[0])
            .deletingLastPathComponent().appending(path: "crash-writer")
        process.arguments = [folder.log.string, text.string, "normal"]
        process.standardOutput = FileHandle(forWritingAtPath: output)
        try process.run()
        defer { kill(process.processIdentifier, SIGKILL) }
        // The number of the last line, from the end of the file: it grows by megabytes.
        func told() throws -> Int {
            let file = try FileHandle(forReadingFrom: URL(filePath: output))
            defer { try? file.close() }
            let count = try file.seekToEnd()
            try file.seek(toOffset: count - min(count, 32))
            let end = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
            return end.split(separator: "\n").last.flatMap { Int($0) } ?? 0
        }
        for _ in 0..<2_000 {
            if try told() >= 10 { break }
            usleep(5_000)
        }
        var backup = try LogBackup(of: folder.log, to: target)
        var (before, rounds) = (0, 0)
        while before < 3_000, rounds < 60 {
            before = try told()
            let position = try backup.run().position
            #expect(Int(position.nextSequence) > before)
            rounds += 1
            usleep(20_000)
        }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try FileManager.default.removeItem(atPath: folder.log.string)
        try copy(target, to: folder.log)
        let writer = try LogWriter(path: folder.log, options: Self.options())
        // Where the last look met the end of a full segment, its seal proves the end (rule E).
        #expect([.copied, .clean].contains(writer.recovery.ending))
        try writer.close()
        let events = try readAll(folder.log)
        #expect(events.count >= before && before > 0)
        for (index, event) in events.enumerated() {
            #expect(event.body == Array(lines[index % lines.count].utf8))
        }
    }
}
