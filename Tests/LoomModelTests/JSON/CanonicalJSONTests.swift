import Foundation
import LoomModel
import LoomTesting
import Testing

/// One set of values that covers every rule of canonical JSON, with the bytes that they must have.
@Suite struct CanonicalJSONTests {
    private func text(_ value: some Encodable) throws -> String {
        String(decoding: try CanonicalJSONEncoder().encode(value), as: UTF8.self)
    }

    private struct Unordered: Codable, Equatable {
        var zebra = 1
        var apple = "a"
        var nested = Inner()
        var list = [3, 1, 2]
        var nothing: Int?
        struct Inner: Codable, Equatable {
            var y = true
            var x: [String: Double] = ["β": 0.5, "a": 2]
        }
    }

    /// The same value, encoded by hand in another order.
    private struct ByHand: Encodable {
        enum Key: String, CodingKey { case zebra, apple, nested, list, y, x }
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode([3, 1, 2], forKey: .list)
            var nested = container.nestedContainer(keyedBy: Key.self, forKey: .nested)
            try container.encode(1, forKey: .zebra)
            try nested.encode(["a": 2, "β": 0.5], forKey: .x)
            try container.encode("a", forKey: .apple)
            try nested.encode(true, forKey: .y)
        }
    }

    @Test("equal values have equal bytes, however they are encoded")
    func equalValues() throws {
        let expected =
            #"{"apple":"a","list":[3,1,2],"nested":{"x":{"a":2,"β":0.5},"y":true},"zebra":1}"#
        #expect(try text(Unordered()) == expected)
        #expect(try text(ByHand()) == expected)
        let value = try JSONValue(parsing: Array("  \(expected) \n".utf8))
        #expect(value.canonicalText == expected)
        #expect(try text(value) == expected)
        let back = try CanonicalJSONDecoder().decode(Unordered.self, from: Array(expected.utf8))
        #expect(back == Unordered())
        var pairs = (0..<50).map { ("key\($0)", $0) }
        let sorted = try text(Dictionary(uniqueKeysWithValues: pairs))
        for _ in 0..<20 {
            pairs.shuffle()
            #expect(try text(Dictionary(uniqueKeysWithValues: pairs)) == sorted)
        }
    }

    @Test("keys are ordered by their bytes, escaped or not, and never normalised")
    func keys() throws {
        #expect(
            try text(["\u{1}": 1, "": 2, "\"": 3, "!": 4, "#": 5, "é": 6, "e\u{301}x": 7, "z": 8])
                == ##"{"":2,"\u0001":1,"!":4,"\"":3,"#":5,"éx":7,"z":8,"é":6}"##)
        #expect(
            try text(["a": 1, "ab": 2, "B": 3, "a\u{0}": 4]) == #"{"B":3,"a":1,"a\u0000":4,"ab":2}"#
        )
    }

    @Test("strings are escaped only where they must be")
    func strings() throws {
        #expect(try text("/\u{7F}\u{2028}😀é") == "\"/\u{7F}\u{2028}😀é\"")
        #expect(try text("\"\\\n\r\t\u{8}\u{C}\u{1F}\u{0}") == #""\"\\\n\r\t\b\f\u001f\u0000""#)
        #expect(try text("") == "\"\"")
    }

    @Test("numbers have one form each")
    func numbers() throws {
        #expect(
            try text([Int64.min, 0, Int64.max]) == "[-9223372036854775808,0,9223372036854775807]")
        #expect(try text(UInt64.max) == "18446744073709551615")
        #expect(try text([Int8.min]) == "[-128]")
        #expect(try text(Int128(12)) == "12")
        let doubles: [(Double, String)] = [
            (1, "1"), (-0.0, "0"), (0, "0"), (0.1, "0.1"), (-2.5, "-2.5"), (1e21, "1e21"),
            (1e-7, "1e-7"), (1.5e300, "1.5e300"), (.leastNonzeroMagnitude, "5e-324"),
            (0.0001, "0.0001"),
            (0.00001, "1e-5"), (9007199254740992, "9007199254740992"),
            (123456789.125, "123456789.125"),
            (.greatestFiniteMagnitude, "1.7976931348623157e308"), (1e16, "1e16"),
        ]
        for (value, expected) in doubles {
            #expect(try text(value) == expected)
            let back = try CanonicalJSONDecoder().decode(Double.self, from: Array(expected.utf8))
            #expect(back == value)
        }
        // As the double that it equals, not as the shortest text that reads back as a float.
        #expect(try text(Float(0.1)) == "0.10000000149011612")
        #expect(try text(Float(0.5)) == "0.5")
        var generator = SeededGenerator(9)
        for _ in 0..<20_000 {
            let value = Double(bitPattern: generator.next())
            guard value.isFinite else { continue }
            let back = try CanonicalJSONDecoder().decode(Double.self, from: Array(text(value).utf8))
            if back != value { Issue.record("\(value)") }
        }
    }

    @Test("bytes are base64, and come back")
    func bytes() throws {
        for (data, expected) in [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy"),
        ] {
            let encoded = try text(Data(data.utf8))
            #expect(encoded == "\"\(expected)\"")
            #expect(
                try CanonicalJSONDecoder().decode(Data.self, from: Array(encoded.utf8))
                    == Data(data.utf8))
        }
        #expect(try text(["d": Data([255, 254])]) == #"{"d":"//4="}"#)
        #expect(try text([UInt8(1), 2]) == "[1,2]")
        for bad in [#""Zg=""#, #""Z===""#, #""Zh==""#, #""Zm 8=""#] {
            #expect(throws: (any Error).self) {
                try CanonicalJSONDecoder().decode(Data.self, from: Array(bad.utf8))
            }
        }
    }

    private enum Named: String, Codable, CodingKeyRepresentable { case one, two }
    private struct Twice: Encodable {
        enum Key: String, CodingKey { case a, b }
        var last = Key.a
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(1, forKey: .a)
            try container.encode(2, forKey: .b)
            try container.encode(3, forKey: last)
        }
    }
    private struct Silent: Encodable { func encode(to encoder: any Encoder) throws {} }
    private indirect enum Deep: Encodable {
        case end
        case more(Deep)
        func encode(to encoder: any Encoder) throws {
            var container = encoder.unkeyedContainer()
            if case .more(let deep) = self { try container.encode(deep) }
        }
    }

    @Test("what has no canonical form is refused, with its path")
    func refusals() throws {
        func path(_ value: some Encodable) -> String? {
            do {
                _ = try CanonicalJSONEncoder().encode(value)
                return nil
            } catch EncodingError.invalidValue(_, let context) {
                return context.codingPath.map(\.stringValue).joined(separator: ".")
            } catch { return "another error: \(error)" }
        }
        #expect(path(["a": ["b": [1, Double.nan]]]) == "a.b.1")
        #expect(path(["a": Float.infinity]) == "a")
        #expect(path(["x": [1: "one"]]) == "x")
        #expect(path([1.5: 1]) == "")
        #expect(path(["x": UInt128.max]) == "x")
        #expect(path(Twice()) != nil)
        #expect(path(Twice(last: .b)) != nil)
        #expect(path(Silent()) == "")
        #expect(try text([Named.two: 1, .one: 2]) == #"{"one":2,"two":1}"#)
        var deep = Deep.end
        for _ in 0..<500 { deep = .more(deep) }
        #expect(path(deep) == nil)
        for _ in 0..<20 { deep = .more(deep) }
        #expect(path(deep) != nil)
    }

    private class Base: Encodable { var base = 1 }
    private final class Derived: Base {
        enum Key: String, CodingKey { case own }
        override func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(2, forKey: .own)
            try super.encode(to: container.superEncoder())
            try super.encode(to: encoder)
        }
    }

    @Test("containers beside one another, superclasses and empty ones are put in place")
    func containers() throws {
        #expect(try text(Derived()) == #"{"base":1,"own":2,"super":{"base":1}}"#)
        #expect(try text([[String: Int]]()) == "[]")
        #expect(try text([String: Int]()) == "{}")
        #expect(try text([Int?.none, 1]) == "[null,1]")
        struct Beside: Encodable {
            func encode(to encoder: any Encoder) throws {
                var list = encoder.unkeyedContainer()
                var first = list.nestedUnkeyedContainer()
                var second = list.nestedContainer(keyedBy: Twice.Key.self)
                try list.encode("end")
                try second.encode(2, forKey: .b)
                try first.encode(1)
                try second.encode(1, forKey: .a)
                var third = first.nestedUnkeyedContainer()
                try third.encode(["x"])
            }
        }
        #expect(try text(Beside()) == #"[[1,[["x"]]],{"a":1,"b":2},"end"]"#)
    }
}
