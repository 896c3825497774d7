internal import LoomFormat

/// The members of an object, found by the bytes of their keys.
struct JSONMembers<Key: CodingKey>: KeyedDecodingContainerProtocol {
    private let tape: JSONTape
    private let object: Int
    /// Of an object with many members, the places of their values.
    private let places: [ByteString: Int]?
    var codingPath: [any CodingKey] { tape.path(to: object) }

    init(_ tape: JSONTape, _ object: Int) {
        self.tape = tape
        self.object = object
        guard tape.count(object) > 16 else {
            places = nil
            return
        }
        var places: [ByteString: Int] = [:]
        places.reserveCapacity(tape.count(object))
        tape.forEachMember(of: object) { places[ByteString(tape.string($0))] = $0 + 1 }
        self.places = places
    }

    var allKeys: [Key] {
        var keys: [Key] = []
        keys.reserveCapacity(tape.count(object))
        tape.forEachMember(of: object) { key in
            if let key = Key(stringValue: tape.string(key)) { keys.append(key) }
        }
        return keys
    }

    /// The node of a key's value.
    private func place(of key: String) -> Int? {
        if let places { return places[ByteString(key)] }
        var key = key
        return key.withUTF8 { utf8 in
            let end = tape.nodes[object].next
            var place = object + 1
            while place < end {
                if unsafe tape.isKey(place, utf8) { return place + 1 }
                place = tape.nodes[place + 1].next
            }
            return nil
        }
    }

    private func decoding(_ key: some CodingKey) throws -> JSONDecoding {
        guard let place = place(of: key.stringValue) else {
            throw DecodingError.keyNotFound(
                key, .init(codingPath: codingPath, debugDescription: "there is no such key"))
        }
        return JSONDecoding(tape, place)
    }

    func contains(_ key: Key) -> Bool { place(of: key.stringValue) != nil }
    func decodeNil(forKey key: Key) throws -> Bool { try decoding(key).decodeNil() }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
        try decoding(key).decode(type)
    }
    func decode(_ type: String.Type, forKey key: Key) throws -> String {
        try decoding(key).decode(type)
    }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
        try decoding(key).decode(type)
    }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int {
        try decoding(key).decode(type)
    }
    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try decoding(key).read(type)
    }
    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> { try decoding(key).container(keyedBy: type) }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try decoding(key).unkeyedContainer()
    }
    func superDecoder() throws -> any Decoder { try decoding(JSONKey("super")) }
    func superDecoder(forKey key: Key) throws -> any Decoder { try decoding(key) }
}

/// The elements of an array, in turn.
struct JSONElements: UnkeyedDecodingContainer {
    private let tape: JSONTape
    private let array: Int
    private var place: Int
    private(set) var currentIndex = 0
    var codingPath: [any CodingKey] { tape.path(to: array) }
    var count: Int? { tape.count(array) }
    var isAtEnd: Bool { place == tape.nodes[array].next }

    init(_ tape: JSONTape, _ array: Int) {
        self.tape = tape
        self.array = array
        place = array + 1
    }

    private func current() throws -> JSONDecoding {
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(
                JSONValue.self,
                .init(
                    codingPath: codingPath + [JSONKey(index: currentIndex)],
                    debugDescription: "the array has ended"))
        }
        return JSONDecoding(tape, place)
    }

    private mutating func advance() {
        place = tape.nodes[place].next
        currentIndex += 1
    }

    mutating func decodeNil() throws -> Bool {
        guard try current().decodeNil() else { return false }
        advance()
        return true
    }
    mutating func decode(_ type: String.Type) throws -> String {
        let value = try current().decode(type)
        advance()
        return value
    }
    mutating func decode(_ type: Double.Type) throws -> Double {
        let value = try current().decode(type)
        advance()
        return value
    }
    mutating func decode(_ type: Int.Type) throws -> Int {
        let value = try current().decode(type)
        advance()
        return value
    }
    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        let value = try current().read(type)
        advance()
        return value
    }
    mutating func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type
    ) throws -> KeyedDecodingContainer<Nested> {
        let container = try current().container(keyedBy: type)
        advance()
        return container
    }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        let container = try current().unkeyedContainer()
        advance()
        return container
    }
    mutating func superDecoder() throws -> any Decoder {
        let decoding = try current()
        advance()
        return decoding
    }
}
