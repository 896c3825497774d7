import BenchmarkSupport
import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import SystemPackage

// Whole jobs of an archiver beside LZ4 and XXH3 alone over the same rows, by processor time.

/// Writes a log of some runs and keeps the rows that its archives will have.
struct JobLog {
    let path: FilePath
    var rows: Archive
    private(set) var bytes = 0
    private let store: LogRunStore
    private var unit: RecordUnit
    private var epoch: UInt64 = 1

    init(_ path: FilePath) throws {
        self.path = path
        try? FileManager.default.removeItem(atPath: path.string)
        var options = LogOptions(durability: .off)
        options.segmentBytesMax = 16 << 20
        store = try LogRunStore(path: path, options: options)
        rows = try Archive()
        unit = RecordUnit(run: try RunID("none"), epoch: 1, position: 0)
    }

    /// Begins a run. Runs must come in the order of their names.
    mutating func begin(_ name: String, state: [UInt8], _ time: EventTime) async throws {
        let run = try RunID(name)
        epoch = try await store.claim(run, holder: "benchmark").epoch
        unit = RecordUnit(run: run, epoch: epoch, position: 0)
        try rows.begin(name)
        let creation = RunCreation(loop: "benchmark", state: state)
        try append([.created(creation), .resumed(holder: "benchmark")], time)
    }

    mutating func append(_ contents: [RunEvent.Content], _ time: EventTime) throws {
        unit.removeAll(nextPosition: unit.position + UInt64(unit.eventCount))
        for content in contents {
            let body = RunEvent(time: time, content).encoded()
            unit.append(body)
            rows.add(body)
        }
        _ = try store.log.append(unit)
    }

    mutating func end(_ time: EventTime) async throws {
        try append([.cancelled(reason: "")], time)
        await store.release(unit.run, epoch: epoch)
    }

    /// Waits until what has ended is archived, and closes. Returns the archiver's seconds.
    mutating func finish() async throws -> Double {
        rows.endBlock()
        let folder = "\(path)/seg"
        while try FileManager.default.contentsOfDirectory(atPath: folder)
            .count(where: { $0.hasSuffix(".llg") }) > 2
        { usleep(20_000) }
        var time = ProcessorTime.ofThreads()["loom-archive"] ?? 0
        let before = ProcessorTime.ofProcess()
        try store.close()
        time += ProcessorTime.ofProcess() - before
        return time
    }
}

func counterJobs(_ path: FilePath) async throws -> JobLog {
    var (log, clock) = (try JobLog(path), Clock(mean: 1000))
    func state(_ step: Int) -> [UInt8] { Array("{\"current\":\(step),\"target\":100000}".utf8) }
    for number in 0..<12 {
        try await log.begin("counter-\(100 + number)", state: state(0), clock.next())
        try log.append([.attemptStarted(AttemptID(step: 0, attempt: 0))], clock.next())
        var track = StateTrack(initial: state(0))
        for step in 0..<100_000 {
            let advance = StepAdvance(
                AttemptID(step: UInt64(step), attempt: 0),
                track.commit(state(step + 1), pauses: false), time: clock.next())
            try log.append(advance.events.map(\.content), advance.time)
        }
        try await log.end(clock.next())
    }
    return log
}

func toolJobs(_ path: FilePath) async throws -> JobLog {
    var (log, clock) = (try JobLog(path), Clock(mean: 1000))
    var generator = Generator(state: 3)
    for number in 0..<12_000 {
        func state(_ step: Int, _ text: String) -> [UInt8] {
            Array("{\"answers\":[\"\(text)\"],\"round\":\(step),\"question\":\"q\(number)\"}".utf8)
        }
        try await log.begin("agent-\(100_000 + number)", state: state(0, ""), clock.next())
        var (track, position) = (StateTrack(initial: state(0, "")), UInt64(2))
        for step in 0..<Int.random(in: 3...20, using: &generator) {
            let id = AttemptID(step: UInt64(step), attempt: 0)
            try log.append([.attemptStarted(id)], clock.next())
            let key = String(generator.next(), radix: 16)
            let start = ToolStart(
                attempt: id, name: "search", safety: .idempotent, key: .explicit(key),
                request: Array("{\"limit\":5,\"query\":\"\(key.prefix(6))\"}".utf8))
            try log.append([.toolStarted(start)], clock.next())
            let answer = (0..<6).map { _ in String(generator.next() % 100_000, radix: 36) }
            let text = answer.joined(separator: " ")
            let result = Array("{\"found\":\"\(text)\"}".utf8)
            try log.append(
                [
                    .toolFinished(
                        ToolFinish(start: position + 1, outcome: .completed(result: result)))
                ],
                clock.next())
            let change = track.commit(state(step + 1, text), pauses: false)
            try log.append([.stepCommitted(id, delta: change.delta)], clock.next())
            position += 4
        }
        try await log.end(clock.next())
    }
    return log
}

/// Measures the jobs on one log.
func measureJobs(_ name: String, _ made: JobLog) async throws {
    var log = made
    let archiving = try await log.finish()
    var (alone, unpacking) = (Double.infinity, RowUnpacking())
    for _ in 0..<3 {
        let began = ProcessorTime.ofProcess()
        for payload in log.rows.payloads { _ = Archive.plainBlock(payload) }
        _ = try Archive.read(log.rows.plain, &unpacking)
        alone = min(alone, ProcessorTime.ofProcess() - began)
    }
    var best = (reindex: Double.infinity, compact: Double.infinity)
    for _ in 0..<3 {
        let store = try LogRunStore(path: log.path)
        let began = ProcessorTime.ofProcess()
        _ = try await store.reindex()
        best.reindex = min(best.reindex, ProcessorTime.ofProcess() - began)
        try store.close()
    }
    let store = try LogRunStore(path: log.path)
    var all = RunSelection()
    all.prefix = "agent-1"
    if name == "counter" { all.prefix = "counter-1" }
    let began = ProcessorTime.ofProcess()
    let report = try await store.compact(
        CompactionRequest(
            RetentionRules([RetentionRule(all, .setPolicy(.interval(1000)))]),
            removesAtOnce: true))
    best.compact = ProcessorTime.ofProcess() - began
    try store.close()
    let events = Double(log.rows.eventCount)
    for (job, time) in [
        ("archived, merged, read back", archiving),
        ("moved, indexed anew, read back", best.reindex),
        ("compacted to interval(1000): \(report.rewrittenCount) files", best.compact),
    ] {
        print(
            "| \(name): \(job) | \(String(format: "%.2f", events / time / 1e6)) |",
            "\(String(format: "%.2f", events / alone / 1e6)) |",
            "\(String(format: "%.2f", alone / time))x |")
    }
}

/// - Parameter wanted: `counter` or `tools`; both unless it is said.
func measureJobs(in folder: String, _ wanted: String?) async throws {
    print("\n| whole jobs | million events a second, processor time | LZ4 and XXH3 alone | ratio |")
    print("|---|---|---|---|")
    let path = FilePath(folder)
    if wanted != "tools" { try await measureJobs("counter", try await counterJobs(path)) }
    if wanted != "counter" {
        try await measureJobs("runs with tools", try await toolJobs(path))
    }
    try? FileManager.default.removeItem(atPath: folder)
}
