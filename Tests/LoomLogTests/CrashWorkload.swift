import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage

/// A scripted piece of work on a log, and what was promised of it when it stopped: the reference
/// that every crash image is compared with.
struct CrashWorkload {
    var durability: Durability
    /// Units of each round; between two rounds the log is closed or left.
    var rounds: [Int] = [70, 12, 30]
    /// Rounds after which the writer goes away without closing.
    var abandons: Set<Int> = [1]

    static let path: FilePath = "/runs.loom"

    /// What the work has done and been promised so far.
    final class Record {
        /// Bodies handed to `append`, in order; the last may be in flight.
        var attempted: [[UInt8]] = []
        /// Appends that returned.
        var appended = 0
        /// Events told to be durable.
        var durable = 0
        var errors: [String] = []
    }

    var options: LogOptions {
        var options = LogOptions(durability: durability)
        options.driver = .inline
        options.firstSegmentBytes = 40 << 10
        options.segmentBytesMax = 80 << 10
        options.syncBytes = 6 << 10
        options.unsyncedBytesMax = 24 << 10
        return options
    }

    /// Runs until it is done or the machine stops.
    func run(on storage: SimulatedStorage, _ record: Record) {
        run(on: storage, record, clock: storage)
    }

    /// The same on a storage that stands before the simulated one.
    func run(on storage: any Storage, _ record: Record, clock: SimulatedStorage) {
        do {
            for (round, units) in rounds.enumerated() {
                let writer = try LogWriter(path: Self.path, options: options, storage: storage)
                try work(writer, units, clock, record)
                if abandons.contains(round) { continue }
                try writer.close()
                record.durable = record.appended
            }
        } catch {
            record.errors.append("\(error)")
        }
    }

    private func work(
        _ writer: LogWriter, _ units: Int, _ storage: SimulatedStorage, _ record: Record
    ) throws {
        for unit in 0..<units {
            let number = record.attempted.count
            let body = RecordUnit.body(number, size: number * 37 % 900)
            record.attempted.append(body)
            let appended = try writer.append(
                .numbered(
                    number, run: "run \(number % 3)", size: number * 37 % 900,
                    isBarrier: number % 11 == 5))
            record.appended = number + 1
            if appended.needsSync {
                try writer.waitUntilDurable(appended.position)
                record.durable = max(record.durable, number + 1)
            }
            // Quiet times: the timers' syncs and the idle mark.
            if unit % 9 == 8 {
                storage.advanceClock(nanoseconds: 300_000_000)
                writer.runTimers()
                storage.advanceClock(nanoseconds: 100_000_000)
                writer.runTimers()
            }
            record.durable = max(
                record.durable, Int(writer.durablePosition.nextSequence) - 1)
        }
    }
}

/// Compares what an image holds with what was promised.
struct CrashVerdict {
    let record: CrashWorkload.Record
    let options: LogOptions

    /// What is wrong with the image, or `nil` when every promise was kept.
    func violation(in image: SimulatedStorage, atLeast promised: Int) -> String? {
        do {
            // A reader first: it must not need the recovery of a writer.
            let before = try events(in: image)
            if let problem = check(before, atLeast: promised) { return "reader: \(problem)" }
            let writer = try LogWriter(
                path: CrashWorkload.path, options: options, storage: image)
            let recovered = try events(in: image)
            if let problem = check(recovered, atLeast: promised) { return "writer: \(problem)" }
            if recovered.count < before.count { return "recovery lost what a reader saw" }
            let next = recovered.count
            try writer.commit(.numbered(next))
            try writer.close()
            let again = try LogWriter(
                path: CrashWorkload.path, options: options, storage: image)
            guard again.recovery.ending == .clean else { return "a closed log is not clean" }
            try again.close()
            let after = try events(in: image)
            guard after.count == next + 1, after.last?.body == RecordUnit.body(next) else {
                return "what was appended after recovery is not there"
            }
            return check(Array(after.dropLast()), atLeast: promised).map { "after: \($0)" }
        } catch {
            return "\(error)"
        }
    }

    private func events(in image: SimulatedStorage) throws -> [LogEvent] {
        do {
            return try readAll(CrashWorkload.path, storage: image)
        } catch let error as LogError where error.code == .notFound {
            return []
        }
    }

    private func check(_ events: [LogEvent], atLeast promised: Int) -> String? {
        guard events.count >= promised else {
            return "\(events.count) events of \(promised) that were promised"
        }
        guard events.count <= record.attempted.count else { return "events that nobody appended" }
        for (index, event) in events.enumerated() {
            guard event.sequence == UInt64(index + 1), event.body == record.attempted[index] else {
                return "event \(index) is not what was appended"
            }
        }
        return nil
    }
}

/// A disk that says that it synced and did not.
struct LyingStorage: StorageForwarding {
    let base: any Storage

    func create(_ path: FilePath) throws(StorageError) -> any StorageFile {
        LyingFile(base: try base.create(path))
    }
    func open(
        _ path: FilePath, for access: FileAccess
    ) throws(StorageError) -> any StorageFile { LyingFile(base: try base.open(path, for: access)) }
}

final class LyingFile: StorageFile {
    private let base: any StorageFile
    init(base: any StorageFile) { self.base = base }

    var path: FilePath { base.path }
    var identity: FileIdentity { base.identity }
    func size() throws(StorageError) -> Int { try base.size() }
    func read(
        into target: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(StorageError) -> Int { try unsafe base.read(into: target, at: offset) }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
        try unsafe base.write(bytes, at: offset)
    }
    func fillZeros(from offset: Int, to end: Int) throws(StorageError) {
        try base.fillZeros(from: offset, to: end)
    }
    func truncate(to size: Int) throws(StorageError) { try base.truncate(to: size) }
    func mapForAppending(length: Int) throws(StorageError) -> Bool {
        try base.mapForAppending(length: length)
    }
    func store(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, surface: AppendSurface
    ) throws(StorageError) { try unsafe base.store(bytes, at: offset, surface: surface) }
    func storeWord(_ word: UInt64, at offset: Int) throws(StorageError) {
        try base.storeWord(word, at: offset)
    }
    func loadWord(at offset: Int) throws(StorageError) -> UInt64 { try base.loadWord(at: offset) }
    /// Pretends. Full syncs are real, so that the log can be created.
    func syncData() throws(StorageError) {}
    func sync() throws(StorageError) { try base.sync() }
    func dropCache() { base.dropCache() }
    func close() throws(StorageError) { try base.close() }
}
