import Foundation
import LoomFormat
import LoomTesting
import Testing

@testable import LoomModel

/// Keys by their bytes, many members, large data, deep nesting.
@Suite struct CanonicalJSONShapeTests {
    private static let composed = "caf\u{E9}"
    private static let decomposed = "cafe\u{301}"
    private static let twice = Array("{\"\(decomposed)\":2,\"\(composed)\":1}".utf8)

    private func text(_ value: some Encodable) throws -> String {
        String(decoding: try CanonicalJSONEncoder().encode(value), as: UTF8.self)
    }

    /// A macOS file name beside a typed one was refused as a key that comes twice.
    @Test("two keys that are equal by Unicode and differ in bytes are two keys")
    func keysByBytes() throws {
        let value = try JSONValue(parsing: Self.twice)
        #expect(value.canonicalBytes == Self.twice)
        #expect(try CanonicalJSONEncoder().encode(value) == Self.twice)
        #expect(try CanonicalJSONDecoder().decode(JSONValue.self, from: Self.twice) == value)
        guard case .object(let object) = value else { throw JSONError(reason: "", offset: 0) }
        #expect(object.count == 2)
        #expect(object[Self.composed] == .integer(1) && object[Self.decomposed] == .integer(2))
        let byBytes = try CanonicalJSONDecoder().decode([ByteString: Int].self, from: Self.twice)
        #expect(byBytes == [ByteString(Self.composed): 1, ByteString(Self.decomposed): 2])
        #expect(try CanonicalJSONEncoder().encode(byBytes) == Self.twice)
        // Swift's own dictionary would lose one of the two without a word.
        #expect(throws: DecodingError.self) {
            try CanonicalJSONDecoder().decode([String: Int].self, from: Self.twice)
        }
        let kelvin = Array("{\"K\":1,\"\u{212A}\":2}".utf8)
        #expect(throws: DecodingError.self) {
            try CanonicalJSONDecoder().decode([String: Int].self, from: kelvin)
        }
        #expect(throws: JSONError.self) {
            try JSONValue(parsing: Array(#"{"b":0,"a":1,"\u0061":2}"#.utf8))
        }
    }

    /// A member was found under the other spelling of its key.
    @Test("values and coding keys are compared by bytes")
    func valuesByBytes() throws {
        #expect(JSONValue.string(Self.composed) != .string(Self.decomposed))
        #expect(Set([JSONValue.string(Self.composed), .string(Self.decomposed)]).count == 2)
        struct Composed: Decodable {
            enum CodingKeys: String, CodingKey { case name = "caf\u{E9}" }
            var name: Int?
        }
        let other = Array("{\"\(Self.decomposed)\":2}".utf8)
        #expect(try CanonicalJSONDecoder().decode(Composed.self, from: other).name == nil)
        let both = try CanonicalJSONDecoder().decode(Composed.self, from: Self.twice)
        #expect(both.name == 1)
    }

    /// A state with a dictionary of 20,000 keys took 4 seconds a step: insertion sort.
    @Test("members are put in order in n log n comparisons", arguments: [false, true])
    func manyKeys(hasEscapes: Bool) throws {
        for count in [10, 100, 1_000, 20_000] {
            var expected: [String: Int] = [:]
            for number in 0..<count {
                expected["\(hasEscapes ? "k\"\n\u{1}" : "key")\((number * 7919) % 100_003)"] =
                    number
            }
            let encoding = JSONEncoding()
            try encoding.write(expected)
            var bound = 64
            var size = 1
            while size < count {
                size *= 2
                bound += 3 * count
            }
            #expect(encoding.comparisonCount <= bound, "\(count) keys")
            let bytes = encoding.bytes.array
            let value = try JSONValue(parsing: bytes)
            #expect(value.canonicalBytes == bytes)
            #expect(
                try CanonicalJSONDecoder().decode([String: Int].self, from: bytes) == expected)
        }
    }

    /// Each nested container moved everything behind it, and went over all members.
    @Test("members of 20,000 containers beside one another are put in place")
    func manyNested() throws {
        struct Wide: Encodable {
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: JSONKey.self)
                for number in (0..<20_000).reversed() {
                    var list = container.nestedUnkeyedContainer(forKey: JSONKey("\(number)"))
                    try list.encode(number)
                }
            }
        }
        let bytes = try CanonicalJSONEncoder().encode(Wide())
        let lists = try CanonicalJSONDecoder().decode([String: [Int]].self, from: bytes)
        #expect(lists.count == 20_000 && lists.allSatisfy { $0.value == [Int($0.key)] })
    }

    /// 32 MiB took 7.7 s and 700 MB: a JSON value for each byte.
    @Test("data is read from where it stands in the text")
    func data() throws {
        var generator = SeededGenerator(5)
        let lengths = Array(0...70) + [49_149, 49_151, 49_152, 49_153, 200_000, 1 << 20]
        for length in lengths {
            var data = Data(count: length)
            for index in stride(from: 0, to: length, by: max(1, length / 5000)) {
                data[index] = UInt8(truncatingIfNeeded: generator.next())
            }
            let bytes = try CanonicalJSONEncoder().encode(["d": data])
            #expect(bytes == Array("{\"d\":\"\(data.base64EncodedString())\"}".utf8))
            #expect(try JSONTape(parsing: bytes).nodes.count == 3)
            let back = try CanonicalJSONDecoder().decode([String: Data].self, from: bytes)
            #expect(back["d"] == data)
        }
        let escaped = Array(#""\/\/4=""#.utf8)
        #expect(try CanonicalJSONDecoder().decode(Data.self, from: escaped) == Data([255, 254]))
        var padded = Array(Data(count: 60_000).base64EncodedString().utf8)
        padded[65_535] = 0x3D
        #expect(throws: DecodingError.self) {
            try CanonicalJSONDecoder().decode(Data.self, from: [0x22] + padded + [0x22])
        }
    }

    private indirect enum Deep: Codable, Equatable {
        case end
        case more(Deep?)
        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            self = list.isAtEnd ? .end : .more(try list.decode(Deep?.self))
        }
        func encode(to encoder: any Encoder) throws {
            var list = encoder.unkeyedContainer()
            if case .more(let deep) = self { try list.encode(deep) }
        }
    }

    private struct Beside: Encodable {
        let levels: Int
        func encode(to encoder: any Encoder) throws {
            var lists = [encoder.unkeyedContainer()]
            for _ in 1..<levels { lists.append(lists[lists.count - 1].nestedUnkeyedContainer()) }
        }
    }

    /// 512 levels were parsed and could not be encoded again.
    @Test("512 levels are the bound of parsing, decoding and encoding", arguments: [512, 513])
    func depth(levels: Int) throws {
        let isFine = levels == 512
        let open = [UInt8](repeating: 0x5B, count: levels)
        let bytes = open + [UInt8](repeating: 0x5D, count: levels)
        var value = JSONValue.array([])
        var deep = Deep.end
        for _ in 1..<levels {
            value = .array([value])
            deep = .more(deep)
        }
        let ways: [(String, () throws -> [UInt8])] = [
            ("parsed", { try JSONValue(parsing: bytes).canonicalBytes }),
            ("built", { try value.checkedBytes() }),
            ("any value", { try CanonicalJSONEncoder().encode(value) }),
            ("optionals", { try CanonicalJSONEncoder().encode(deep) }),
            ("beside", { try CanonicalJSONEncoder().encode(Beside(levels: levels)) }),
            (
                "decoded",
                {
                    let decoder = CanonicalJSONDecoder()
                    return try CanonicalJSONEncoder().encode(
                        decoder.decode(Deep.self, from: bytes))
                }
            ),
        ]
        for (name, way) in ways {
            let found = try? way()
            #expect(found == (isFine ? bytes : nil), "\(name)")
        }
        let leaf =
            [UInt8](open.dropLast()) + [0x37] + [UInt8](repeating: 0x5D, count: levels - 1)
        let leafValue = try JSONValue(parsing: leaf)
        #expect(try CanonicalJSONEncoder().encode(leafValue) == leaf)
    }

    private struct Mixed: Codable, Equatable {
        enum Choice: Codable, Equatable {
            case none
            case some(Int, name: String)
        }
        var decimal = Decimal(string: "12.345678901234567890") ?? 0
        var url = URL(string: "https://example.org/a?b=c")
        var date = Date(timeIntervalSinceReferenceDate: 123.5)
        var id = UUID()
        var choices = [Choice.none, .some(3, name: "\u{0}")]
        var empty: [String: [Int]] = [:]
        var never: Int?
        var characters = ["\u{10FFFF}", "\u{7F}"]
        var bytes = Data([0])
    }

    @Test("Foundation's types and enums with values come back")
    func mixed() throws {
        let mixed = Mixed()
        let bytes = try CanonicalJSONEncoder().encode(mixed)
        #expect(try JSONValue(parsing: bytes).canonicalBytes == bytes)
        #expect(try CanonicalJSONDecoder().decode(Mixed.self, from: bytes) == mixed)
    }

    private func mismatch<Value: Decodable>(_ type: Value.Type, in bytes: [UInt8]) -> String {
        let found = Result { try CanonicalJSONDecoder().decode(type, from: bytes) }
        guard case .failure(DecodingError.typeMismatch(_, let context)) = found else {
            return "\(found)"
        }
        return context.codingPath.map(\.stringValue).joined(separator: ".")
    }

    @Test("errors of decoding name the path")
    func paths() throws {
        let bytes = Array(#"{"a":[{"b":1},{"b":[true,"x"]}],"c":2}"#.utf8)
        struct Outer: Decodable { var a: [[String: [Bool]]] }
        struct Second: Decodable {
            var b: Bool?
            enum CodingKeys: String, CodingKey { case b }
            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                guard var list = try? container.nestedUnkeyedContainer(forKey: .b) else { return }
                b = try list.decode(Bool.self)
                b = try list.decode(Bool.self)
            }
        }
        struct Two: Decodable { var a: [Second] }
        #expect(mismatch(Outer.self, in: bytes) == "a.0.b")
        #expect(mismatch(Two.self, in: bytes) == "a.1.b.1")
    }
}
