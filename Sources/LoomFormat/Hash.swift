internal import CXXHash

/// XXH3-64, the hash of blocks and headers: it detects damage and is no evidence against tampering.
public enum BlockHash {
    /// The hash of `bytes` under `seed`.
    public static func hash(_ bytes: RawSpan, seed: UInt64 = 0) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe hash($0, seed: seed) }
    }

    /// The hash of the bytes of a buffer under `seed`.
    public static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
        unsafe XXH3_64bits_withSeed(bytes.baseAddress, bytes.count, seed)
    }
}

/// XXH3-64 with seed 0 of bytes that come in parts.
@safe public struct BlockHashing: ~Copyable {
    private let state: OpaquePointer

    /// Begins a hash; `nil` when there is no memory for its state.
    public init?() {
        guard let state = unsafe XXH3_createState() else { return nil }
        unsafe self.state = state
        _ = unsafe XXH3_64bits_reset(state)
    }

    deinit { unsafe XXH3_freeState(state) }

    /// Takes in the next part.
    public mutating func add(_ bytes: RawSpan) {
        _ = unsafe bytes.withUnsafeBytes {
            unsafe XXH3_64bits_update(state, $0.baseAddress, $0.count)
        }
    }

    /// The hash of everything taken in so far.
    public var value: UInt64 { unsafe XXH3_64bits_digest(state) }
}

/// XXH3-128 of some content: the identity of a state, a request or a blob, compared across objects.
///
/// Stored as its two halves, low then high, little-endian; printed as xxhsum does, high first.
public struct ContentHash: Hashable, Sendable, BitwiseCopyable {
    /// The low half.
    public let low: UInt64
    /// The high half.
    public let high: UInt64

    /// Creates a hash from its halves.
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// Computes the hash of `bytes`.
    public init(of bytes: RawSpan) {
        let value = unsafe bytes.withUnsafeBytes {
            unsafe XXH3_128bits($0.baseAddress, $0.count)
        }
        self.init(low: value.low64, high: value.high64)
    }
}

extension ContentHash: CustomStringConvertible {
    /// 32 hexadecimal digits, high half first.
    public var description: String { high.paddedHex + low.paddedHex }
}

extension UInt64 {
    /// Sixteen hexadecimal digits.
    public var paddedHex: String {
        let digits = String(self, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
