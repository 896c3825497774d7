import LoomModel
import LoomTesting
import Testing

/// A part that cannot be written leaves nothing behind, wherever it stood.
@Suite struct CanonicalJSONRollbackTests {
    private struct AnyKey: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(_ key: String) { stringValue = key }
        init?(stringValue: String) { self.init(stringValue) }
        init?(intValue: Int) { return nil }
    }

    /// A value that encodes itself by a closure.
    private struct Coded: Encodable {
        let body: (any Encoder) throws -> Void
        func encode(to encoder: any Encoder) throws { try body(encoder) }
    }

    private func text(_ body: @escaping (any Encoder) throws -> Void) throws -> String {
        let bytes = try CanonicalJSONEncoder().encode(Coded(body: body))
        #expect(throws: Never.self) { try JSONValue(parsing: bytes) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// `{"a":1,"x":,"z":2}` was committed, and no program could resume the run.
    @Test("a member whose value throws is taken back, key and comma")
    func members() throws {
        let encoded = try text { encoder in
            var container = encoder.container(keyedBy: AnyKey.self)
            try? container.encode(Double.infinity, forKey: AnyKey("0"))
            try container.encode(1, forKey: AnyKey("a"))
            try? container.encodeIfPresent(Double.nan, forKey: AnyKey("x"))
            try? container.encode([1, .nan], forKey: AnyKey("y"))
            try? container.encode(["k": ["l": Float.nan]], forKey: AnyKey("y\n"))
            try? container.encode(UInt128.max, forKey: AnyKey("y"))
            try? container.encode([1.5: 2], forKey: AnyKey("y"))
            try container.encode(2, forKey: AnyKey("z"))
            try? container.encode(Double.nan, forKey: AnyKey("b"))
        }
        #expect(encoded == #"{"a":1,"z":2}"#)
        let none = try text { encoder in
            var container = encoder.container(keyedBy: AnyKey.self)
            try? container.encode(Double.nan, forKey: AnyKey("x"))
        }
        #expect(none == "{}")
    }

    /// The comma and half of the element stayed.
    @Test("an element whose value throws is taken back")
    func elements() throws {
        let encoded = try text { encoder in
            var list = encoder.unkeyedContainer()
            try? list.encode(Double.nan)
            try list.encode(1)
            try? list.encode([["a": Double.nan]])
            try? list.encode(contentsOf: [2, Double.nan])
            #expect(list.count == 2)
            try list.encode(3)
            try? list.encode(Double.nan)
        }
        #expect(encoded == "[1,2,3]")
    }

    /// The half of it stood before what was written in its place.
    @Test("a single value that throws can be replaced by another")
    func singleValues() throws {
        let encoded = try text { encoder in
            var container = encoder.singleValueContainer()
            try? container.encode([1, Double.nan])
            try? container.encode(Double.nan)
            try container.encode(["fine"])
        }
        #expect(encoded == #"["fine"]"#)
    }

    /// The nested ones were put in place of members that were gone.
    @Test("containers beside one another and superclasses are taken back with their value")
    func nested() throws {
        let failing = Coded { encoder in
            var container = encoder.container(keyedBy: AnyKey.self)
            var inner = container.nestedContainer(keyedBy: AnyKey.self, forKey: AnyKey("n"))
            try inner.encode(1, forKey: AnyKey("m"))
            var list = container.nestedUnkeyedContainer(forKey: AnyKey("l"))
            try list.encode(2)
            try 3.encode(to: container.superEncoder())
            try container.encode(Double.nan, forKey: AnyKey("x"))
        }
        let encoded = try text { encoder in
            var container = encoder.container(keyedBy: AnyKey.self)
            var first = container.nestedContainer(keyedBy: AnyKey.self, forKey: AnyKey("first"))
            try? container.encode(failing, forKey: AnyKey("failing"))
            try? first.encode(failing, forKey: AnyKey("failing"))
            try? first.encode(Double.nan, forKey: AnyKey("x"))
            try first.encode(true, forKey: AnyKey("yes"))
            try? failing.encode(to: container.superEncoder(forKey: AnyKey("up")))
            var list = container.nestedUnkeyedContainer(forKey: AnyKey("list"))
            try? list.encode(failing)
            try? failing.encode(to: list.superEncoder())
            try list.encode(9)
        }
        let half = #"{"l":[2],"n":{"m":1},"super":3}"#
        #expect(
            encoded == #"{"first":{"yes":true},"list":[\#(half),9],"up":\#(half)}"#)
    }

    /// What a script of a value writes, and what of it is left.
    private indirect enum Script: Encodable {
        case number(Int)
        case bad
        case list([(Script, isTried: Bool)])
        case object([(key: String, Script, isTried: Bool, isNested: Bool)])

        static func random(_ generator: inout SeededGenerator, depth: Int) -> Script {
            let kind = Int.random(in: 0..<(depth > 4 ? 4 : 10), using: &generator)
            if kind == 0 { return .bad }
            if kind < 4 { return .number(Int.random(in: -9...9, using: &generator)) }
            let count = Int.random(in: 0...5, using: &generator)
            if kind < 7 {
                return .list(
                    (0..<count).map { _ in
                        (random(&generator, depth: depth + 1), Bool.random(using: &generator))
                    })
            }
            let keys = ["a", "b\n", "\"", "é", "e\u{301}", "zz", "#"].shuffled(using: &generator)
            return .object(
                keys.prefix(count).map { key in
                    (
                        key, random(&generator, depth: depth + 1),
                        Bool.random(using: &generator), Bool.random(using: &generator)
                    )
                })
        }

        func encode(to encoder: any Encoder) throws {
            switch self {
            case .number(let number): try number.encode(to: encoder)
            case .bad: try Double.nan.encode(to: encoder)
            case .list(let elements):
                var list = encoder.unkeyedContainer()
                for (element, isTried) in elements {
                    do { try list.encode(element) } catch { if !isTried { throw error } }
                }
            case .object(let members):
                var container = encoder.container(keyedBy: AnyKey.self)
                for (key, value, isTried, isNested) in members {
                    do {
                        if isNested, case .list(let elements) = value {
                            var list = container.nestedUnkeyedContainer(forKey: AnyKey(key))
                            for (element, _) in elements { try? list.encode(element) }
                        } else {
                            try container.encode(value, forKey: AnyKey(key))
                        }
                    } catch { if !isTried { throw error } }
                }
            }
        }

        /// By the rules alone: `nil` is a value that throws.
        var expected: JSONValue? {
            switch self {
            case .number(let number): return .integer(Int64(number))
            case .bad: return nil
            case .list(let elements):
                var values: [JSONValue] = []
                for (element, isTried) in elements {
                    if let value = element.expected {
                        values.append(value)
                    } else if !isTried {
                        return nil
                    }
                }
                return .array(values)
            case .object(let members):
                var object = JSONObject()
                for (key, value, isTried, isNested) in members {
                    if isNested, case .list(let elements) = value {
                        object[key] = .array(elements.compactMap { $0.0.expected })
                    } else if let value = value.expected {
                        object[key] = value
                    } else if !isTried {
                        return nil
                    }
                }
                return .object(object)
            }
        }
    }

    /// Of values that throw at random places, what is left is what the rules leave.
    @Test("20,000 random values with parts that throw parse back as what is left of them")
    func random() throws {
        var generator = SeededGenerator(41)
        var (kept, refused) = (0, 0)
        for round in 0..<20_000 {
            let script = Script.random(&generator, depth: 0)
            let bytes = try? CanonicalJSONEncoder().encode(script)
            guard let expected = script.expected else {
                refused += 1
                if bytes != nil { Issue.record("round \(round): encoded what throws") }
                continue
            }
            kept += 1
            let value = try bytes.map { try JSONValue(parsing: $0) }
            if value != expected || bytes != expected.canonicalBytes {
                let text = String(decoding: bytes ?? [], as: UTF8.self)
                Issue.record("round \(round): \(text)")
            }
        }
        #expect(kept > 5000 && refused > 1000)
    }

    /// The process ended by a trap, or the text had a key twice.
    @Test("what Codable gives no way to refuse at once is refused when the value ends")
    func misuse() throws {
        final class Kept { var container: KeyedEncodingContainer<AnyKey>? }
        func refuses(_ reason: String, _ body: @escaping (any Encoder) throws -> Void) {
            do {
                let bytes = try CanonicalJSONEncoder().encode(["in": [Coded(body: body)]])
                Issue.record("encoded \(String(decoding: bytes, as: UTF8.self))")
            } catch EncodingError.invalidValue(_, let context) {
                #expect(context.debugDescription.contains(reason))
            } catch { Issue.record(error) }
        }
        refuses("two kinds") { encoder in
            _ = encoder.unkeyedContainer()
            var container = encoder.container(keyedBy: AnyKey.self)
            try? container.encode(1, forKey: AnyKey("a"))
        }
        refuses("two kinds") { encoder in
            try 1.encode(to: encoder)
            var list = encoder.unkeyedContainer()
            _ = list.nestedUnkeyedContainer()
            _ = list.superEncoder()
        }
        refuses("twice") { encoder in
            var container = encoder.container(keyedBy: AnyKey.self)
            try container.encode(1, forKey: AnyKey("a"))
            var again = container.nestedContainer(keyedBy: AnyKey.self, forKey: AnyKey("a"))
            try? again.encode(1, forKey: AnyKey("b"))
        }
        refuses("twice") { encoder in
            try 1.encode(to: encoder)
            try 2.encode(to: encoder)
        }
        let kept = Kept()
        let first = Coded { encoder in
            kept.container = encoder.container(keyedBy: AnyKey.self)
        }
        refuses("while its value is not being encoded") { encoder in
            var list = encoder.unkeyedContainer()
            try list.encode(first)
            try list.encode(
                Coded { encoder in
                    _ = encoder.unkeyedContainer()
                    try kept.container?.encode(1, forKey: AnyKey("stray"))
                })
        }
        #expect(throws: EncodingError.self) {
            try kept.container?.encode(1, forKey: AnyKey("late"))
        }
    }
}
