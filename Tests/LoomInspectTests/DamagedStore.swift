import LoomFormat
import LoomLog
import LoomStorage
import LoomTesting
import SystemPackage

/// A small log of every kind of segment, and the states in which a damaged copy of it is looked at.
struct DamagedStore {
    static let path: FilePath = "/runs.loom"

    /// How the log was left.
    enum Exit: String, CaseIterable { case closed, killed }

    /// What MARK is worth where the copy is looked at.
    enum MarkState: String, CaseIterable { case counting, stale, gone }

    let exit: Exit
    let mark: MarkState
    /// The log as it was left, as bytes on the machine that looks at it.
    let storage: SimulatedStorage
    /// Its files, by their paths below the log.
    let files: [String: [UInt8]]
    /// The same files at an earlier time, where they were others.
    let older: [String: [UInt8]]
    let eventCount: Int

    static var options: LogOptions {
        var options = LogOptions(durability: .normal)
        options.driver = .inline
        options.firstSegmentBytes = 40 << 10
        options.segmentBytesMax = 40 << 10
        return options
    }

    init(_ exit: Exit, _ mark: MarkState) throws {
        let world = SimulatedStorage(seed: 11)
        var builder = Builder(world: world)
        try builder.sealed()
        let early = try Self.read(world)
        try builder.recovered()
        let late = try Self.read(world)
        try builder.active(closes: exit == .closed)
        self.exit = exit
        self.mark = mark
        eventCount = builder.eventCount
        storage =
            mark == .stale
            ? world.powerLossImage(.everythingPending) : world.killImage(.everythingPending)
        if mark == .gone { try storage.remove(Self.path.appending(FileName.mark)) }
        files = try Self.read(storage)
        older = early.merging(late) { $1 }.filter { [files] in files[$0.key] != $0.value }
    }

    /// The files of the log, but for LOCK.
    static func read(_ storage: SimulatedStorage) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        let folder = path.appending(FileName.segments)
        let names =
            try storage.list(path).filter {
                FileName.manifestGeneration($0) != nil || $0 == FileName.mark
            } + storage.list(folder).map { "\(FileName.segments)/\($0)" }
        for name in names {
            let file = try storage.open(place(name), for: .reading)
            defer { try? file.close() }
            files[name] = try file.readBytes(count: try file.size(), at: 0)
        }
        return files
    }

    struct Unexpected: Error {}

    static func place(_ name: String) -> FilePath {
        FilePath("\(path.string)/\(name)")
    }
}

extension DamagedStore {
    /// Writes the log: one segment that is sealed, one that was recovered, one that is active.
    private struct Builder {
        let world: SimulatedStorage
        var eventCount = 0

        private func open() throws -> LogWriter {
            try LogWriter(path: path, options: options, storage: world)
        }

        private mutating func append(_ writer: LogWriter, _ run: String, size: Int) throws {
            var unit = RecordUnit(
                run: try RunID(run), epoch: 1, position: UInt64(eventCount),
                isBarrier: eventCount % 3 == 0)
            unit.append(Array("event \(eventCount) of \(run)".utf8))
            unit.append([UInt8](repeating: 7, count: size))
            eventCount += 2
            try writer.commit(unit)
        }

        private func rest(_ writer: LogWriter) {
            for _ in 0..<2 {
                world.advanceClock(nanoseconds: 300_000_000)
                writer.runTimers()
            }
        }

        /// A unit that finds no room ends the first segment.
        mutating func sealed() throws {
            let writer = try open()
            for run in ["alpha", "beta", "alpha"] { try append(writer, run, size: 40) }
            rest(writer)
            try append(writer, "beta", size: 30_000)
            try append(writer, "gamma", size: 10)
        }

        /// A kill inside a store: half a block lies behind the end.
        mutating func recovered() throws {
            let name = FileName.segment(2)
            let file = try world.open(DamagedStore.place("seg/\(name)"), for: .writing)
            let bytes = try file.readBytes(count: 16 << 10, at: 0)
            try file.writeBytes([0x42, 0x4C, 0x4B, 0x31, 1, 2, 3], at: bytes.usedByteCount + 8)
            try file.close()
            let writer = try open()
            guard writer.recovery.discardedBytes > 0 else { throw Unexpected() }
            for run in ["beta", "delta"] { try append(writer, run, size: 60) }
            rest(writer)
            try append(writer, "alpha", size: 90)
        }

        mutating func active(closes: Bool) throws {
            let writer = try open()
            for run in ["alpha", "delta", "omega"] { try append(writer, run, size: 25) }
            rest(writer)
            try append(writer, "omega", size: 12)
            if closes { try writer.close() }
        }
    }
}
