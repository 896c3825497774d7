import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// A close that archives what is live, so that the next opening reads little: it never fails as
/// archiving did, and an opening after a kill reads what is live once.
@Suite(.timeLimit(.minutes(10))) struct ClosingArchiveTests {
    private let storage = SimulatedStorage(seed: 21)

    private func log(kept: Int = 16 << 10) -> ArchivedLog {
        var log = ArchivedLog(storage)
        log.options.archiving = ArchivingOptions(CountingSemantics())
        log.options.archiving?.merges = false
        log.options.archiving?.waitingBytesMax = .max
        log.options.archiving?.liveBytesKept = kept
        return log
    }

    @Test("a close leaves little that is live, and a small log as it is")
    func leavesLittle() throws {
        let log = log()
        let writer = try log.open()
        try log.append(0..<100, to: writer)
        try writer.close()
        let manifest = try log.manifest
        #expect(manifest.segments.map(\.role) == [.archive, .live])
        #expect(manifest.segments[1].endSequence == manifest.segments[1].firstSequence)
        #expect(try log.files.count == 2)
        #expect(try log.problem(count: 100) == nil)
        // Little is left to be ended.
        let reopened = try log.open()
        #expect(reopened.recovery.ending == .clean)
        try log.append(100..<101, to: reopened)
        try reopened.close()
        #expect(try log.manifest.segments.map(\.role) == [.archive, .live])
        #expect(try log.problem(count: 101) == nil)
    }

    @Test("a close within its time, or none at all", arguments: [0, 1_000_000_000])
    func bounded(nanoseconds: UInt64) throws {
        var log = log()
        log.options.archiving?.closeNanosecondsMax = nanoseconds
        let writer = try log.open()
        try log.append(0..<100, to: writer)
        try writer.close()
        #expect(try log.manifest.segments.contains { $0.role == .archive } == (nanoseconds > 0))
        #expect(try log.problem(count: 100) == nil)
    }

    @Test("a full disk closes all the same", arguments: [0, 40 << 10, 200 << 10])
    func fullDisk(left: Int) throws {
        let log = log()
        let writer = try log.open()
        try log.append(0..<100, to: writer)
        storage.capacity = 1 << 30
        let free = try storage.availableBytes(at: "/")
        storage.capacity = (1 << 30) - free + left
        try writer.close()
        storage.capacity = nil
        #expect(try log.problem(count: 100) == nil)
        let reopened = try log.open()
        #expect(reopened.recovery.ending == .clean)
        try reopened.close()
        #expect(try log.problem(count: 100) == nil)
    }

    @Test(
        "a close that meets a full disk or a failing one at any call keeps every event",
        arguments: [Errno.noSpace, .ioError])
    func faults(errno: Errno) throws {
        func work() throws -> (ArchivedLog, SimulatedStorage, LogWriter) {
            let storage = SimulatedStorage(seed: 22)
            var log = log()
            log.storage = storage
            let writer = try log.open()
            try log.append(0..<60, to: writer)
            try writer.waitUntilDurable(writer.position)
            return (log, storage, writer)
        }
        let (_, dry, writer) = try work()
        let first = dry.calls.count
        try writer.close()
        var closed = 0
        for index in first..<dry.calls.count {
            let (log, storage, writer) = try work()
            storage.failCall(at: index, with: errno)
            do throws(LogError) {
                try writer.close()
                closed += 1
            } catch {
                // Not because an archive could not be written, read or removed.
                let call = storage.calls[index]
                let name = call.path.lastComponent?.string ?? ""
                #expect(!name.hasSuffix(".lla"), "\(call): \(error)")
            }
            #expect(try log.problem(count: 60) == nil, "\(dry.calls[index])")
            let reopened = try log.open()
            try log.append(60..<61, to: reopened)
            try reopened.close()
            #expect(try log.problem(count: 61) == nil, "\(dry.calls[index])")
        }
        #expect(closed > 20)
    }
}
