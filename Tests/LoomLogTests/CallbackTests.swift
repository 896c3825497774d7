import LoomFormat
import LoomLog
import LoomStorage
import Synchronization
import SystemPackage
import Testing

/// Callbacks of `whenDurable` that use the writer, close it, or hold the last reference to it.
@Suite struct CallbackTests {
    private static func smallSegments(_ durability: Durability) -> LogOptions {
        var options = LogOptions(durability: durability)
        options.firstSegmentBytes = 64 << 10
        options.segmentBytesMax = 64 << 10
        return options
    }

    /// Waits in real time: a simulated clock stands still.
    private static func wait(_ isDone: () -> Bool) -> Bool {
        for _ in 0..<3000 {
            if isDone() { return true }
            POSIXStorage().machine.sleep(nanoseconds: 10_000_000)
        }
        return false
    }

    /// The sync thread told a waiter of a failure before its sync had ended: it waited for itself.
    @Test(
        "a callback with the last reference is told of a failed sync, and the lock is given up",
        .timeLimit(.minutes(10)))
    func lastReferenceAndFailedSync() throws {
        let storage = SimulatedStorage()
        let options = LogOptions(durability: .off)
        let told = Mutex<LogError.Code?>(nil)
        do {
            let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
            let appended = try writer.append(.numbered(0))
            storage.failCalls(of: .syncData, with: .ioError)
            writer.whenDurable(appended.position) { [writer] error in
                #expect(writer.position.nextSequence == 2)
                told.withLock { $0 = error?.code }
            }
        }
        #expect(Self.wait { told.withLock { $0 } == .poisoned })
        storage.stopFailing(.syncData)
        #expect(Self.wait { (try? LogWriter(path: "/a.loom", storage: storage)) != nil })
    }

    /// A waiter told before the sync was over could not close the writer: that waits for the sync.
    @Test(
        "a callback may close the writer whose sync failed, in a sync and in a roll",
        .timeLimit(.minutes(10)), arguments: [false, true])
    func closeAfterFailure(inRoll: Bool) throws {
        let storage = SimulatedStorage()
        var options = Self.smallSegments(.normal)
        options.driver = .inline
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        let told = Mutex<[LogError.Code?]>([])
        let close: LogWriter.DurableCallback = { [weak writer] error in
            _ = try? writer?.close()
            told.withLock { $0.append(error?.code) }
        }
        if inRoll {
            // Somebody asks in the middle of the roll's first sync; the sync of the seal fails.
            storage.whileSyncing { [weak writer] call in
                guard call.kind == .syncData, let writer else { return }
                storage.whileSyncing(nil)
                writer.whenDurable(writer.position, close)
                storage.failCalls(of: .syncData, with: .ioError)
            }
            for number in 0..<200 {
                guard (try? writer.append(.numbered(number, size: 900))) != nil else { break }
            }
        } else {
            let appended = try writer.append(.numbered(0))
            storage.failCalls(of: .syncData, with: .ioError)
            writer.whenDurable(appended.position, close)
        }
        #expect(told.withLock { $0 } == [.poisoned])
        storage.stopFailing(.syncData)
        #expect(throws: LogError.self) { try writer.append(.numbered(0)) }
        // The lock was given up.
        try LogWriter(path: "/a.loom", options: options, storage: storage).close()
    }

    /// A callback that found the segment full waited for the roll of its own thread, for ever.
    @Test(
        "a callback appends across rolls, commits and waits", .timeLimit(.minutes(10)),
        arguments: Durability.allCases)
    func appendInCallback(durability: Durability) throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(
            path: folder.log, options: Self.smallSegments(durability))
        let result = Monitor<Result<Void, any Error>?>(nil)
        let first = try writer.append(.numbered(0))
        writer.whenDurable(first.position) { [writer] _ in
            let outcome = Result {
                for number in 1..<200 {
                    let appended = try writer.append(.numbered(number, size: 2000))
                    if number % 50 == 0 { try writer.waitUntilDurable(appended.position) }
                }
                try writer.commit(.numbered(200, size: 2000))
                try writer.close()
            }
            result.withLock { $0 = outcome }
            result.notifyAll()
        }
        let outcome = result.wait { state -> MonitorStep<Result<Void, any Error>> in
            if let outcome = state { .finish(outcome) } else { .wait(until: nil) }
        }
        try outcome.get()
        let events = try readAll(folder.log)
        #expect(events.map(\.position) == Array(0...200))
        #expect(Set(events.map(\.segmentID)).count > 1)
    }

    /// Callbacks told by a roll on the worker append, and so roll again, while others append too.
    @Test("callbacks and other threads append beside each other", .timeLimit(.minutes(10)))
    func manyCallbacks() throws {
        let folder = try TemporaryFolder()
        let writer = try LogWriter(path: folder.log, options: Self.smallSegments(.normal))
        let told = Monitor(0)
        let total = 300
        for number in 0..<total {
            let appended = try writer.append(.numbered(number, run: "outside", size: 700))
            writer.whenDurable(appended.position) { [writer] error in
                #expect(error == nil)
                _ = try? writer.append(.numbered(number, run: "inside", size: 700))
                told.withLock { $0 += 1 }
                told.notifyAll()
            }
        }
        told.wait { $0 == total ? .finish(()) : .wait(until: nil) }
        try writer.close()
        let events = try readAll(folder.log)
        #expect(events.count == 2 * total)
        #expect(events.map(\.sequence) == Array(1...UInt64(2 * total)))
    }
}
