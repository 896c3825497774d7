// The canonical text of the parts of JSON. Fixed for ever: hashes and deltas of states depend on
// it. See FORMAT.md, Canonical JSON.

/// Bytes of JSON text that are being written.
typealias JSONText = TrivialStack<UInt8>

extension JSONText {
    /// A copy of what was written.
    var array: [UInt8] { unsafe withElements { unsafe [UInt8]($0) } }

    /// Appends ASCII text.
    func append(_ text: StaticString) {
        text.withUTF8Buffer { unsafe append(contentsOf: $0) }
    }

    /// Appends a string in quotes. Escapes `"`, `\` and the controls below U+0020; everything else
    /// is UTF-8 as it is, unnormalised.
    ///
    /// - Returns: Whether anything had to be escaped.
    @discardableResult
    func appendJSON(_ string: String) -> Bool {
        append(0x22)
        var string = string
        let escapes = string.withUTF8 { utf8 in
            var start = 0
            for index in 0..<utf8.count {
                let byte = unsafe utf8[index]
                if byte >= 0x20 && byte != 0x22 && byte != 0x5C { continue }
                unsafe append(contentsOf: UnsafeBufferPointer(rebasing: utf8[start..<index]))
                appendEscape(byte)
                start = index + 1
            }
            unsafe append(contentsOf: UnsafeBufferPointer(rebasing: utf8[start...]))
            return start > 0
        }
        append(0x22)
        return escapes
    }

    private func appendEscape(_ byte: UInt8) {
        append(0x5C)
        switch byte {
        case 0x22, 0x5C: append(byte)
        case 0x08: append(0x62)
        case 0x09: append(0x74)
        case 0x0A: append(0x6E)
        case 0x0C: append(0x66)
        case 0x0D: append(0x72)
        default:
            append("u00")
            append(hexDigit(byte >> 4))
            append(hexDigit(byte & 15))
        }
    }

    private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

    /// Appends an integer, exact.
    func appendJSON(_ value: Int64) {
        if value < 0 { append(0x2D) }
        appendJSON(value.magnitude)
    }

    /// Appends an integer, exact.
    func appendJSON(_ value: UInt64) {
        if value < 10 {
            append(0x30 + UInt8(truncatingIfNeeded: value))
            return
        }
        var (divisor, rest) = (UInt64(1), value)
        while rest / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            append(0x30 + UInt8(truncatingIfNeeded: rest / divisor))
            rest %= divisor
            divisor /= 10
        }
    }

    /// Appends a number in the shortest form that reads back as the same value; zero has no sign.
    ///
    /// `description` is what Swift prints: positional from 1e-4 up to 2^53, else with an exponent.
    /// Of it, a fraction of zero, the exponent's plus and its leading zeros are left out.
    func appendJSONNumber(description: String) {
        var text = Substring(description)
        var exponent = Substring()
        if let mark = text.firstIndex(of: "e") {
            exponent = text[text.index(after: mark)...]
            text = text[..<mark]
        }
        if text.hasSuffix(".0") { text = text.dropLast(2) }
        if text == "-0" { text = "0" }
        for byte in text.utf8 { append(byte) }
        guard !exponent.isEmpty else { return }
        append(0x65)
        if exponent.first == "-" { append(0x2D) }
        let digits = exponent.drop { $0 == "-" || $0 == "+" || $0 == "0" }
        for byte in digits.utf8 { append(byte) }
    }

    /// Appends a finite double. Integral ones of moderate size, the common case, skip the detour
    /// over text and come out the same.
    func appendJSON(_ value: Double) {
        if let integer = Int64(exactly: value), integer.magnitude < 1 << 53 {
            appendJSON(integer)
        } else {
            appendJSONNumber(description: value.description)
        }
    }

    /// Appends bytes as base64 in quotes, padded.
    func appendJSONBase64(_ bytes: [UInt8]) {
        append(0x22)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let rest = bytes.count - start
            let group =
                UInt32(bytes[start]) << 16 | (rest > 1 ? UInt32(bytes[start + 1]) << 8 : 0)
                | (rest > 2 ? UInt32(bytes[start + 2]) : 0)
            append(Base64.digits[Int(group >> 18)])
            append(Base64.digits[Int(group >> 12 & 63)])
            append(rest > 1 ? Base64.digits[Int(group >> 6 & 63)] : 0x3D)
            append(rest > 2 ? Base64.digits[Int(group & 63)] : 0x3D)
        }
        append(0x22)
    }
}

/// RFC 4648, section 4.
enum Base64 {
    static let digits = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (index, digit) in digits.enumerated() { values[Int(digit)] = UInt8(index) }
        return values
    }()

    /// The bytes of a text; `nil` unless it is exactly what the writer would have written.
    static func decode(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 4 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 4 * 3)
        for start in stride(from: 0, to: digits.count, by: 4) {
            let group = digits[start..<(start + 4)]
            let isLast = start + 4 == digits.count
            let padding = isLast ? group.reversed().prefix(while: { $0 == 0x3D }).count : 0
            guard padding <= 2 else { return nil }
            var value: UInt32 = 0
            for digit in group.dropLast(padding) {
                let bits = values[Int(digit)]
                guard bits != 255 else { return nil }
                value = value << 6 | UInt32(bits)
            }
            value <<= UInt32(6 * padding)
            guard padding == 0 || value & (padding == 1 ? 0xFF : 0xFFFF) == 0 else { return nil }
            bytes.append(UInt8(truncatingIfNeeded: value >> 16))
            if padding < 2 { bytes.append(UInt8(truncatingIfNeeded: value >> 8)) }
            if padding < 1 { bytes.append(UInt8(truncatingIfNeeded: value)) }
        }
        return bytes
    }
}
