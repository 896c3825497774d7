import BenchmarkSupport
import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import SystemPackage

// What reads cost in a large log: one long run, and many short ones.
//
//   ReadBenchmark long DIR STEPS [close|kill [MIB]]
//                                           writes a counter of so many steps, in segments of so
//                                           many MiB; told is its memory meanwhile
//   ReadBenchmark many DIR RUNS ARCHIVES    writes so many short runs into so many archives
//   ReadBenchmark read DIR [WORD]           reads it: each line is a time, then the memory, and
//                                           last how long it takes to read all of the log; with a
//                                           word only the lines that have it
//   ReadBenchmark command PROGRAM DIR       the same by processes of loomlog
//   ReadBenchmark open DIR                  opens it for writing, and claims a run
//
// With `kill` the process ends by SIGKILL instead of closing the log.

/// A counter whose state is sixteen bytes.
struct Counter: StepLoop {
    typealias State = UInt64
    let name = "counter"
    let target: UInt64

    var stateCodec: ValueCodec<UInt64> {
        ValueCodec(name: "counter-bytes") { state in
            var writer = ByteWriter(capacity: 16)
            writer.writeUInt64(state)
            writer.writeUInt64(0)
            return writer.bytes
        } decode: { bytes in
            var reader = ByteReader(bytes.rawSpan)
            return try reader.readUInt64()
        }
    }

    func step(_ state: UInt64, _ context: StepContext) async throws -> Outcome<UInt64, UInt64> {
        state == target ? .complete(state) : .continue(state + 1)
    }
}

func name(_ number: Int) throws -> RunID { try RunID("run-\(number)") }

/// Writes a log whose only run is paused after so many steps.
func writeLong(
    _ path: FilePath, steps: Int, isKilled: Bool, segmentMebibytes: Int?
) async throws {
    var options = LogOptions()
    if let segmentMebibytes { options.segmentBytesMax = segmentMebibytes << 20 }
    let store = try LogRunStore(path: path, options: options)
    let began = ContinuousClock.now
    let runner = Runner(Counter(target: UInt64.max), store: store)
    let run = try RunID("demo")
    var memory: [Int] = []
    for tenth in 1...10 {
        let some = steps / 10 * tenth - steps / 10 * (tenth - 1)
        let result =
            tenth == 1
            ? try await runner.start(run, state: 0, stepsMax: some)
            : try await runner.resume(run, stepsMax: some)
        guard result.stepIndex == UInt64(steps / 10 * tenth) else { throw CancellationError() }
        memory.append(Memory.own() >> 10)
    }
    let taken = ContinuousClock.now - began
    print(
        "own memory after each tenth, MiB: \(memory); the most, with files: \(Memory.most() >> 10)")
    if isKilled {
        print("\(steps) steps in \(taken), killed")
        fflush(nil)
        kill(getpid(), SIGKILL)
    }
    let closing = ContinuousClock.now
    try store.close()
    print("\(steps) steps in \(taken), closed in \(ContinuousClock.now - closing)")
}

/// Writes runs of three events, one in ten of which has failed.
func writeMany(_ path: FilePath, runs: Int, archives: Int) async throws {
    var options = LogOptions()
    // As many segments as archives are wanted; the last of them stays live.
    let bytes = 200 * runs / archives
    (options.firstSegmentBytes, options.segmentBytesMax) = (bytes, bytes)
    let store = try LogRunStore(path: path, options: options)
    let began = ContinuousClock.now
    for number in 0..<runs {
        let run = try name(number)
        let claim = try await store.claim(run, holder: "benchmark")
        var unit = RecordUnit(run: run, epoch: claim.epoch, position: 0)
        let labels = [Label(name: "team", value: "t\(number % 10)")]
        let creation = RunCreation(loop: "short", labels: labels, state: Array("{}".utf8))
        let last: RunEvent.Content =
            number % 10 == 0
            ? .failed(Failure(message: "no", category: .business, isRetryable: false))
            : .cancelled(reason: "done")
        for content in [.created(creation), .resumed(holder: "benchmark"), last] {
            let time = EventTime(microseconds: 1_000_000 + UInt64(number))
            unit.append(RunEvent(time: time, content).encoded())
        }
        guard try await store.commit(unit, outline: { RunOutline() }) == .ok else {
            throw CancellationError()
        }
        await store.release(run, epoch: claim.epoch)
    }
    let taken = ContinuousClock.now - began
    // Many short runs take the archiver longer than a close waits for it.
    let segments = "\(path)/seg"
    while try FileManager.default.contentsOfDirectory(atPath: segments)
        .count(where: { $0.hasSuffix(".llg") }) > 2
    { usleep(50_000) }
    try store.close()
    print("\(runs) runs in \(taken), archived and closed \(ContinuousClock.now - began)")
}

/// Prints how long a call takes: the best of three times the average over some.
func time(_ what: String, times: Int = 1, _ body: (Int) throws -> Void) throws {
    guard wanted.map(what.contains) ?? true else { return }
    var best = Double.infinity
    for _ in 0..<3 {
        let began = DispatchTime.now().uptimeNanoseconds
        for number in 0..<times { try body(number) }
        best = min(
            best, Double(DispatchTime.now().uptimeNanoseconds - began) / 1e3 / Double(times))
    }
    print("\(what): \(String(format: "%.1f", best)) us")
}

func read(_ path: FilePath) throws {
    var reader = try RunReader(path: path)
    try time("open and first answer") { _ in
        reader = try RunReader(path: path)
        _ = try reader.source.row(of: RunID("demo"))
    }
    let absent = try (0..<10_000).map { try RunID("absent-\($0)") }
    try time("a run that is not there", times: absent.count) { number in
        _ = try reader.source.row(of: absent[number])
    }
    if let row = try reader.source.row(of: RunID("demo")) {
        try readLong(reader, row.run, steps: Int(row.outline.summary.stepIndex))
    } else {
        try readMany(reader)
    }
    print("the most memory: \(Memory.most() >> 10) MiB")
    guard wanted == nil else { return }
    let log = try LogReader(path: path)
    let overview = try log.overview()
    print(
        "\(overview.position.nextSequence - 1) events, \(overview.byteCount) bytes,",
        "\(overview.archiveCount) archives of \(overview.segmentCount) segments")
    var count = 0
    let began = ContinuousClock.now
    try log.scan { _ in count += 1 }
    print("all \(count) events read by LogReader.scan: \(ContinuousClock.now - began)")
}

func readLong(_ reader: RunReader, _ run: RunID, steps: Int) throws {
    try time("get", times: 100) { _ in _ = try reader.get(run) }
    try time("explain", times: 100) { _ in _ = try reader.explain(run) }
    for tenth in [1, 5, 9] {
        try time("history, 20 states at \(tenth) tenths", times: 20) { _ in
            let page = try reader.history(run, limit: 20, offset: steps / 10 * tenth)
            guard page.count == 20 else { throw CancellationError() }
        }
    }
    try time("attempts, 20 at a half", times: 20) { _ in
        let page = try reader.attempts(run, limit: 20, offset: steps / 2)
        guard page.count == 20 else { throw CancellationError() }
    }
    try time("the state of a step", times: 20) { number in
        _ = try reader.state(run, at: UInt64(steps / 21 * (number + 1)))
    }
}

func readMany(_ reader: RunReader) throws {
    var generator = SystemRandomNumberGenerator()
    let count = try reader.source.row(of: name(999_999)) == nil ? 100_000 : 1_000_000
    try time("row", times: 10_000) { _ in
        let number = Int.random(in: 0..<count, using: &generator)
        guard try reader.source.row(of: name(number)) != nil else { throw CancellationError() }
    }
    try time("get", times: 10_000) { _ in
        _ = try reader.get(name(Int.random(in: 0..<count, using: &generator)))
    }
    try time("list, 20 of a status and a label", times: 3) { _ in
        var filter = RunFilter()
        filter.status = "failed"
        filter.labels = [Label(name: "team", value: "t0")]
        let rows = try reader.list(filter, limit: 20)
        guard rows.count == 20 else { throw CancellationError() }
    }
    try time("list, 20 of a label that none has") { _ in
        var filter = RunFilter()
        filter.labels = [Label(name: "team", value: "none")]
        guard try reader.list(filter, limit: 20).isEmpty else { throw CancellationError() }
    }
    try time("list, the 20 newest", times: 3) { _ in
        var rows = try reader.listRows(limit: 20, order: .newest)
        while try rows.next() != nil {}
    }
}

/// The same by whole processes.
func command(_ program: String, _ path: String) throws {
    let run =
        try RunReader(path: FilePath(path)).source.row(of: RunID("demo")) == nil
        ? "run-4711" : "demo"
    for command in [["--version"], ["get", run], ["explain", run], ["stats", run]] {
        var best = Double.infinity
        try time("loomlog \(command[0])", times: 5) { _ in
            let before = ProcessorTime.ofChildren()
            let process = Process()
            process.executableURL = URL(fileURLWithPath: program)
            process.arguments = command.count == 1 ? command : command + ["--log", path, "--json"]
            process.standardOutput = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            guard process.terminationStatus == 0 else { throw CancellationError() }
            best = min(best, ProcessorTime.ofChildren() - before)
        }
        print("    of that processor time, at best: \(Int(best * 1e6)) us")
    }
}

/// Opens a log for writing.
func open(_ path: FilePath) async throws {
    let began = ContinuousClock.now
    let store = try LogRunStore(path: path)
    let opened = ContinuousClock.now
    let run = try RunID("demo")
    let claim = try await store.claim(run, holder: "benchmark")
    let claimed = ContinuousClock.now
    await store.release(run, epoch: claim.epoch)
    print("opened for writing: \(opened - began), first claim: \(claimed - opened)")
    try store.close()
}

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count >= 2 else {
    print("usage: ReadBenchmark long|many|read|command|open DIR …")
    exit(64)
}
let path = FilePath(arguments[1])
let count = arguments.count > 2 ? Int(arguments[2]) : nil
/// A word of the lines that are wanted.
let wanted = arguments[0] == "read" && arguments.count > 2 ? arguments[2] : nil
switch arguments[0] {
case "long":
    try await writeLong(
        path, steps: count ?? 10_000_000, isKilled: arguments.contains("kill"),
        segmentMebibytes: arguments.count > 4 ? Int(arguments[4]) : nil)
case "many":
    let archives = arguments.count > 3 ? Int(arguments[3]) : nil
    try await writeMany(path, runs: count ?? 1_000_000, archives: archives ?? 16)
case "command": try command(arguments[1], arguments.count > 2 ? arguments[2] : ".")
case "open": try await open(path)
default: try read(path)
}
