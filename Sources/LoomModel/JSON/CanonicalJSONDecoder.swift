/// Reads values from JSON, canonical or not, as ``CanonicalJSONEncoder`` writes them.
///
/// ```swift
/// let state = try CanonicalJSONDecoder().decode(State.self, from: bytes)
/// ```
public struct CanonicalJSONDecoder: Sendable {
    /// Creates a decoder.
    public init() {}

    /// Reads a value.
    ///
    /// - Throws: `DecodingError`, with the coding path of what does not fit the type.
    public func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8]
    ) throws -> Value {
        let tape: JSONTape
        do throws(JSONError) {
            tape = try JSONTape(parsing: bytes)
        } catch {
            throw DecodingError.dataCorrupted(
                .init(codingPath: [], debugDescription: "\(error)", underlyingError: error))
        }
        return try JSONDecoding(tape, 0).read(type)
    }
}

/// Decodes from one value of a text that was read.
struct JSONDecoding: Decoder {
    let tape: JSONTape
    let index: Int
    /// Which type is being decoded; only looked at for dictionaries.
    private var type: TypeReference?
    var userInfo: [CodingUserInfoKey: Any] { [:] }
    var codingPath: [any CodingKey] { tape.path(to: index) }

    init(_ tape: JSONTape, _ index: Int) {
        self.tape = tape
        self.index = index
    }

    private var node: JSONTape.Node { tape.nodes[index] }

    var isString: Bool { node.kind == .string || node.kind == .escaped }

    func read<Value: Decodable>(_ type: Value.Type) throws -> Value {
        if isString, CodedShape(of: type) == .bytes, let bytes = try data(type) { return bytes }
        var decoding = self
        decoding.type = TypeReference(type)
        return try Value(from: decoding)
    }

    /// Bytes from base64, into the collection that Foundation's Data is: asked for its elements, it
    /// would take them one by one.
    private func data<Value>(_ type: Value.Type) throws -> Value? {
        guard let type = type as? any RangeReplaceableCollection<UInt8>.Type else { return nil }
        func collect<Bytes: RangeReplaceableCollection<UInt8>>(_ type: Bytes.Type) -> Bytes? {
            unsafe tape.withString(index) { unsafe Base64.decode($0, as: type) }
        }
        guard let bytes = collect(type) else { throw refusal("a text that is not base64") }
        return bytes as? Value
    }

    func refusal(_ reason: String) -> DecodingError {
        .dataCorrupted(.init(codingPath: codingPath, debugDescription: reason))
    }

    private func mismatch(_ type: Any.Type) -> DecodingError {
        .typeMismatch(
            type,
            .init(codingPath: codingPath, debugDescription: "found \(tape.kindName(index))"))
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        guard node.kind == .object else { throw mismatch([String: Any].self) }
        if type == CodedShape.dictionaryKey { try checkTexts() }
        return KeyedDecodingContainer(JSONMembers(tape, index))
    }

    /// Refuses keys that differ in bytes and are one key to Swift: of a `[String: Value]` one of
    /// the two values would be lost without a word.
    private func checkTexts() throws {
        guard let type, CodedShape.isKeyedByString(type.type) else { return }
        var keys: [String] = []
        tape.forEachMember(of: index) { keys.append(tape.string($0)) }
        // In ASCII equal text is equal bytes, and equal bytes were refused by the parser.
        let isASCII = keys.allSatisfy { $0.utf8.allSatisfy { $0 < 0x80 } }
        let isClear = isASCII || Set(keys).count == keys.count
        guard isClear else {
            throw refusal("two keys that are equal as text and differ in bytes")
        }
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        guard node.kind == .array else { throw mismatch([Any].self) }
        return JSONElements(tape, index)
    }

    func singleValueContainer() -> any SingleValueDecodingContainer { self }

    private func integer<Value: FixedWidthInteger>(_ type: Value.Type) throws -> Value {
        let node = node
        let found: Value? =
            switch node.kind {
            case .integer: Value(exactly: Int64(bitPattern: node.first))
            case .unsigned: Value(exactly: node.first)
            case .double: Value(exactly: Double(bitPattern: node.first))
            default: throw mismatch(type)
            }
        guard let found else { throw refusal("a number that does not fit \(type)") }
        return found
    }

    private func number<Value: BinaryFloatingPoint>(_ type: Value.Type) throws -> Value {
        let node = node
        let value: Value
        switch node.kind {
        case .integer: value = Value(Int64(bitPattern: node.first))
        case .unsigned: value = Value(node.first)
        case .double: value = Value(Double(bitPattern: node.first))
        default: throw mismatch(type)
        }
        guard value.isFinite else { throw refusal("a number that does not fit \(type)") }
        return value
    }
}

extension JSONDecoding: SingleValueDecodingContainer {
    func decodeNil() -> Bool { node.kind == .null }
    func decode(_ type: Bool.Type) throws -> Bool {
        guard node.kind == .bool else { throw mismatch(type) }
        return node.first != 0
    }
    func decode(_ type: String.Type) throws -> String {
        guard isString else { throw mismatch(type) }
        return tape.string(index)
    }
    func decode(_ type: Double.Type) throws -> Double { try number(type) }
    func decode(_ type: Float.Type) throws -> Float { try number(type) }
    func decode(_ type: Int.Type) throws -> Int { try integer(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try integer(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try integer(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try integer(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try integer(type) }
    func decode(_ type: Int128.Type) throws -> Int128 { try integer(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try integer(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try integer(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try integer(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try integer(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try integer(type) }
    func decode(_ type: UInt128.Type) throws -> UInt128 { try integer(type) }
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try read(type) }
}

extension JSONTape {
    /// What kind of value a node is, for messages.
    func kindName(_ index: Int) -> String {
        switch nodes[index].kind {
        case .null: "null"
        case .bool: "a bool"
        case .integer, .unsigned, .double: "a number"
        case .string, .escaped: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}
