import BenchmarkSupport
import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import SystemPackage

// Appends at a pace, with the archiver and without, in turns: what the archiver takes of a machine
// that is busy.
//
//   PaceBenchmark FOLDER [SECONDS] [UNITS-A-SECOND] [SEGMENT-MIB]
//
// A unit is a step of a counter: the end of an attempt and the start of the next. Each 100,000 are
// a run. Told are the pace, the longest that one batch of 1,000 was late, the most bytes of
// segments that had ended and were not archived, the processor time of each thread, and the most
// memory.

let arguments = Array(CommandLine.arguments.dropFirst())
let folder = FilePath(arguments.first ?? "bench.tmp")
let seconds = arguments.count > 1 ? Int(arguments[1]) ?? 60 : 60
let pace = arguments.count > 2 ? Int(arguments[2]) ?? 1_000_000 : 1_000_000
let segmentBytes =
    arguments.count > 3
    ? (Int(arguments[3]) ?? 64) << 20 : LogOptions().segmentBytesMax
let stepsOfRun = 100_000

func state(_ step: Int) -> [UInt8] { Array("{\"current\":\(step),\"target\":100000}".utf8) }

/// The two events of each step of a run: the same in every run.
func steps() -> [StepAdvance] {
    var track = StateTrack(initial: state(0))
    return (0..<stepsOfRun).map { step in
        StepAdvance(
            AttemptID(step: UInt64(step), attempt: 0),
            track.commit(state(step + 1), pauses: false),
            time: EventTime(microseconds: 1_760_000_000_000_000 + UInt64(step)))
    }
}

/// What one turn was like.
struct Turn {
    var unitsASecond = 0.0
    var lateMilliseconds = 0.0
    var waitingBytes = 0
    var closeSeconds = 0.0
    var processor: [String: Double] = [:]
    var memoryKibibytes = 0
}

/// Appends for some seconds at the pace, or as fast as it goes where that is slower.
func append(
    _ durability: Durability, archives: Bool, _ steps: [StepAdvance]
) async throws -> Turn {
    try? FileManager.default.removeItem(atPath: folder.string)
    var options = LogOptions(durability: durability)
    options.archivesSegments = archives
    options.segmentBytesMax = segmentBytes
    let store = try LogRunStore(path: folder, options: options)
    var turn = Turn()
    let before = ProcessorTime.ofThreads()
    let watch = Watch(folder)
    let (total, began) = (pace * seconds, DispatchTime.now().uptimeNanoseconds)
    var (done, number, late) = (0, 0, UInt64(0))
    var unit = RecordUnit(run: try RunID("run-0"), epoch: 1, position: 0)
    while done < total,
        DispatchTime.now().uptimeNanoseconds - began < UInt64(seconds) * 2_000_000_000
    {
        let run = try RunID("run-\(number)")
        let claim = try await store.claim(run, holder: "benchmark")
        unit = RecordUnit(run: run, epoch: claim.epoch, position: 0)
        let creation = RunCreation(loop: "counter", state: state(0))
        let time = EventTime(microseconds: 1_760_000_000_000_000)
        for content in [
            RunEvent.Content.created(creation), .resumed(holder: "benchmark"),
            .attemptStarted(AttemptID(step: 0, attempt: 0)),
        ] {
            unit.append(RunEvent(time: time, content).encoded())
        }
        var position = UInt64(unit.eventCount)
        _ = try store.log.append(unit)
        for (index, step) in steps.enumerated() {
            if index % 1000 == 0 {
                let due = began + UInt64(Double(done) / Double(pace) * 1e9)
                let now = DispatchTime.now().uptimeNanoseconds
                if now < due { usleep(UInt32((due - now) / 1000)) }
                late = max(late, now > due ? now - due : 0)
            }
            unit.removeAll(nextPosition: position)
            step.encode(to: &unit)
            position += UInt64(unit.eventCount)
            _ = try store.log.append(unit)
            done += 1
            if done == total { break }
        }
        await store.release(run, epoch: claim.epoch)
        number += 1
    }
    let taken = Double(DispatchTime.now().uptimeNanoseconds - began) / 1e9
    turn.unitsASecond = Double(done) / taken
    turn.lateMilliseconds = Double(late) / 1e6
    turn.waitingBytes = watch.stop()
    for (thread, time) in ProcessorTime.ofThreads() {
        turn.processor[thread] = (time - (before[thread] ?? 0)) / taken
    }
    let closing = DispatchTime.now().uptimeNanoseconds
    try store.close()
    turn.closeSeconds = Double(DispatchTime.now().uptimeNanoseconds - closing) / 1e9
    turn.memoryKibibytes = Memory.most()
    Memory.forgetMost()
    guard store.log.position.nextSequence > UInt64(2 * done) else { throw CancellationError() }
    return turn
}

/// Looks every tenth of a second how many bytes of ended segments wait.
final class Watch: @unchecked Sendable {
    private let folder: FilePath
    private let lock = NSLock()
    private var (isStopped, most) = (false, 0)
    private let done = DispatchSemaphore(value: 0)

    init(_ folder: FilePath) {
        self.folder = folder
        let thread = Thread { [self] in
            while !lock.withLock({ isStopped }) {
                let bytes = waiting()
                lock.withLock { most = max(most, bytes) }
                usleep(100_000)
            }
            done.signal()
        }
        thread.start()
    }

    /// Of the live segments the newest is being written, and one behind it prepared.
    private func waiting() -> Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/seg")) ?? []
        let sizes = names.filter { $0.hasSuffix(".llg") }.sorted().compactMap { name in
            try? FileManager.default.attributesOfItem(atPath: "\(folder)/seg/\(name)")[.size]
                as? Int
        }
        return sizes.dropLast(2).reduce(0, +)
    }

    func stop() -> Int {
        lock.withLock { isStopped = true }
        done.wait()
        return lock.withLock { most }
    }
}

/// How fast a processor is at the moment, whose other half others may use: hashes of 40 bytes.
func millionHashesASecond() -> Int {
    let bytes = [UInt8](repeating: 3, count: 40)
    var (sum, best) = (UInt64(0), 0.0)
    for _ in 0..<5 {
        let began = ProcessorTime.ofProcess()
        for seed in 0..<4_000_000 {
            sum &+= BlockHash.hash(bytes.span.bytes, seed: UInt64(seed))
        }
        best = max(best, 4 / (ProcessorTime.ofProcess() - began))
    }
    return sum == 0 ? 0 : Int(best)
}

let all = steps()
print("\(pace) units a second for \(seconds) s")
print("XXH3-64 of 40 bytes: \(millionHashesASecond()) million a second of processor time\n")
print(
    "| durability, archiver | units a second | ratio to none | latest, ms | waiting, MiB |"
        + " archiver, cores | others, cores | close, s | memory, MiB |")
print("|---|---|---|---|---|---|---|---|---|")
for durability in [Durability.off, .normal] {
    let without = try await append(durability, archives: false, all)
    let with = try await append(durability, archives: true, all)
    for (name, turn) in [("none", without), ("archiver", with)] {
        let archiver = turn.processor["loom-archive"] ?? 0
        let others = turn.processor.values.reduce(0, +) - archiver
        func told(_ value: Double) -> String { String(format: "%.2f", value) }
        print(
            "| \(durability), \(name) | \(Int(turn.unitsASecond)) |",
            told(turn.unitsASecond / without.unitsASecond), "|",
            told(turn.lateMilliseconds), "| \(turn.waitingBytes >> 20) |",
            told(archiver), "|", told(others), "|", told(turn.closeSeconds),
            "| \(turn.memoryKibibytes >> 10) |")
    }
}
try? FileManager.default.removeItem(atPath: folder.string)
