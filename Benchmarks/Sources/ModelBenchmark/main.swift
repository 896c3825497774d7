import BenchmarkSupport
import Foundation
import LoomModel

// Canonical JSON beside Foundation's encoder on small states, and deltas of large ones.

struct Counter: Codable, Equatable {
    var current = 7
    var target = 1000
}

struct Agent: Codable, Equatable {
    var question = "what happens to a torn tail"
    var round = 3
    var done = false
    var budget = 12.5
    var tools = ["search", "read_file"]
    var last = Message()
    var unread: [String] = ["a.md", "b.md"]
    var parent: String?
    struct Message: Codable, Equatable {
        var role = "assistant"
        var text = "I read \"b.md\" and found three passages."
        var tokens = 214
    }
}

func compare<Value: Codable & Equatable>(_ name: String, _ value: Value, count: Int) async throws {
    let foundation = JSONEncoder()
    foundation.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let (ours, theirs) = (CanonicalJSONEncoder(), foundation)
    // The same bytes first, then the time.
    let bytes = try ours.encode(value)
    let foundationBytes = try theirs.encode(value)
    precondition(Data(bytes) == foundationBytes, "the encoders differ")
    let decoded = try CanonicalJSONDecoder().decode(Value.self, from: bytes)
    precondition(decoded == value, "the value does not come back")
    var table = Comparison("encoding \(name), \(bytes.count) bytes", unit: "states")
    table.add("Foundation, sorted keys") {
        for _ in 0..<count { _ = try theirs.encode(value) }
        return count
    }
    table.add("canonical JSON") {
        for _ in 0..<count { _ = try ours.encode(value) }
        return count
    }
    try await table.run(against: "Foundation, sorted keys")
    let data = Data(bytes)
    var decoding = Comparison("decoding \(name)", unit: "states")
    decoding.add("Foundation") {
        for _ in 0..<count { _ = try JSONDecoder().decode(Value.self, from: data) }
        return count
    }
    decoding.add("canonical JSON") {
        for _ in 0..<count { _ = try CanonicalJSONDecoder().decode(Value.self, from: bytes) }
        return count
    }
    try await decoding.run(against: "Foundation")
}

try await compare("a counter", Counter(), count: 200_000)
try await compare("an agent's state", Agent(), count: 40_000)

for count in [10, 100, 1_000, 20_000] {
    for (name, prefix) in [("keys", "key"), ("keys with escapes", "k\"\n")] {
        var value: [String: Int] = [:]
        for number in 0..<count { value["\(prefix)\(100_003 + number * 7919 % 100_003)"] = number }
        try await compare("\(count) \(name)", value, count: 200_000 / count)
    }
}
try await compare("data of 32 MiB", Data((0..<(32 << 20)).map { UInt8($0 * 7 % 251) }), count: 1)

var messages: [UInt8] = []
for index in 0..<(1 << 20) {
    let mixed: Int = (index &* 7) ^ (index >> 5)
    messages.append(UInt8(32 + mixed % 90))
}
let base = Array(#"{"counter":9,"messages":""#.utf8) + messages
let appended = Array(#"{"counter":10,"messages":""#.utf8) + messages + Array("one more".utf8)
let rotated = Array(messages.suffix(300_000)) + Array(messages.prefix(700_000))
var deltas = Comparison("delta of a 1 MiB state", unit: "deltas")
for (name, target) in [("counter and message", appended), ("blocks moved", rotated)] {
    let delta = StateDelta.encode(from: base, to: target)
    deltas.add("\(name), \(delta.count) bytes") {
        for _ in 0..<50 { _ = StateDelta.encode(from: base, to: target) }
        return 50
    }
}
deltas.add("comparing the bytes alone") {
    // A copy with memory of its own: two arrays over one buffer are equal at once.
    var other = base
    other[0] = base[0]
    var equal = 0
    for _ in 0..<50 where other == base { equal += 1 }
    return equal
}
try await deltas.run(against: "comparing the bytes alone")
