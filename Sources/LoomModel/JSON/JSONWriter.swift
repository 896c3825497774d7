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

    /// Appends bytes as base64, padded where the last group is not full.
    func appendBase64(_ source: UnsafeBufferPointer<UInt8>) {
        unsafe append(count: (source.count + 2) / 3 * 4) { text in
            unsafe Base64.digits.withUnsafeBufferPointer { digits in
                var (place, start) = (0, 0)
                while start < source.count {
                    let rest = source.count - start
                    var group = unsafe UInt32(source[start]) << 16
                    if rest > 1 { group |= unsafe UInt32(source[start + 1]) << 8 }
                    if rest > 2 { group |= unsafe UInt32(source[start + 2]) }
                    unsafe text[place] = digits[Int(group >> 18)]
                    unsafe text[place + 1] = digits[Int(group >> 12 & 63)]
                    unsafe text[place + 2] = rest > 1 ? digits[Int(group >> 6 & 63)] : 0x3D
                    unsafe text[place + 3] = rest > 2 ? digits[Int(group & 63)] : 0x3D
                    place += 4
                    start += 3
                }
            }
        }
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
    ///
    /// Decoded in pieces, so that no second copy of the whole is in memory.
    static func decode<Bytes: RangeReplaceableCollection<UInt8>>(
        _ text: UnsafeBufferPointer<UInt8>, as type: Bytes.Type
    ) -> Bytes? {
        guard text.count % 4 == 0 else { return nil }
        var bytes = Bytes()
        bytes.reserveCapacity(text.count / 4 * 3)
        var start = 0
        while start < text.count {
            let end = min(start + 1 << 16, text.count)
            let piece = unsafe UnsafeBufferPointer(rebasing: text[start..<end])
            guard let decoded = unsafe decode(piece, isLast: end == text.count) else { return nil }
            bytes.append(contentsOf: decoded)
            start = end
        }
        return bytes
    }

    /// The bytes of some groups of four digits, of which only the text's last may be padded.
    private static func decode(_ text: UnsafeBufferPointer<UInt8>, isLast: Bool) -> [UInt8]? {
        var padding = 0
        if isLast {
            while padding < 2, unsafe text[text.count - 1 - padding] == 0x3D { padding += 1 }
        }
        var isClean = true
        let bytes = unsafe values.withUnsafeBufferPointer { values in
            unsafe [UInt8](unsafeUninitializedCapacity: text.count / 4 * 3) { bytes, count in
                // Whatever is no digit sets the high bits, of the whole piece at once.
                var seen: UInt8 = 0
                for group in 0..<(text.count / 4) {
                    let hasPadding = padding > 0 && group == text.count / 4 - 1
                    let place = group * 4
                    let a = unsafe values[Int(text[place])]
                    let b = unsafe values[Int(text[place + 1])]
                    let c = unsafe hasPadding && padding == 2 ? 0 : values[Int(text[place + 2])]
                    let d = unsafe hasPadding ? 0 : values[Int(text[place + 3])]
                    seen |= a | b | c | d
                    unsafe bytes[group * 3] = a << 2 | b >> 4
                    unsafe bytes[group * 3 + 1] = b << 4 | c >> 2
                    unsafe bytes[group * 3 + 2] = c << 6 | d
                    // What the padding leaves out must be zero.
                    if hasPadding, (padding == 2 ? b & 15 : c & 3) != 0 { isClean = false }
                }
                if seen > 63 { isClean = false }
                count = text.count / 4 * 3 - padding
            }
        }
        return isClean ? bytes : nil
    }
}
