import BenchmarkSupport
import Foundation
import LoomFormat
import LoomModel

// Codec 2 beside plain LZ4: bytes a step, and events a second to write blocks and to read them.
//
//   ArchiveBenchmark                blocks alone
//   ArchiveBenchmark jobs FOLDER    whole jobs of an archiver, on a log in that folder

/// Random numbers from a seed (SplitMix64).
struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// A clock whose steps are lognormal (sigma 1) around a mean; without a mean it stands still.
struct Clock {
    var now = 1_760_000_000_000_000.0
    var generator = Generator(state: 7)
    let mean: Double?

    mutating func next() -> EventTime {
        if let mean {
            let (radius, angle) = (
                Double.random(in: 1e-12..<1, using: &generator),
                Double.random(in: 0..<1, using: &generator)
            )
            now += mean * exp((-2 * log(radius)).squareRoot() * cos(2 * .pi * angle) - 0.5)
        }
        return EventTime(microseconds: UInt64(now))
    }
}

/// The blocks of one archive: their rows, and each of them with codec 2 and with codec 1.
struct Archive {
    var payloads: [[UInt8]] = []
    var packed: [[UInt8]] = []
    var plain: [[UInt8]] = []
    var (eventCount, stepCount) = (0, 0)
    private var (rows, packing) = (BlockRows(), RowPacking())
    private var (position, sequence) = (UInt64(0), UInt64(1))
    private var run: RunID
    private var number: UInt64?

    init() throws { run = try RunID("counter") }

    static let fields = BlockEncoder.Fields(
        kind: .events, firstSequence: 1, eventCount: 1, durableUpTo: 0, previousHash: 0)

    mutating func begin(_ name: String) throws {
        run = try RunID(name)
        (number, position) = (nil, 0)
    }

    mutating func add(_ content: RunEvent.Content, _ time: EventTime) {
        add(RunEvent(time: time, content).encoded())
    }

    mutating func add(_ body: [UInt8]) {
        if rows.mustEnd(before: body.count) { endBlock() }
        let run = number ?? rows.declare(run)
        number = run
        rows.append(run: run, epoch: 1, position: position, sequence: sequence, body.span.bytes)
        (position, sequence, eventCount) = (position + 1, sequence + 1, eventCount + 1)
        if rows.isFull { endBlock() }
    }

    mutating func endBlock() {
        guard !rows.isEmpty else { return }
        let payload = rows.payload.withUnsafeBytes { Array($0) }
        payloads.append(payload)
        packed.append(Self.block(payload, &packing))
        plain.append(Self.plainBlock(payload))
        rows.removeAll()
        number = nil
    }

    static func block(_ payload: [UInt8], _ packing: inout RowPacking) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: BlockEncoder.byteCountMax(rawCount: payload.count)) {
            $1 =
                BlockEncoder.encode(
                    fields, rows: payload.span.bytes, packing: &packing, seed: 1,
                    into: UnsafeMutableRawBufferPointer($0)
                ).byteCount
        }
    }

    static func plainBlock(_ payload: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: BlockEncoder.byteCountMax(rawCount: payload.count)) {
            target, count in
            count = payload.withUnsafeBytes {
                BlockEncoder.encode(
                    fields, payload: $0, seed: 1, into: UnsafeMutableRawBufferPointer(target)
                ).byteCount
            }
        }
    }

    /// Checks and decodes blocks; returns the bytes.
    static func read(_ blocks: [[UInt8]], _ unpacking: inout RowUnpacking) throws -> Int {
        var (target, count) = ([UInt8](), 0)
        for block in blocks {
            var parser = BlockParser(
                salt: 1, offset: 0, previousHash: 0, nextSequence: 1, in: .archive)
            guard case .block(let header) = parser.next(in: block.span.bytes) else {
                preconditionFailure("a block does not verify")
            }
            target.removeAll(keepingCapacity: true)
            try header.decodePayload(
                block.span.bytes.extracting(droppingFirst: BlockHeader.byteCount), into: &target,
                unpacking: &unpacking)
            count += target.count
        }
        return count
    }
}

func counter(mean: Double?) throws -> Archive {
    var (archive, clock) = (try Archive(), Clock(mean: mean))
    func state(_ step: Int) -> [UInt8] { Array("{\"current\":\(step),\"target\":100000}".utf8) }
    var track = StateTrack(initial: state(0))
    for step in 0..<100_000 {
        let advance = StepAdvance(
            AttemptID(step: UInt64(step), attempt: 0), track.commit(state(step + 1), pauses: false),
            time: clock.next())
        for event in advance.events { archive.add(event.content, event.time) }
        archive.stepCount += 1
    }
    archive.endBlock()
    return archive
}

/// Many runs of a few steps, each with a tool call.
func smallRuns() throws -> Archive {
    var (archive, clock) = (try Archive(), Clock(mean: 1000))
    var generator = Generator(state: 3)
    for number in 0..<3_000 {
        try archive.begin("agent-\(100_000 + number)")
        func state(_ step: Int, _ text: String) -> [UInt8] {
            Array("{\"answers\":[\"\(text)\"],\"round\":\(step),\"question\":\"q\(number)\"}".utf8)
        }
        var track = StateTrack(initial: state(0, ""))
        for step in 0..<Int.random(in: 3...20, using: &generator) {
            let id = AttemptID(step: UInt64(step), attempt: 0)
            archive.add(.attemptStarted(id), clock.next())
            let key = String(generator.next(), radix: 16)
            archive.add(
                .toolStarted(
                    ToolStart(
                        attempt: id, name: "search", safety: .idempotent, key: .explicit(key),
                        request: Array("{\"limit\":5,\"query\":\"\(key.prefix(6))\"}".utf8))),
                clock.next())
            let answer = (0..<6).map { _ in String(generator.next() % 100_000, radix: 36) }
            let text = answer.joined(separator: " ")
            archive.add(
                .toolFinished(
                    ToolFinish(
                        start: UInt64(step) * 4 + 1,
                        outcome: .completed(result: Array("{\"found\":\"\(text)\"}".utf8)))),
                clock.next())
            let change = track.commit(state(step + 1, text), pauses: false)
            archive.add(.stepCommitted(id, delta: change.delta), clock.next())
            archive.stepCount += 1
        }
    }
    archive.endBlock()
    return archive
}

let arguments = CommandLine.arguments
if arguments.count > 2, arguments[1] == "jobs" {
    try await measureJobs(in: arguments[2], arguments.count > 3 ? arguments[3] : nil)
    exit(0)
}
print("| 32 KiB of rows a block | steps | bytes a step, packed rows | plain LZ4 |")
print("|---|---|---|---|")
let archives = [
    ("counter, clock at rest", try counter(mean: nil)),
    ("counter, steps of 1 µs", try counter(mean: 1)),
    ("counter, steps of 1 ms", try counter(mean: 1000)),
    ("counter, steps of 2 s", try counter(mean: 2e6)), ("small runs with tools", try smallRuns()),
]
for (name, archive) in archives {
    func aStep(_ blocks: [[UInt8]]) -> String {
        String(
            format: "%.2f", Double(blocks.reduce(0) { $0 + $1.count }) / Double(archive.stepCount))
    }
    print("| \(name) | \(archive.stepCount) | \(aStep(archive.packed)) | \(aStep(archive.plain)) |")
}
for (name, archive) in archives {
    var (packing, unpacking) = (RowPacking(), RowUnpacking())
    let bytes = archive.payloads.reduce(0) { $0 + $1.count }
    var table = Comparison("blocks of \(name)", unit: "events")
    table.add("written, LZ4 and XXH3 alone") {
        for payload in archive.payloads { _ = Archive.plainBlock(payload) }
        return archive.eventCount
    }
    table.add("written, packed rows") {
        for payload in archive.payloads { _ = Archive.block(payload, &packing) }
        return archive.eventCount
    }
    table.add("read, LZ4 and XXH3 alone") {
        let count = try Archive.read(archive.plain, &unpacking)
        precondition(count == bytes, "other bytes")
        return archive.eventCount
    }
    table.add("read, packed rows") {
        let count = try Archive.read(archive.packed, &unpacking)
        precondition(count == bytes, "other bytes")
        return archive.eventCount
    }
    let rates = try await table.run(rounds: 15, against: "written, LZ4 and XXH3 alone")
    func both(_ kind: String) -> Double {
        1
            / (1 / rates["written, \(kind)", default: .nan] + 1
                / rates["read, \(kind)", default: .nan])
    }
    let (ours, plain) = (both("packed rows"), both("LZ4 and XXH3 alone"))
    let ratio = String(format: "%.2f", ours / plain)
    print("| written and read, packed rows to LZ4 and XXH3 | | | \(ratio)x |")
}
