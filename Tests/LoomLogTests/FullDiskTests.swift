import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

/// A file system of 3 MiB in memory, mounted for one test; `nil` where that is not allowed.
final class SmallFileSystem {
    let path: FilePath

    init?() {
        path = FilePath(NSTemporaryDirectory()).appending("loomlog-small-\(UUID().uuidString)")
        try? FileManager.default.createDirectory(
            atPath: path.string, withIntermediateDirectories: true)
        guard Self.run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", path.string) else {
            try? FileManager.default.removeItem(atPath: path.string)
            return nil
        }
    }

    deinit {
        _ = Self.run("umount", "-l", path.string)
        try? FileManager.default.removeItem(atPath: path.string)
    }

    static func run(_ arguments: String...) -> Bool {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }

    static let isAllowed = SmallFileSystem() != nil
}

@Suite(.serialized) struct FullDiskTests {
    private var options: LogOptions {
        var options = LogOptions(durability: .normal)
        options.firstSegmentBytes = 256 << 10
        options.segmentBytesMax = 512 << 10
        return options
    }

    /// Appends until the disk is full; returns how many were appended.
    private func fill(_ writer: LogWriter, from start: Int) throws -> (count: Int, LogError) {
        var number = start
        while true {
            do {
                try writer.append(.numbered(number, size: 1000))
                number += 1
            } catch let error as LogError {
                return (number, error)
            }
            if number > start + 10_000 { throw CancellationError() }
        }
    }

    @Test(
        "a full disk is an error, nothing is lost, and it heals",
        .enabled(if: SmallFileSystem.isAllowed, "mounting needs root"), arguments: [true, false])
    func fullDisk(allowsMapping: Bool) throws {
        let disk = try #require(SmallFileSystem())
        let storage = POSIXStorage(allowsMapping: allowsMapping)
        let ballast = try storage.create(disk.path.appending("ballast"))
        try ballast.fillZeros(from: 0, to: 1 << 20)
        let log = disk.path.appending("runs.loom")
        let writer = try LogWriter(path: log, options: options, storage: storage)
        let (count, error) = try fill(writer, from: 0)
        #expect(error.code == .outOfSpace, "\(error)")
        #expect(count > 300)
        #expect(try readAll(log).count == count)
        // Still full: still an error, still nothing lost.
        #expect(try fill(writer, from: count).1.code == .outOfSpace)
        // Room again: the same writer goes on.
        try ballast.close()
        try storage.remove(disk.path.appending("ballast"))
        var (more, again) = (count, error)
        for _ in 0..<100 where more < count + 200 {
            storage.machine.sleep(nanoseconds: 50_000_000)
            (more, again) = try fill(writer, from: more)
        }
        #expect(again.code == .outOfSpace)
        #expect(more > count + 200, "it did not heal: \(more)")
        try writer.close()
        let events = try readAll(log)
        #expect(events.map(\.position) == (0..<UInt64(more)).map { $0 })
    }

    @Test(
        "no room for a new log is an error that leaves nothing behind",
        .enabled(if: SmallFileSystem.isAllowed, "mounting needs root"))
    func noRoomToCreate() throws {
        let disk = try #require(SmallFileSystem())
        let storage = POSIXStorage()
        var options = LogOptions()
        options.firstSegmentBytes = 8 << 20
        options.segmentBytesMax = 8 << 20
        let log = disk.path.appending("runs.loom")
        let error = #expect(throws: LogError.self) {
            try LogWriter(path: log, options: options, storage: storage)
        }
        #expect(error?.code == .outOfSpace)
        #expect(try storage.list(disk.path) == [])
    }
}
