import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import SystemPackage

// What reads cost in a large log: one long run, and many short ones.
//
//   ReadBenchmark long DIR STEPS     writes a counter of so many steps
//   ReadBenchmark many DIR RUNS      writes so many short runs
//   ReadBenchmark read DIR           reads it: each line is a time, the last one the memory

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
func writeLong(_ path: FilePath, steps: Int) async throws {
    let store = try LogRunStore(path: path)
    let began = ContinuousClock.now
    let runner = Runner(Counter(target: UInt64.max), store: store)
    let result = try await runner.start(RunID("demo"), state: 0, stepsMax: steps)
    guard result.stepIndex == UInt64(steps) else { throw CancellationError() }
    let taken = ContinuousClock.now - began
    try store.close()
    print("\(steps) steps in \(taken), closed after \(ContinuousClock.now - began)")
}

/// Writes runs of three events, one in ten of which has failed.
func writeMany(_ path: FilePath, runs: Int) async throws {
    let store = try LogRunStore(path: path)
    let began = ContinuousClock.now
    for number in 0..<runs {
        let run = try name(number)
        let claim = try await store.claim(run, holder: "benchmark")
        var unit = RecordUnit(run: run, epoch: claim.epoch, position: 0)
        let labels = [Label(name: "team", value: "t\(number % 10)")]
        let creation = RunCreation(loop: "short", labels: labels, state: Array("{}".utf8))
        let last: RunEvent.Content =
            number % 10 == 0
            ? .failed(Failure(category: .business, message: "no"))
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
    try store.close()
    print("\(runs) runs in \(ContinuousClock.now - began)")
}

/// Prints how long a call takes, on average over some.
func time(_ what: String, times: Int = 1, _ body: (Int) throws -> Void) throws {
    let began = ContinuousClock.now
    for number in 0..<times { try body(number) }
    let taken = (ContinuousClock.now - began) / times
    let microseconds =
        Double(taken.components.attoseconds) / 1e12 + 1e6
        * Double(taken.components.seconds)
    print("\(what): \(String(format: "%.1f", microseconds)) us")
}

func read(_ path: FilePath) throws {
    let log = try LogReader(path: path)
    let overview = try log.overview()
    print(
        "\(overview.position.nextSequence - 1) events, \(overview.byteCount) bytes,",
        "\(overview.archiveCount) archives of \(overview.segmentCount) segments")
    var reader = try RunReader(path: path)
    try time("open and first answer") { _ in
        reader = try RunReader(path: path)
        _ = try? reader.stats(RunID("demo"))
    }
    try time("a run that is not there", times: 10_000) { number in
        _ = try reader.source.row(of: RunID("absent-\(number)"))
    }
    if let row = try reader.source.row(of: RunID("demo")) {
        let steps = Int(row.outline.summary.stepIndex)
        let run = row.run
        try time("get", times: 100) { _ in _ = try reader.get(run) }
        try time("explain", times: 100) { _ in _ = try reader.explain(run) }
        try time("history, 20 states at nine tenths", times: 20) { _ in
            let page = try reader.history(run, limit: 20, offset: steps / 10 * 9)
            guard page.count == 20 else { throw CancellationError() }
        }
        try time("attempts, 20 at a half", times: 20) { _ in
            let page = try reader.attempts(run, limit: 20, offset: steps / 2)
            guard page.count == 20 else { throw CancellationError() }
        }
        try time("the state of a step", times: 20) { number in
            _ = try reader.state(run, at: UInt64(steps / 21 * (number + 1)))
        }
    } else {
        var generator = SystemRandomNumberGenerator()
        try time("row", times: 10_000) { _ in
            let number = Int.random(in: 0..<100_000, using: &generator)
            _ = try reader.source.row(of: name(number))
        }
        try time("list, 20 of a status and a label", times: 3) { _ in
            var filter = RunFilter()
            filter.status = "failed"
            filter.labels = [Label(name: "team", value: "t0")]
            let rows = try reader.list(filter, limit: 20)
            guard rows.count == 20 else { throw CancellationError() }
        }
        try time("list, the 20 newest", times: 3) { _ in
            var rows = try reader.listRows(limit: 20, order: .newest)
            while try rows.next() != nil {}
        }
    }
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    for line in status.split(separator: "\n") where line.hasPrefix("VmHWM") { print(line) }
}

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count >= 2 else {
    print("usage: ReadBenchmark long|many|read DIR [COUNT]")
    exit(64)
}
let path = FilePath(arguments[1])
let count = arguments.count > 2 ? Int(arguments[2]) : nil
switch arguments[0] {
case "long": try await writeLong(path, steps: count ?? 10_000_000)
case "many": try await writeMany(path, runs: count ?? 1_000_000)
default: try read(path)
}
