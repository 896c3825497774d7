extension JSONEncoding: Encoder {
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        begin(.object)
        return KeyedEncodingContainer(JSONObjectContainer(encoding: self, depth: frames.count))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        let shape = CodedShape(of: frames[frames.count - 1].type.type)
        begin(shape == .bytes ? .base64 : .array)
        return JSONArrayContainer(
            encoding: self, depth: frames.count, isBytes: shape == .bytes,
            isRefused: shape == .refusedDictionary)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer {
        JSONSingleContainer(encoding: self)
    }

    func put(_ text: StaticString) { bytes.append(text) }

    func putNumber(_ value: Double) throws {
        guard value.isFinite else { throw refusal(value, "\(value) has no place in JSON") }
        bytes.appendJSON(value)
    }

    func putNumber(_ value: Float) throws {
        guard value.isFinite else { throw refusal(value, "\(value) has no place in JSON") }
        bytes.appendJSONNumber(description: value.description)
    }

    func putNumber<Value: BinaryInteger>(_ value: Value) throws {
        if let small = Int64(exactly: value) {
            bytes.appendJSON(small)
        } else if let large = UInt64(exactly: value) {
            bytes.appendJSON(large)
        } else {
            throw refusal(value, "an integer outside 64 bits")
        }
    }

    /// Whether the frame's dictionary has keys that are no strings.
    func checkKeys() throws {
        guard CodedShape(of: frames[frames.count - 1].type.type) == .refusedDictionary else {
            return
        }
        throw refusal(frames[frames.count - 1].type.type, "keys that are not strings")
    }
}

/// The members of an object.
private struct JSONObjectContainer<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoding: JSONEncoding
    let depth: Int
    var codingPath: [any CodingKey] { encoding.codingPath }

    private func member(_ key: Key, _ write: () throws -> Void) throws {
        if Key.self == CodedShape.dictionaryKey { try encoding.checkKeys() }
        try encoding.beginMember(key.stringValue, frame: depth)
        try write()
        encoding.endMember()
    }

    func encodeNil(forKey key: Key) throws { try member(key) { encoding.put("null") } }
    func encode(_ value: Bool, forKey key: Key) throws {
        try member(key) { encoding.put(value ? "true" : "false") }
    }
    func encode(_ value: String, forKey key: Key) throws {
        try member(key) { encoding.bytes.appendJSON(value) }
    }
    func encode(_ value: Double, forKey key: Key) throws {
        try member(key) { try encoding.putNumber(value) }
    }
    func encode(_ value: Float, forKey key: Key) throws {
        try member(key) { try encoding.putNumber(value) }
    }
    func encode(_ value: Int, forKey key: Key) throws {
        try member(key) { encoding.bytes.appendJSON(Int64(value)) }
    }
    func encode(_ value: UInt, forKey key: Key) throws {
        try member(key) { encoding.bytes.appendJSON(UInt64(value)) }
    }
    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        try member(key) { try encoding.write(value) }
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
        beside(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        beside(key).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { beside("super") }
    func superEncoder(forKey key: Key) -> any Encoder { beside(key) }

    private func beside(_ key: Key) -> JSONEncoding { beside(key.stringValue) }

    /// Codable gives no way to throw here: a key that comes twice is found when the object is
    /// sorted.
    private func beside(_ key: String) -> JSONEncoding {
        try? encoding.beginMember(key, frame: depth)
        let beside = encoding.beside()
        encoding.endMember()
        return beside
    }
}

/// The elements of an array, or the bytes of a value that is written as base64.
private struct JSONArrayContainer: UnkeyedEncodingContainer {
    let encoding: JSONEncoding
    let depth: Int
    let isBytes: Bool
    let isRefused: Bool
    var codingPath: [any CodingKey] { encoding.codingPath }
    /// The encoding counts: a container is a value that may be copied.
    var count: Int { encoding.frames.count >= depth ? encoding.frames[depth - 1].count : 0 }

    private func element(_ write: () throws -> Void) throws {
        if isRefused { throw encoding.refusal(self, "keys that are not strings") }
        try encoding.beginElement(frame: depth)
        try write()
    }

    func encodeNil() throws { try element { encoding.put("null") } }
    func encode(_ value: Bool) throws {
        try element { encoding.put(value ? "true" : "false") }
    }
    func encode(_ value: String) throws {
        try element { encoding.bytes.appendJSON(value) }
    }
    func encode(_ value: Double) throws { try element { try encoding.putNumber(value) } }
    func encode(_ value: Float) throws { try element { try encoding.putNumber(value) } }
    func encode(_ value: Int) throws {
        try element { encoding.bytes.appendJSON(Int64(value)) }
    }
    func encode(_ value: UInt8) throws {
        if isBytes {
            encoding.appendRaw(value)
        } else {
            try element { encoding.bytes.appendJSON(UInt64(value)) }
        }
    }
    func encode<Value: Encodable>(_ value: Value) throws {
        try element { try encoding.write(value) }
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type
    ) -> KeyedEncodingContainer<Nested> {
        beside().container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        beside().unkeyedContainer()
    }

    func superEncoder() -> any Encoder { beside() }

    private func beside() -> JSONEncoding {
        try? encoding.beginElement(frame: depth)
        return encoding.beside()
    }
}

/// A value that is neither an object nor an array.
private struct JSONSingleContainer: SingleValueEncodingContainer {
    let encoding: JSONEncoding
    var codingPath: [any CodingKey] { encoding.codingPath }

    private func single(_ write: () throws -> Void) throws {
        let top = encoding.frames.count - 1
        guard encoding.frames[top].kind == .undecided else {
            throw encoding.refusal(self, "a value encodes itself twice")
        }
        try write()
        encoding.frames.update(top) { $0.kind = .single }
    }

    func encodeNil() throws { try single { encoding.put("null") } }
    func encode(_ value: Bool) throws { try single { encoding.put(value ? "true" : "false") } }
    func encode(_ value: String) throws { try single { encoding.bytes.appendJSON(value) } }
    func encode(_ value: Double) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: Float) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: Int) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: Int8) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: Int16) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: Int32) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: Int64) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: Int128) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: UInt) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: UInt8) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: UInt16) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: UInt32) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: UInt64) throws { try single { try encoding.putNumber(value) } }
    func encode(_ value: UInt128) throws { try single { try encoding.putNumber(value) } }
    func encode<Value: Encodable>(_ value: Value) throws {
        try single { try encoding.write(value) }
    }
}
