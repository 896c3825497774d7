import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import Synchronization
import SystemPackage
import Testing

@Suite struct WriterTests {
    @Test("a failed sync poisons the writer: waiters are told, appends refused, reading goes on")
    func poison() throws {
        let storage = SimulatedStorage()
        var options = LogOptions(durability: .full)
        options.driver = .inline
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        for number in 0..<5 { try writer.commit(.numbered(number)) }
        storage.failCalls(of: .syncData, with: .ioError)
        let appended = try writer.append(.numbered(5))
        let told = Mutex<[LogError?]>([])
        writer.whenDurable(appended.position) { error in told.withLock { $0.append(error) } }
        #expect(told.withLock { $0.map { $0?.code } } == [.poisoned])
        storage.stopFailing(.syncData)
        let error = #expect(throws: LogError.self) { try writer.append(.numbered(6)) }
        #expect(error?.code == .poisoned)
        #expect(throws: LogError.self) { try writer.waitUntilDurable(appended.position) }
        // What was durable stays durable, and told at once.
        writer.whenDurable(LogPosition(nextSequence: 6)) { error in #expect(error == nil) }
        #expect(try readAll("/a.loom", storage: storage).count >= 5)
    }

    @Test("a position that is not in the log is refused, not waited for")
    func futurePosition() throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log)
        let future = LogPosition(nextSequence: 100)
        #expect(throws: LogError.self) { try writer.waitUntilDurable(future) }
        let told = Mutex<LogError.Code?>(nil)
        writer.whenDurable(future) { error in told.withLock { $0 = error?.code } }
        #expect(told.withLock { $0 } == .limitExceeded)
        #expect(throws: LogError.self) {
            try writer.append(RecordUnit(run: try RunID("empty"), epoch: 1, position: 0))
        }
        try writer.close()
        #expect(throws: LogError.self) { try writer.append(.numbered(0)) }
        try writer.close()
    }

    @Test("many threads append and wait; everyone is answered and the log is in order")
    func manyThreads() throws {
        let folder = try TemporaryFolder()
        var options = LogOptions(durability: .full)
        options.firstSegmentBytes = 64 << 10
        options.segmentBytesMax = 128 << 10
        let writer = try LogWriter(path: folder.log, options: options)
        DispatchQueue.concurrentPerform(iterations: 8) { worker in
            for number in 0..<150 {
                do {
                    try writer.commit(.numbered(number, run: "worker \(worker)", size: 300))
                } catch {
                    Issue.record("\(error)")
                }
            }
        }
        try writer.close()
        let events = try readAll(folder.log)
        #expect(events.count == 1200)
        for worker in 0..<8 {
            let own = events.filter { $0.run.rawValue == "worker \(worker)" }
            #expect(own.map(\.position) == Array(0..<150))
        }
    }

    @Test("waiting for the lock ends when the other writer goes away")
    func lockWait() throws {
        let folder = try TemporaryFolder()
        let first = try LogWriter(path: folder.log)
        let start = Date()
        try WorkerThread.start("closer") {
            POSIXStorage().machine.sleep(nanoseconds: 150_000_000)
            try? first.close()
        }
        var options = LogOptions()
        options.lockWaitNanoseconds = 5_000_000_000
        let second = try LogWriter(path: folder.log, options: options)
        #expect(Date().timeIntervalSince(start) > 0.1)
        try second.close()
    }

    @Test("a cursor follows a log that is written and rolled under it, and sees each event once")
    func following() throws {
        let folder = try TemporaryFolder()
        var options = LogOptions(durability: .normal)
        options.firstSegmentBytes = 48 << 10
        options.segmentBytesMax = 96 << 10
        let writer = try LogWriter(path: folder.log, options: options)
        let total = 3000
        try WorkerThread.start("writer") {
            for number in 0..<total {
                guard let unit = try? RecordUnit.numbered(number, size: 200) else { return }
                _ = try? writer.append(unit)
            }
        }
        var cursor = try LogReader(path: folder.log).cursor()
        var seen: [UInt64] = []
        let deadline = Date().addingTimeInterval(30)
        while seen.count < total, Date() < deadline {
            guard let events = try cursor.nextUnit() else { continue }
            seen += events.map(\.position)
        }
        #expect(seen == (0..<UInt64(total)).map { $0 })
        #expect(try cursor.nextUnit() == nil)
        try writer.close()
    }

    @Test("what is not a log is named as what it is")
    func notALog() throws {
        let folder = try TemporaryFolder()
        let file = folder.path.appending("file").string
        try "text".write(toFile: file, atomically: true, encoding: .utf8)
        #expect(throws: LogError.self) { try LogWriter(path: FilePath(file)) }
        let error = #expect(throws: LogError.self) { try LogReader(path: FilePath(file)) }
        #expect(error?.code == .notALog)
        let empty = #expect(throws: LogError.self) { try LogReader(path: folder.path) }
        #expect(empty?.code == .notALog)
        var options = LogOptions()
        options.createsIfMissing = false
        let missing = #expect(throws: LogError.self) {
            try LogWriter(path: folder.path.appending("none"), options: options)
        }
        #expect(missing?.code == .notFound)
    }

    /// A damaged newest manifest made readers fall back to the one before and show a shorter log.
    @Test("a lost manifest is damage, not a shorter log")
    func lostManifest() throws {
        let folder = try TemporaryFolder()
        var options = LogOptions(durability: .off)
        options.firstSegmentBytes = 64 << 10
        let writer = try LogWriter(path: folder.log, options: options)
        for number in 0..<400 { try writer.append(.numbered(number, size: 500)) }
        try writer.close()
        let storage = POSIXStorage()
        // The newest one records the close, the one before it the roll.
        for generation in try storage.list(folder.log).compactMap(FileName.manifestGeneration)
            .sorted().suffix(2)
        {
            let file = try storage.open(
                folder.log.appending(FileName.manifest(generation)), for: .writing)
            try file.writeBytes([UInt8](repeating: 0, count: try file.size()), at: 0)
        }
        let reading = #expect(throws: LogError.self) { try readAll(folder.log) }
        #expect(reading?.code == .corrupt)
        let writing = #expect(throws: LogError.self) { try LogWriter(path: folder.log) }
        #expect(writing?.code == .corrupt)
    }

    /// The writer's end waited for a sync that was itself inside the callback.
    @Test("a callback may hold the last reference to the writer", .timeLimit(.minutes(10)))
    func lastReferenceInCallback() throws {
        let folder = try TemporaryFolder()
        let isTold = Monitor(false)
        do {
            let writer = try LogWriter(path: folder.log)
            let appended = try writer.append(.numbered(0))
            writer.whenDurable(appended.position) { [writer] error in
                #expect(error == nil && writer.position.nextSequence == 2)
                isTold.withLock { $0 = true }
                isTold.notifyAll()
            }
        }
        isTold.wait { $0 ? .finish(()) : .wait(until: nil) }
        var options = LogOptions()
        options.lockWaitNanoseconds = 5_000_000_000
        #expect(try LogWriter(path: folder.log, options: options).position.nextSequence == 2)
    }

    /// Who waited for a writer that went away waited for ever.
    @Test("a writer that goes away tells everybody who waits", .timeLimit(.minutes(10)))
    func abandonTells() throws {
        let folder = try TemporaryFolder()
        let told = Monitor(0)
        for number in 0..<30 {
            var options = LogOptions(durability: .normal)
            options.lockWaitNanoseconds = 5_000_000_000
            let writer = try LogWriter(path: folder.log, options: options)
            let appended = try writer.append(.numbered(number))
            writer.whenDurable(appended.position) { _ in
                told.withLock { $0 += 1 }
                told.notifyAll()
            }
        }
        told.wait { $0 == 30 ? .finish(()) : .wait(until: nil) }
    }

    @Test("a store that fails in the middle is the last one")
    func failedStore() throws {
        let storage = SimulatedStorage()
        var options = LogOptions(durability: .off)
        options.driver = .inline
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        for number in 0..<3 { try writer.append(.numbered(number)) }
        storage.failCall(at: storage.callCount, with: .ioError, extent: .part)
        #expect(throws: LogError.self) { try writer.append(.numbered(3)) }
        let calls = storage.callCount
        #expect(throws: LogError.self) { try writer.append(.numbered(4)) }
        #expect(storage.callCount == calls)
        let again = try LogWriter(
            path: "/a.loom", options: options, storage: storage.killImage(.everythingPending))
        #expect((4...5).contains(again.position.nextSequence))
    }
}
