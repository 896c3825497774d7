/// The identity of a request to the process that has a log: 16 random bytes.
public struct RequestID: Hashable, Sendable {
    /// The first eight bytes, little-endian.
    public let low: UInt64
    /// The last eight bytes, little-endian.
    public let high: UInt64

    /// Creates an identity from its halves.
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// Reads 32 lower-case hexadecimal digits, high half first; `nil` for anything else.
    public init?(_ digits: some StringProtocol) {
        let digits = Array(digits.utf8)
        guard digits.count == 32,
            let high = UInt64(hexDigits: digits[..<16]), let low = UInt64(hexDigits: digits[16...])
        else { return nil }
        self.init(low: low, high: high)
    }
}

extension RequestID: CustomStringConvertible {
    /// 32 hexadecimal digits, high half first.
    public var description: String { high.paddedHex + low.paddedHex }
}

extension UInt64 {
    /// Reads 16 lower-case hexadecimal digits; `nil` for anything else.
    init?(hexDigits: ArraySlice<UInt8>) {
        guard hexDigits.count == 16 else { return nil }
        var value: UInt64 = 0
        for digit in hexDigits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                value = value << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"):
                value = value << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        self = value
    }
}
