extension JSONEncoding: Encoder {
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        let container = members(keyedBy: type)
        guard Key.self == CodedShape.dictionaryKey, container.serial != 0,
            CodedShape(of: frames[frames.count - 1].type.type) == .refusedDictionary
        else { return KeyedEncodingContainer(container) }
        return KeyedEncodingContainer(
            JSONObjectContainer<Key>(encoding: self, serial: container.serial, isRefused: true))
    }

    /// The container of an object that is no dictionary.
    func plainContainer<Key: CodingKey>(
        keyedBy type: Key.Type
    ) -> KeyedEncodingContainer<Key> {
        KeyedEncodingContainer(members(keyedBy: type))
    }

    private func members<Key: CodingKey>(keyedBy type: Key.Type) -> JSONObjectContainer<Key> {
        JSONObjectContainer(encoding: self, serial: begin(.object), isRefused: false)
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        let shape =
            frames.count > 0 ? CodedShape(of: frames[frames.count - 1].type.type) : .plain
        let serial = begin(shape == .bytes ? .base64 : shape == .set ? .set : .array)
        return JSONArrayContainer(
            encoding: self, serial: serial, isBytes: shape == .bytes,
            isRefused: shape == .refusedDictionary)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer {
        JSONSingleContainer(
            encoding: self, serial: frames.count > 0 ? frames[frames.count - 1].serial : 0)
    }

    func put(_ text: StaticString) { bytes.append(text) }

    func putNumber(_ value: Double) throws {
        guard value.isFinite else { throw refusal(value, "\(value) has no place in JSON") }
        bytes.appendJSON(value)
    }

    /// As the double that it equals: equal values have equal bytes.
    func putNumber(_ value: Float) throws { try putNumber(Double(value)) }

    func putNumber<Value: BinaryInteger>(_ value: Value) throws {
        if let small = Int64(exactly: value) {
            bytes.appendJSON(small)
        } else if let large = UInt64(exactly: value) {
            bytes.appendJSON(large)
        } else {
            throw refusal(value, "an integer outside 64 bits")
        }
    }
}

/// The members of an object.
private struct JSONObjectContainer<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let encoding: JSONEncoding
    let serial: Int
    /// Whether the keys are those of a dictionary whose keys are no strings.
    let isRefused: Bool
    var codingPath: [any CodingKey] { encoding.codingPath }

    private func member(_ key: Key, _ write: () throws -> Void) throws {
        if isRefused { throw encoding.refusal(Key.self, "keys that are not strings") }
        try encoding.beginMember(key.stringValue, of: serial)
        do {
            try write()
            try encoding.endMember()
        } catch {
            encoding.dropMember()
            throw error
        }
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
        encoding.besideMember(key.stringValue, of: serial).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        encoding.besideMember(key.stringValue, of: serial).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { encoding.besideMember("super", of: serial) }
    func superEncoder(forKey key: Key) -> any Encoder {
        encoding.besideMember(key.stringValue, of: serial)
    }
}

/// The elements of an array, or the bytes of a value that is written as base64.
private struct JSONArrayContainer: UnkeyedEncodingContainer {
    let encoding: JSONEncoding
    let serial: Int
    let isBytes: Bool
    let isRefused: Bool
    var codingPath: [any CodingKey] { encoding.codingPath }

    /// The encoding counts: a container is a value that may be copied.
    var count: Int {
        let frames = encoding.frames
        let own = (0..<frames.count).last { frames[$0].serial == serial }
        return own.map { frames[$0].count } ?? 0
    }

    private func element(_ write: () throws -> Void) throws {
        if isRefused { throw encoding.refusal(self, "keys that are not strings") }
        if isBytes { throw encoding.refusal(self, "a value among bytes that is no byte") }
        let end = encoding.bytes.count
        try encoding.beginElement(of: serial)
        do {
            try write()
        } catch {
            encoding.dropElement(end)
            throw error
        }
        encoding.endElement(end)
    }

    private func putBytes(_ source: some Sequence<UInt8>) throws {
        try encoding.checkOpen(serial)
        let isDone: Void? = source.withContiguousStorageIfAvailable {
            unsafe encoding.appendBase64($0)
        }
        if isDone != nil { return }
        unsafe Array(source).withUnsafeBufferPointer { unsafe encoding.appendBase64($0) }
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
            try putBytes(CollectionOfOne(value))
        } else {
            try element { encoding.bytes.appendJSON(UInt64(value)) }
        }
    }
    func encode(contentsOf bytes: some Sequence<UInt8>) throws {
        if isBytes { return try putBytes(bytes) }
        for byte in bytes { try encode(byte) }
    }
    func encode<Value: Encodable>(_ value: Value) throws {
        try element { try encoding.write(value) }
    }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type
    ) -> KeyedEncodingContainer<Nested> {
        encoding.besideElement(of: serial).container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        encoding.besideElement(of: serial).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { encoding.besideElement(of: serial) }
}

/// A value that is neither an object nor an array.
private struct JSONSingleContainer: SingleValueEncodingContainer {
    let encoding: JSONEncoding
    let serial: Int
    var codingPath: [any CodingKey] { encoding.codingPath }

    @inline(__always)
    private func single(_ write: () throws -> Void) throws {
        try encoding.checkOpen(serial)
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
