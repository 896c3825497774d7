import Foundation
import LoomModel
import Testing

/// What a second review of canonical JSON found.
@Suite(.serialized) struct ReviewedJSONTests {
    private func text(_ value: some Encodable) throws -> String {
        String(decoding: try CanonicalJSONEncoder().encode(value), as: UTF8.self)
    }

    private struct Point: Codable, Hashable {
        var x: Int
        var y: [Int]
    }

    private struct State: Codable, Equatable {
        var seen: Set<String>
        var points: Set<Point>
        var empty: Set<Int> = []
        var maybe: Set<Int?>?
    }

    private static func state(_ capacity: Int) -> State {
        var state = State(seen: [], points: [], maybe: [3, nil, 1])
        state.seen.reserveCapacity(capacity)
        state.points.reserveCapacity(capacity)
        for number in 0..<40 {
            state.seen.insert("page \(number)\n")
            state.points.insert(Point(x: number, y: [number, -number]))
        }
        return state
    }

    /// A set has another order in every process, so that a completed `.once` call whose request
    /// holds one was not found again, and was made a second time.
    @Test("equal sets have equal bytes, whatever order they are in")
    func sets() throws {
        let (small, large) = (Self.state(0), Self.state(5000))
        #expect(Array(small.seen) != Array(large.seen))
        let bytes = try CanonicalJSONEncoder().encode(small)
        #expect(try CanonicalJSONEncoder().encode(large) == bytes)
        #expect(try CanonicalJSONDecoder().decode(State.self, from: bytes) == small)
        #expect(try text(Set([10, 9, 1])) == "[1,10,9]")
        #expect(try text([Set(["b", "a"]), Set(["\"", "é"])]) == #"[["a","b"],["\"","é"]]"#)
    }

    private enum Either: Decodable {
        case number(Int)
        case word(String)
        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int.self) {
                self = .number(number)
            } else {
                self = .word(try container.decode(String.self))
            }
        }
    }

    /// Each error walked over all values before it: 20,000 took 4 seconds.
    @Test("a decoder that tries one type after another is linear")
    func tries() throws {
        func time(_ count: Int) throws -> Double {
            let bytes = try CanonicalJSONEncoder().encode((0..<count).map { "word \($0)" })
            let taken = try ContinuousClock().measure {
                let found = try CanonicalJSONDecoder().decode([Either].self, from: bytes)
                #expect(found.count == count)
            }
            return taken / .seconds(1)
        }
        let few = try (0..<3).map { _ in try time(500) }.min() ?? 0
        let many = try (0..<3).map { _ in try time(10_000) }.min() ?? 0
        #expect(many < few * 80, "\(few) s for 500, \(many) s for 10,000")
    }

    private final class Longest {
        var path = 0
    }

    private struct Level: Encodable {
        let levels: Int
        let longest: Longest
        enum Key: CodingKey { case next }
        func encode(to encoder: any Encoder) throws {
            longest.path = max(longest.path, encoder.codingPath.count)
            var container = encoder.container(keyedBy: Key.self)
            guard levels > 0 else { return try container.encode(1, forKey: .next) }
            let next = Level(levels: levels - 1, longest: longest)
            try next.encode(to: container.superEncoder(forKey: .next))
        }
    }

    /// Codable gives no way to stop it; but each level below the limit kept a path of its own,
    /// 40 bytes for each level above: 8 GB of a list of 20,000.
    @Test("the levels of a value below the depth limit cost no more than those above")
    func deepBeside() throws {
        let longest = Longest()
        #expect(throws: EncodingError.self) {
            try CanonicalJSONEncoder().encode(Level(levels: 2000, longest: longest))
        }
        #expect(longest.path <= 512)
    }
}
