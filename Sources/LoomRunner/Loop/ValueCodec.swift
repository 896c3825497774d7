public import LoomModel

/// How values of a type are stored, and under which name the log says so.
public struct ValueCodec<Value>: Sendable {
    /// The name in the run's first event; `json` is canonical JSON.
    public let name: String
    /// The bytes of a value. Equal values must have equal bytes.
    public let encode: @Sendable (Value) throws -> [UInt8]
    /// The value of bytes.
    public let decode: @Sendable ([UInt8]) throws -> Value

    /// Creates a codec.
    @inlinable
    public init(
        name: String, encode: @escaping @Sendable (Value) throws -> [UInt8],
        decode: @escaping @Sendable ([UInt8]) throws -> Value
    ) {
        self.name = name
        self.encode = encode
        self.decode = decode
    }
}

extension ValueCodec where Value: Codable & SendableMetatype {
    /// Canonical JSON: any tool can show the values.
    @inlinable public static var json: ValueCodec<Value> {
        ValueCodec(
            name: "json", encode: { try CanonicalJSONEncoder().encode($0) },
            decode: { try CanonicalJSONDecoder().decode(Value.self, from: $0) })
    }
}

extension ValueCodec where Value == JSONValue {
    /// JSON that the program does not look into, in its canonical form.
    public static var anyJSON: ValueCodec<JSONValue> {
        ValueCodec(
            name: "json", encode: { try $0.checkedBytes() },
            decode: { try JSONValue(parsing: $0) })
    }
}
