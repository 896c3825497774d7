import BenchmarkSupport
import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import SystemPackage

// The counter loop in default durability: fresh logs, 100,000 steps each, checked after each.

struct Counter: StepLoop {
    struct State: Codable, Sendable, Equatable {
        var current: Int
        var target: Int
    }
    let name = "counter"

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
        if state.current == state.target { return .complete(state.current) }
        return .continue(State(current: state.current + 1, target: state.target))
    }
}

/// The same with a codec of its own: sixteen bytes a state.
struct ByteCounter: StepLoop {
    let name = "byte-counter"
    var stateCodec: ValueCodec<Counter.State> {
        ValueCodec(name: "counter-bytes") { state in
            var writer = ByteWriter(capacity: 16)
            writer.writeUInt64(UInt64(state.current))
            writer.writeUInt64(UInt64(state.target))
            return writer.bytes
        } decode: { bytes in
            var reader = ByteReader(bytes.rawSpan)
            return Counter.State(
                current: Int(try reader.readUInt64()), target: Int(try reader.readUInt64()))
        }
    }

    func step(_ state: Counter.State, _ context: StepContext) async throws -> Outcome<
        Counter.State, Int
    > {
        if state.current == state.target { return .complete(state.current) }
        return .continue(Counter.State(current: state.current + 1, target: state.target))
    }
}

let folder = FilePath(CommandLine.arguments.dropFirst().first ?? "bench.tmp")
let steps = Int(CommandLine.arguments.dropFirst(2).first ?? "") ?? 100_000

func drive<Loop: StepLoop>(
    _ loop: Loop, _ policy: CheckpointPolicy
) async throws -> Int where Loop.State == Counter.State, Loop.Output == Int {
    try? FileManager.default.removeItem(atPath: folder.string)
    let store = try LogRunStore(path: folder)
    var options = RunnerOptions()
    options.policy = policy
    let result = try await Runner(loop, store: store, options: options)
        .start(RunID("demo"), state: .init(current: 0, target: steps))
    try store.close()
    guard result.output == steps, result.stepIndex == UInt64(steps) else {
        throw CancellationError()
    }
    return steps
}

var table = Comparison("counter loop of \(steps) steps, normal durability", unit: "steps")
for (name, policy) in [
    ("full", CheckpointPolicy.full), ("interval(100)", .interval(100)), ("compact", .compact),
] {
    table.add("JSON state, \(name)") { try await drive(Counter(), policy) }
    table.add("byte codec, \(name)") { try await drive(ByteCounter(), policy) }
}
try await table.run(rounds: 3, against: "JSON state, full")
try? FileManager.default.removeItem(atPath: folder.string)
