/// Bytes as text in RFC 4648's base64, with padding.
enum Base64 {
    private static let digits = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let values: [UInt8: UInt32] = Dictionary(
        uniqueKeysWithValues: digits.enumerated().map { ($1, UInt32($0)) })

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            let word = part.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << (8 * (3 - part.count))
            for index in 0..<4 {
                let isThere = index <= part.count
                text.append(
                    isThere ? digits[Int(word >> (18 - 6 * index) & 63)] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes; `nil` for what is no base64.
    static func decode(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var (word, count, padding): (UInt32, Int, Int) = (0, 0, 0)
        for digit in text.utf8 {
            if digit == UInt8(ascii: "=") {
                padding += 1
            } else {
                guard padding == 0, let value = values[digit] else { return nil }
                word |= value << (18 - 6 * count)
            }
            count += 1
            guard count == 4 else { continue }
            guard padding <= 2 else { return nil }
            for index in 0..<(3 - padding) {
                bytes.append(UInt8(truncatingIfNeeded: word >> (16 - 8 * index)))
            }
            (word, count) = (0, 0)
        }
        return count == 0 ? bytes : nil
    }
}
