import Foundation
import LoomLog
import SystemPackage
import Testing

/// A process that forks with an open log: `fork-writer` in Tools.
@Suite(.timeLimit(.minutes(10))) struct ForkTests {
    private func start(_ log: FilePath, _ mode: String) throws -> (Process, Pipe) {
        let (process, pipe) = (Process(), Pipe())
        process.executableURL = URL(filePath: CommandLine.arguments[0])
            .deletingLastPathComponent().appending(path: "fork-writer")
        process.arguments = [log.string, mode]
        process.standardOutput = pipe
        try process.run()
        return (process, pipe)
    }

    /// The lines that it says, and its status.
    private func run(_ log: FilePath, _ mode: String) throws -> ([String], Int32) {
        let (process, pipe) = try start(log, mode)
        let said = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let lines = String(decoding: said, as: UTF8.self).split(separator: "\n").map(String.init)
        return (lines, process.terminationStatus)
    }

    /// Parent and child both wrote, both were told success, and the log was damaged for good.
    @Test("a child's writer is dead from the fork on, and the parent's goes on")
    func both() throws {
        let folder = try TemporaryFolder(
            below: FileManager.default.currentDirectoryPath + "/.build")
        let (lines, status) = try run(folder.log, "both")
        let refusal = "this process was forked after the log was opened: only the parent writes"
        for call in ["append", "barrier", "wait", "callback", "close"] {
            #expect(lines.contains("\(call): \(refusal)"), "\(call) in \(lines)")
        }
        #expect(lines.contains("shares 0 descriptors and 0 mappings"), "\(lines)")
        #expect(lines.contains { $0.hasPrefix("the same log: ") && $0.contains("for writing") })
        #expect(lines.contains("a log of its own: done"))
        #expect(lines.contains("reads from 1"))
        #expect(lines.suffix(2) == ["the child ended with 0", "the parent closed"])
        #expect(status == 0)
        let events = try readAll(folder.log)
        #expect(events.map(\.position) == (0..<20).map { UInt64($0) })
        let writer = try LogWriter(path: folder.log)
        #expect(writer.recovery.ending == .clean)
        try writer.close()
    }

    /// Closing MARK in the child put empty memory where the parent had mapped it: there the child
    /// had something of its own.
    @Test("a child's reader goes on, and takes nothing of the child's memory")
    func reads() throws {
        let folder = try TemporaryFolder(
            below: FileManager.default.currentDirectoryPath + "/.build")
        let (lines, _) = try run(folder.log, "reads")
        let wanted = [
            "reads up to 10", "its memory is \(0x78)", "child: done",
            "the parent reads up to 11",
        ]
        // On a file system where MARK cannot be mapped there is nothing to take.
        let unmapped = ["no place for a page", "child: done", "the parent reads up to 11"]
        #expect([wanted, unmapped].contains(lines))
    }

    /// A child that lived on kept the lock of a killed parent: the log could not be opened.
    @Test("a child keeps nothing of a killed parent's lock")
    func orphan() throws {
        let folder = try TemporaryFolder(
            below: FileManager.default.currentDirectoryPath + "/.build")
        let (process, pipe) = try start(folder.log, "orphan")
        let said = String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
        let pid = try #require(Int32(said.dropFirst("child ".count).dropLast()), "\(said)")
        defer {
            // Foundation takes a process for running as long as a child of it is.
            kill(pid, SIGKILL)
            process.waitUntilExit()
        }
        #expect(kill(pid, 0) == 0, "the child lives")
        let writer = try LogWriter(path: folder.log)
        #expect(writer.position == LogPosition(nextSequence: 11))
        try writer.close()
    }
}
