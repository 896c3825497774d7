internal import Synchronization

/// Writes values as canonical JSON: equal values have equal bytes, on every machine, for ever.
///
/// Keys are ordered by their UTF-8 bytes; no whitespace; escapes only for `"`, `\` and controls;
/// integers exact; floating-point numbers as the double that they equal, in its shortest form that
/// reads back, without a sign on zero; `Data` as base64; a `Set` as an array of its elements in the
/// order of their bytes. NaN, infinities, keys that are not strings, keys that come twice, integers
/// outside 64 bits and nesting above 512 are refused with their coding path.
///
/// `Data` and `Set` are known by their type: a type of yours that encodes itself as one of them
/// hands it to its container (`singleValueContainer().encode(set)`), not its encoder to it.
///
/// ```swift
/// let bytes = try CanonicalJSONEncoder().encode(["b": 1, "a": 2])   // {"a":2,"b":1}
/// ```
public struct CanonicalJSONEncoder: Sendable {
    /// The deepest nesting of arrays and objects that is written or read.
    public static let depthMax = 512

    /// Creates an encoder; it has no options, as there is one canonical form.
    public init() {}

    /// The canonical bytes of a value.
    ///
    /// What a value's `encode(to:)` tries and does not get written (`try?`) leaves nothing behind.
    ///
    /// - Throws: `EncodingError`, with the coding path of what cannot be written.
    public func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] {
        var encoder = SpareEncoding.take() ?? JSONEncoding()
        try encoder.write(value)
        let bytes = encoder.bytes.array
        assert(bytes.count > 1 << 16 || (try? JSONTape(parsing: bytes)) != nil)
        // A value that kept its encoder keeps it for good.
        if isKnownUniquelyReferenced(&encoder) { SpareEncoding.put(encoder) }
        return bytes
    }
}

/// One encoding that is kept for its memory: a loop encodes a small state at every step.
///
/// Sendable without checks: whoever takes it has it alone.
private struct SpareEncoding: @unchecked Sendable {
    private static let slot = Mutex<SpareEncoding?>(nil)
    private static let bytesMax = 64 << 10
    private let encoding: JSONEncoding

    static func take() -> JSONEncoding? {
        slot.withLockIfAvailable { slot -> SpareEncoding? in
            defer { slot = nil }
            return slot
        }??.encoding
    }

    static func put(_ encoding: JSONEncoding) {
        guard encoding.bytes.count <= bytesMax else { return }
        encoding.empty()
        let spare = SpareEncoding(encoding: encoding)
        _ = slot.withLockIfAvailable { $0 = spare }
    }
}

/// A key of an object or an index of an array, in the coding paths of errors.
struct JSONKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(_ key: String) {
        stringValue = key
        intValue = nil
    }

    init(index: Int) {
        stringValue = "\(index)"
        intValue = index
    }

    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { self.init(index: intValue) }
}
