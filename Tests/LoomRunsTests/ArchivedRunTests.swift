import Foundation
import LoomFormat
import LoomModel
import LoomRunner
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomRuns

/// Runs in archives: their rows, their events and what they cost.
@Suite(.timeLimit(.minutes(10))) struct ArchivedRunTests {
    private static let isHeavy = ProcessInfo.processInfo.environment["LOOMLOG_HEAVY"] != nil

    /// Everything of a log but its last segment, as one archive.
    private func archived(
        _ storage: SimulatedStorage
    ) throws -> (reader: ArchiveReader, entry: ManifestSegment) {
        let directory = LogDirectory(root: "/a.loom")
        let manifest = try ManifestStore(directory: directory, storage: storage).load().manifest
        let entry = try ArchiveBuilding(
            directory: directory, storage: storage, semantics: RunIndexer()
        ).build(0..<(manifest.segments.count - 1), of: manifest, as: 1000)
        let file = try storage.open(directory.archive(1000), for: .reading)
        return (try ArchiveReader(file: file, entry: entry, storeID: manifest.storeID), entry)
    }

    private func options() -> LogOptions {
        var options = LogOptions(durability: .off)
        options.driver = .inline
        options.firstSegmentBytes = 256 << 10
        options.segmentBytesMax = 256 << 10
        return options
    }

    /// Leaves the runs that are there in ended segments: a unit that fits in none begins another.
    private func endSegment(_ writer: LogWriter) throws {
        var unit = RecordUnit(run: try RunID("filler"), epoch: 1, position: 0)
        var noise = SeededGenerator(1)
        unit.append((0..<(300 << 10)).map { _ in UInt8(truncatingIfNeeded: noise.next()) })
        try writer.append(unit)
    }

    @Test("rows and events of an archive are those that a read of the log gives")
    func rows() async throws {
        let storage = SimulatedStorage(seed: 5)
        let store = try LogRunStore(path: "/a.loom", options: options(), storage: storage)
        let script = SourceScript(store) { $0 }
        for number in 0..<30 {
            _ = try await script.write("run \(number)", steps: number * 3, calls: number % 2 == 0)
        }
        let thin = try await writeThinRuns(store)
        try endSegment(store.log)
        try store.close()
        let (reader, _) = try archived(storage)
        let source = try LogRunSource(path: "/a.loom", storage: storage)
        for number in 0..<30 {
            let run = try RunID("run \(number)")
            let (row, rowNumber) = try #require(try reader.row(of: run))
            let outline = try #require(try source.row(of: run)?.outline)
            #expect(try RunOutline(decoding: row.summary.rawSpan) == outline)
            #expect(row.status == outline.summary.status.code)
            #expect(row.created == outline.summary.created.microseconds)
            var (events, bodies) = (try reader.events(of: row, from: 0), [[UInt8]]())
            while let event = try events.next() { bodies.append(event.body) }
            #expect(bodies == script.written("run \(number)").map(\.body))
            let key = ToolKey.explicit("caf\u{e9}")
            let print = KeyFingerprint(kind: 1, key: Array("caf\u{e9}".utf8))
            let starts = try reader.calls(of: print, runRow: rowNumber).map(\.start)
            #expect(try starts == source.calls(of: key, in: run).map(\.start))
        }
        try leaveSample(storage, reader, runs: (0..<30).map { try RunID("run \($0)") } + thin)
        // The block table counts as the fold does: a place never lies behind its row.
        let last = try reader.blockRow(reader.directory.rowCount(of: .blocks) - 1).row
        #expect(last.endPosition > 0 && last.counts.steps > 0)
    }

    /// Runs whose policies hide something.
    private func writeThinRuns(_ store: LogRunStore) async throws -> [RunID] {
        var runs: [RunID] = []
        for policy in [CheckpointPolicy.interval(7), .compact, .interval(1000)] {
            let name = "thin \(runs.count)"
            var run = try await RawRun(name, in: store, state: Array("[]".utf8), policy: policy)
            for step in 0..<40 as Range<UInt64> {
                try await run.commit(Array("[\(step),\(String(repeating: "7", count: 60))]".utf8))
                let state = run.state
                if step % 9 == 4 { try await run.write([.snapshot(step: step + 1, state: state)]) }
            }
            if runs.isEmpty { try await run.write([.policyChanged(.interval(5))]) }
            await run.release()
            runs.append(run.run)
        }
        return runs
    }

    /// Leaves the archive, and what it holds in lines, for the reader in another language
    /// (Tools/second-reader).
    private func leaveSample(
        _ storage: SimulatedStorage, _ reader: ArchiveReader, runs: [RunID]
    ) throws {
        func hex(_ bytes: some Sequence<UInt8>) -> String {
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
        let file = try storage.open(reader.path, for: .reading)
        var lines: [String] = []
        for run in runs.sorted() {
            guard let (row, number) = try reader.row(of: run) else { continue }
            let fields = [
                "row", hex(run.rawValue.utf8), "\(number)", "\(row.status)", "\(row.category)",
                try reader.text(row.loop) ?? "", "\(row.created)", "\(row.updated)",
                "\(row.firstPosition)", "\(row.endPosition)", "\(row.firstBlock)",
                "\(row.blocksMore)", "\(row.flags.rawValue)", hex(row.summary),
            ]
            lines.append(fields.joined(separator: "\t"))
            var events = try reader.events(of: row, from: 0)
            while let event = try events.next() {
                let numbers = [event.epoch, event.position, event.sequence].map { "\($0)" }
                lines.append(
                    (["event", hex(run.rawValue.utf8)] + numbers + [hex(event.body)])
                        .joined(separator: "\t"))
            }
        }
        let folder = FileManager.default.currentDirectoryPath + "/.build/archive-sample"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(file.readBytes(count: file.size(), at: 0)).write(
            to: URL(filePath: folder + "/sample.lla"))
        try (lines.joined(separator: "\n") + "\n").write(
            toFile: folder + "/sample.txt", atomically: true, encoding: .utf8)
    }

    @Test("runs with the longest labels and failures are archived, their summaries left out")
    func longSummaries() async throws {
        let storage = SimulatedStorage(seed: 8)
        var large = options()
        (large.firstSegmentBytes, large.segmentBytesMax) = (4 << 20, 4 << 20)
        let writer = try LogWriter(path: "/a.loom", options: large, storage: storage)
        func write(_ name: String, _ contents: [RunEvent.Content]) throws {
            var unit = RecordUnit(run: try RunID(name), epoch: 1, position: 0)
            for content in contents {
                unit.append(RunEvent(time: EventTime(microseconds: 5), content).encoded())
            }
            try writer.append(unit)
        }
        let labels = (0..<1000).map {
            Label(name: "label \($0)", value: String(repeating: "v", count: 100) + "\($0)")
        }
        try write(
            "a", [.created(RunCreation(loop: "l", labels: labels, state: [0x30]))])
        let failure = Failure(
            message: String(repeating: "m", count: 65_536), category: .unknown,
            isRetryable: false)
        try write(
            "b",
            [
                .created(RunCreation(loop: "l", state: [0x30])), .resumed(holder: "h"),
                .failed(failure),
            ])
        var unit = RecordUnit(run: try RunID("filler"), epoch: 1, position: 0)
        unit.append(RawRun.noise(1, 5 << 20))
        try writer.append(unit)
        try writer.close()
        let (reader, _) = try archived(storage)
        for (name, status) in [("a", RunStatus.running), ("b", .failed)] {
            let row = try #require(try reader.row(of: RunID(name))?.row)
            #expect(row.summary.isEmpty && row.status == status.code)
        }
        #expect(try reader.row(of: RunID("a"))?.row.labels.count == 1000)
    }

    /// The row went on behind the event that a read of the log ends at.
    @Test("of a run that cannot be read on, an archive knows what the log tells, and no more")
    func unreadable() throws {
        let storage = SimulatedStorage(seed: 9)
        let writer = try LogWriter(path: "/a.loom", options: options(), storage: storage)
        let attempt = AttemptID(step: 0, attempt: 0)
        // A delta against a state of another length.
        let delta = StateDelta.encode(
            from: [UInt8](repeating: 0x30, count: 64), to: [UInt8](repeating: 0x30, count: 65))
        var unit = RecordUnit(run: try RunID("r"), epoch: 1, position: 0)
        for content in [
            .created(RunCreation(loop: "l", state: [0x30])), .resumed(holder: "h"),
            .attemptStarted(attempt), .stepCommitted(attempt, delta: delta),
            .cancelled(reason: "x"),
        ] as [RunEvent.Content] {
            unit.append(RunEvent(time: EventTime(microseconds: 5), content).encoded())
        }
        try writer.append(unit)
        unit = RecordUnit(run: try RunID("strange"), epoch: 1, position: 0)
        unit.append([1, 2, 3])
        try writer.append(unit)
        try endSegment(writer)
        try writer.close()
        let (reader, _) = try archived(storage)
        let source = try LogRunSource(path: "/a.loom", storage: storage)
        let live = try #require(try source.row(of: RunID("r")))
        #expect(live.readError != nil)
        let row = try #require(try reader.row(of: RunID("r"))?.row)
        #expect(try RunOutline(decoding: row.summary.rawSpan) == live.outline)
        // Lists have to read it, whatever they look for.
        #expect(row.status == 0)
        // A run that never began has no status.
        #expect(try reader.row(of: RunID("strange"))?.row.status == 0)
    }

    /// A run of steps alone, in the units that a runner writes.
    private struct SteppedRun {
        let run: RunID
        private(set) var position: UInt64
        private let writer: LogWriter
        private var unit: RecordUnit
        private var track: StateTrack
        private var step: UInt64 = 0

        init(
            _ name: String, _ policy: CheckpointPolicy, _ state: [UInt8], at time: UInt64,
            _ writer: LogWriter
        ) throws {
            (run, self.writer, track) = (try RunID(name), writer, StateTrack(initial: state))
            unit = RecordUnit(run: run, epoch: 1, position: 0)
            let creation = RunCreation(loop: name, policy: policy, state: state)
            for content in [
                .created(creation), .resumed(holder: "h"),
                .attemptStarted(AttemptID(step: 0, attempt: 0)),
            ] as [RunEvent.Content] {
                unit.append(RunEvent(time: EventTime(microseconds: time), content).encoded())
            }
            position = 3
            try writer.append(unit)
        }

        /// Commits the next step.
        mutating func commit(_ state: [UInt8], at time: UInt64) throws {
            let advance = StepAdvance(
                AttemptID(step: step, attempt: 0), track.commit(state, pauses: false),
                time: EventTime(microseconds: time))
            unit.removeAll(nextPosition: position)
            advance.encode(to: &unit)
            position += UInt64(advance.eventCount)
            step += 1
            try writer.append(unit)
        }
    }

    /// One run of a counter, archived: bytes a step, index included.
    private func bytesOfStep(_ policy: CheckpointPolicy, steps: UInt64, noise: Bool) throws
        -> Double
    {
        let storage = SimulatedStorage(seed: 6)
        let writer = try LogWriter(path: "/a.loom", options: options(), storage: storage)
        func state(_ step: UInt64) -> [UInt8] { Array("{\"count\":\(step),\"sum\":0}".utf8) }
        var (time, random) = (UInt64(1_700_000_000_000_000), SeededGenerator(2))
        var counter = try SteppedRun("counter", policy, state(0), at: time, writer)
        for step in 0..<steps {
            // About lognormal with a mean of a millisecond.
            let spread = (0..<6).reduce(0.0) { sum, _ in
                sum + Double.random(in: -0.5...0.5, using: &random)
            }
            time += noise ? UInt64(600 * exp(spread)) : 0
            try counter.commit(state(step + 1), at: time)
        }
        try endSegment(writer)
        try writer.close()
        let (reader, entry) = try archived(storage)
        let row = try #require(try reader.row(of: counter.run)?.row)
        let outline = try RunOutline(decoding: row.summary.rawSpan)
        // The last ones may stand in the segment that is not archived.
        #expect(outline.summary.stepIndex > steps / 2 && outline.violations.isEmpty)
        return Double(entry.validEnd) / Double(outline.summary.stepIndex)
    }

    @Test("a step of a counter costs at most 1.2 bytes, and 4 where the clock is noisy")
    func sizes() throws {
        let steps: UInt64 = Self.isHeavy ? 100_000 : 20_000
        for policy in [CheckpointPolicy.full, .interval(100), .compact] {
            let still = try bytesOfStep(policy, steps: steps, noise: false)
            let noisy = try bytesOfStep(policy, steps: steps, noise: true)
            print("bytes a step, \(policy): \(still), with a noisy clock \(noisy)")
            #expect(still <= 1.2 && noisy <= 4)
        }
    }

    /// English prose that every Debian and Ubuntu has, 237 KB of it.
    private static let prose = "/usr/share/common-licenses"

    /// Messages of 520 bytes of it, or of the file that LOOMLOG_PROSE names. None comes twice: a
    /// delta would name the first in a few bytes.
    private static func messages(_ count: Int) throws -> [String] {
        var text: [UInt8] = []
        if let file = ProcessInfo.processInfo.environment["LOOMLOG_PROSE"] {
            text += try Data(contentsOf: URL(filePath: file))
        } else {
            for name in try FileManager.default.contentsOfDirectory(atPath: prose).sorted() {
                let path = "\(prose)/\(name)"
                // Some are links to the newest version of a licence.
                let link = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
                if link == nil { text += try Data(contentsOf: URL(filePath: path)) }
            }
        }
        return try (0..<count).map { number in
            let part = text.dropFirst(number * 520).prefix(520)
            try #require(part.count == 520)
            return String(decoding: part, as: UTF8.self)
        }
    }

    /// The licences suffice for 440 messages with their share of the bound, as each costs the same
    /// however many came before. The suite has a part of them, and allows for the header, seal and
    /// directory of a file.
    @Test(
        "a transcript of 800 messages takes at most 0.25 MB",
        .enabled(if: FileManager.default.fileExists(atPath: prose)))
    func transcript() throws {
        let hasOwnText = ProcessInfo.processInfo.environment["LOOMLOG_PROSE"] != nil
        let count = Self.isHeavy ? (hasOwnText ? 800 : 440) : 100
        let storage = SimulatedStorage(seed: 7)
        var options = options()
        (options.firstSegmentBytes, options.segmentBytesMax) = (8 << 20, 8 << 20)
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        var (state, time): ([UInt8], UInt64) = (Array("[]".utf8), 1_700_000_000_000_000)
        var chat = try SteppedRun("transcript", .full, state, at: time, writer)
        for (step, message) in try Self.messages(count).enumerated() {
            // As the encoding of all messages is, which takes long for eight hundred.
            let text = try CanonicalJSONEncoder().encode(message)
            state = state.dropLast() + (step > 0 ? [0x2C] : []) + text + [0x5D]
            time += 2_000_000 + UInt64(step * 7919 % 1_000_000)
            try chat.commit(state, at: time)
        }
        var filler = RecordUnit(run: try RunID("filler"), epoch: 1, position: 0)
        filler.append(RawRun.noise(1, 9 << 20))
        try writer.append(filler)
        try writer.close()
        let (reader, entry) = try archived(storage)
        #expect(try reader.row(of: chat.run)?.row.endPosition == chat.position)
        print("a transcript of \(count) messages, \(state.count) bytes: \(entry.validEnd) bytes")
        #expect(entry.validEnd <= UInt64(250_000 * count / 800 + (Self.isHeavy ? 0 : 4096)))
    }
}
