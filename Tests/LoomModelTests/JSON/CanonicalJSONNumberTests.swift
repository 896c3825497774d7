import Foundation
import LoomModel
import LoomTesting
import Testing

/// Numbers against a second writer of FORMAT.md, 12.3, which shares nothing with the encoder.
@Suite struct CanonicalJSONNumberTests {
    private func text(_ value: some Encodable) throws -> String {
        String(decoding: try CanonicalJSONEncoder().encode(value), as: UTF8.self)
    }

    /// By the C library: the fewest digits that read back as the same double.
    private func rule(_ value: Double) -> String {
        if value == 0 { return "0" }
        for count in 0...16 {
            let nearest = String(format: "%.\(count)e", value)
            // Where doubles are not evenly apart, the one that reads back need not be the nearest.
            for candidate in [nearest, neighbour(nearest, -1), neighbour(nearest, 1)]
            where Double(candidate) == value { return placed(candidate) }
        }
        return "none"
    }

    /// The decimal with as many digits beside this one.
    private func neighbour(_ text: String, _ step: Int) -> String {
        let parts = text.split(separator: "e")
        let isNegative = parts[0].hasPrefix("-")
        let digits = String(parts[0].filter(\.isNumber))
        guard let number = Int(digits) else { return text }
        let next = String(number + step)
        guard next.count == digits.count, number + step > 0 else { return text }
        let rest = next.dropFirst()
        let part = rest.isEmpty ? "" : ".\(rest)"
        return "\(isNegative ? "-" : "")\(next.prefix(1))\(part)e\(parts[1])"
    }

    /// Digits and exponent of C's notation in ours.
    private func placed(_ text: String) -> String {
        let parts = text.split(separator: "e")
        let sign = parts[0].hasPrefix("-") ? "-" : ""
        let digits = String(parts[0].filter(\.isNumber))
        let exponent = Int(parts[1]) ?? 0
        guard let size = Double(text)?.magnitude, size >= 1e-4, size <= 9_007_199_254_740_992
        else {
            let rest = digits.dropFirst()
            return "\(sign)\(digits.prefix(1))\(rest.isEmpty ? "" : ".\(rest)")e\(exponent)"
        }
        if exponent < 0 {
            return "\(sign)0.\(String(repeating: "0", count: -exponent - 1))\(digits)"
        }
        let whole = digits.prefix(exponent + 1)
        let zeros = String(repeating: "0", count: exponent + 1 - whole.count)
        let part = digits.dropFirst(exponent + 1)
        return "\(sign)\(whole)\(zeros)\(part.isEmpty ? "" : ".\(part)")"
    }

    private func check<Value: BinaryFloatingPoint & Codable & Equatable>(
        _ value: Value
    ) throws {
        guard value.isFinite else { return }
        let encoded = try text(value)
        if encoded != rule(Double(value)) {
            Issue.record("\(value): \(encoded), by the rule \(rule(Double(value)))")
        }
        let bytes = Array(encoded.utf8)
        if try CanonicalJSONDecoder().decode(Value.self, from: bytes) != value {
            Issue.record("\(value) comes back as another")
        }
        if try JSONValue(parsing: bytes).canonicalBytes != bytes { Issue.record("\(encoded)") }
    }

    /// It was `6.231649e8`: another text, and another hash, than the equal double's.
    @Test("a float is written as the double that it equals")
    func floats() throws {
        #expect(try text(Float(623164928)) == "623164928")
        for value in [
            Float(623164928), 16777216, 0.1, -.leastNonzeroMagnitude, .greatestFiniteMagnitude,
            1e10,
        ] {
            #expect(try text(value) == text(Double(value)))
            #expect(try text(["k": value]) == text(["k": Double(value)]))
            #expect(try text([value]) == text([Double(value)]))
        }
        var generator = SeededGenerator(77)
        for _ in 0..<(StateDeltaTests.isHeavy ? 30_000 : 8_000) {
            try check(Float(bitPattern: UInt32(truncatingIfNeeded: generator.next())))
        }
    }

    @Test("doubles, by bit pattern and by size, have the text of the rule")
    func doubles() throws {
        var generator = SeededGenerator(78)
        for _ in 0..<(StateDeltaTests.isHeavy ? 20_000 : 5_000) {
            try check(Double(bitPattern: generator.next()))
        }
        for exponent in -30...30 {
            for _ in 0..<(StateDeltaTests.isHeavy ? 300 : 80) {
                let size = Double.random(in: 1...10, using: &generator)
                try check(size * pow(10, Double(exponent)))
                try check((size * 100).rounded() * pow(10, Double(exponent)))
            }
        }
        for exponent in -1074...1023 {
            let power = Double(sign: .plus, exponent: exponent, significand: 1)
            for value in [power, power.nextUp, power.nextDown, -power] { try check(value) }
        }
        for value in [1e-4, 1e-4.nextDown, 9_007_199_254_740_991, 9_007_199_254_740_992, -0.0] {
            for near in [value, value.nextUp, value.nextDown] { try check(near) }
        }
    }

    @Test("integers at the edges are exact, others are refused")
    func integers() throws {
        var generator = SeededGenerator(79)
        for _ in 0..<10_000 {
            let bits = generator.next() >> UInt64.random(in: 0..<64, using: &generator)
            #expect(try text(bits) == bits.description)
            let signed = Int64(bitPattern: bits)
            #expect(try text(signed) == signed.description)
            let bytes = Array(signed.description.utf8)
            #expect(try CanonicalJSONDecoder().decode(Int64.self, from: bytes) == signed)
        }
        for shift in [53, 63] as [UInt64] {
            for value in [(1 << shift) - 1, 1 << shift, (1 << shift) + 1] as [UInt64] {
                let bytes = try CanonicalJSONEncoder().encode(value)
                #expect(String(decoding: bytes, as: UTF8.self) == "\(value)")
                #expect(try CanonicalJSONDecoder().decode(UInt64.self, from: bytes) == value)
                #expect(try JSONValue(parsing: bytes).canonicalBytes == bytes)
            }
        }
        #expect(throws: EncodingError.self) { try text(UInt128(UInt64.max) + 1) }
        #expect(throws: EncodingError.self) { try text(Int128(Int64.min) - 1) }
        for bad in ["18446744073709551616", "-9223372036854775809", "1e309"] {
            #expect(throws: JSONError.self) { try JSONValue(parsing: Array(bad.utf8)) }
        }
    }

    /// It became infinity, which no state can hold again.
    @Test("a double that no float holds is refused when a float is asked for")
    func overflow() throws {
        #expect(throws: DecodingError.self) {
            try CanonicalJSONDecoder().decode(Float.self, from: Array("1e300".utf8))
        }
    }
}
