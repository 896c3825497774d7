// Makes one small log of every shape that the format allows, each in a folder of its own, for the
// second reader and the dump to agree on. Use: store-shapes FOLDER

import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage

let folder = FilePath(CommandLine.arguments.dropFirst().first ?? "stores")
try FileManager.default.createDirectory(atPath: folder.string, withIntermediateDirectories: true)

/// Numbers without a seed from outside, so that every run makes the same events.
struct Numbers: RandomNumberGenerator {
    var state: UInt64 = 7
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 29)
    }
}
var numbers = Numbers()

@MainActor func noise(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: numbers.next() >> 20) }
}

func text(_ count: Int) -> [UInt8] {
    Array(String(repeating: "a step, a tool, a state; ", count: count / 25 + 1).utf8.prefix(count))
}

func options(_ durability: Durability = .off, first: Int = 64 << 10) -> LogOptions {
    var options = LogOptions(durability: durability)
    options.firstSegmentBytes = first
    options.segmentBytesMax = 4 * first
    options.syncDelayNanoseconds = 2_000_000
    options.idleMarkNanoseconds = 2_000_000
    return options
}

/// One commit of `bodies` to a run.
func commit(
    _ writer: LogWriter, _ run: String, _ position: UInt64, _ bodies: [[UInt8]],
    epoch: UInt64 = 1, barrier: Bool = false
) throws {
    var unit = RecordUnit(
        run: try RunID(run), epoch: epoch, position: position, isBarrier: barrier)
    for body in bodies { unit.append(body) }
    try writer.commit(unit)
}

/// Makes a log under a name; `body` decides how it ends.
func make(
    _ name: String, _ options: LogOptions = options(), _ body: (FilePath) throws -> Void
) throws {
    try body(folder.appending("\(name).loom"))
}

try make("empty") { try LogWriter(path: $0, options: options()).close() }

try make("one-event") { path in
    let writer = try LogWriter(path: path, options: options())
    try commit(writer, "demo", 0, [Array("hello".utf8)])
    try writer.close()
}

try make("many-runs") { path in
    let writer = try LogWriter(path: path, options: options())
    for number in 0..<200 {
        try commit(
            writer, "run-\(number % 37)-é", UInt64(number / 37), [noise(number % 50), []],
            epoch: UInt64(number % 3 + 1))
    }
    try writer.close()
}

try make("compressed") { path in
    let writer = try LogWriter(path: path, options: options())
    for number in 0..<20 { try commit(writer, "demo", UInt64(number), [text(number * 300)]) }
    try writer.close()
}

try make("rolled") { path in
    let writer = try LogWriter(path: path, options: options())
    for number in 0..<900 { try commit(writer, "r\(number % 5)", UInt64(number / 5), [noise(600)]) }
    try writer.close()
}

try make("large-unit") { path in
    let writer = try LogWriter(path: path, options: options())
    try commit(writer, "before", 0, [[1]])
    try commit(writer, "big", 0, [noise(5 << 20), text(9 << 20), []])
    try commit(writer, "after", 0, [[2]])
    try writer.close()
}

try make("reopened") { path in
    for round in 0..<4 {
        let writer = try LogWriter(path: path, options: options())
        try commit(writer, "demo", UInt64(round), [text(40)], epoch: UInt64(round + 1))
        try writer.close()
    }
}

try make("modes") { path in
    for (round, mode) in Durability.allCases.enumerated() {
        let writer = try LogWriter(path: path, options: options(mode))
        for number in 0..<5 {
            try commit(
                writer, "demo", UInt64(round * 5 + number), [[UInt8(number)]], barrier: number == 3)
            // Long enough for an idle mark.
            if number == 2 { POSIXStorage().machine.sleep(nanoseconds: 30_000_000) }
        }
        try writer.close()
    }
}

try make("abandoned") { path in
    let writer = try LogWriter(path: path, options: options())
    for number in 0..<10 { try commit(writer, "demo", UInt64(number), [noise(100)]) }
    _ = consume writer
}

try make("recovered") { path in
    for round in 0..<3 {
        let writer = try LogWriter(path: path, options: options(.full))
        for number in 0..<4 { try commit(writer, "demo", UInt64(round * 4 + number), [noise(90)]) }
        if round == 2 { try writer.close() }
    }
}

// A tail that a cut store left, in a log that was then copied, so that MARK does not count.
try make("torn-copied") { path in
    let live = path.removingLastComponent().appending("torn.tmp")
    do {
        let writer = try LogWriter(path: live, options: options())
        for number in 0..<6 { try commit(writer, "demo", UInt64(number), [noise(200)]) }
    }
    try FileManager.default.copyItem(atPath: live.string, toPath: path.string)
    try FileManager.default.removeItem(atPath: live.string)
    let segment = path.appending("seg").appending(FileName.segment(1))
    let file = try POSIXStorage().open(segment, for: .writing)
    let bytes = try file.readBytes(count: try file.size(), at: 0)
    let end = (bytes.lastIndex { $0 != 0 } ?? 0) + 1
    try file.writeBytes([UInt8](repeating: 0, count: 40), at: end - 40)
    try file.close()
}

try make("no-mark") { path in
    let writer = try LogWriter(path: path, options: options())
    for number in 0..<5 { try commit(writer, "demo", UInt64(number), [noise(20)]) }
    try writer.close()
    try FileManager.default.removeItem(atPath: path.appending("MARK").string)
    try FileManager.default.removeItem(atPath: path.appending("LOCK").string)
}

// Many generations of the manifest, of which one copy of the newest is damaged.
try make("damaged-manifest-copy") { path in
    let writer = try LogWriter(path: path, options: options())
    for number in 0..<900 { try commit(writer, "demo", UInt64(number), [noise(600)]) }
    try writer.close()
    let names = try POSIXStorage().list(path).compactMap(FileName.manifestGeneration)
    let file = try POSIXStorage().open(
        path.appending(FileName.manifest(names.max() ?? 0)), for: .writing)
    try file.writeBytes([0xFF], at: 100)
    try file.close()
}
