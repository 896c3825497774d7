internal import Synchronization

/// What a type is, where its Codable calls do not tell: found by name and kept, as it is costly.
enum CodedShape: Hashable {
    case plain
    /// Foundation's Data, which this module does not import: base64 instead of an array of numbers.
    case bytes
    /// A set, whose elements have another order in every process: written in the order of their
    /// bytes.
    case set
    /// A dictionary whose keys are not strings: Codable would number them or flatten it.
    case refusedDictionary

    private static let known = Mutex<[ObjectIdentifier: CodedShape]>([:])

    init(of type: Any.Type) {
        let id = ObjectIdentifier(type)
        if let known = Self.known.withLock({ $0[id] }) {
            self = known
            return
        }
        let shape = Self.find(type)
        Self.known.withLock { $0[id] = shape }
        self = shape
    }

    private static func find(_ type: Any.Type) -> CodedShape {
        if let dictionary = type as? any KeyedByType.Type {
            let key = dictionary.keyType
            let isString = key == String.self
            let isNamed = key is any CodingKeyRepresentable.Type && key != Int.self
            return isString || isNamed ? .plain : .refusedDictionary
        }
        if type is any UnorderedType.Type { return .set }
        let name = String(reflecting: type)
        return name == "Foundation.Data" || name == "FoundationEssentials.Data" ? .bytes : .plain
    }

    /// Whether the type is a dictionary whose keys are Swift strings.
    static func isKeyedByString(_ type: Any.Type) -> Bool {
        (type as? any KeyedByType.Type)?.keyType == String.self
    }

    /// The key type that the standard library's dictionaries ask for their container with.
    static let dictionaryKey: Any.Type = {
        let probe = KeyProbe()
        // Empty: it asks for its container and writes nothing.
        try? [String: Int]().encode(to: probe)
        return probe.key.withLock { $0 } ?? JSONKey.self
    }()
}

private protocol KeyedByType {
    static var keyType: Any.Type { get }
}

extension Dictionary: KeyedByType {
    static var keyType: Any.Type { Key.self }
}

private protocol UnorderedType {}
extension Set: UnorderedType {}

/// An encoder that only looks which key type it is asked with.
private final class KeyProbe: Encoder {
    let key = Mutex<Any.Type?>(nil)
    let codingPath: [any CodingKey] = []
    let userInfo: [CodingUserInfoKey: Any] = [:]

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        key.withLock { $0 = type }
        // Not `container`, which asks for the key type that is being found.
        return JSONEncoding(root: type).plainContainer(keyedBy: type)
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        JSONEncoding(root: KeyProbe.self).unkeyedContainer()
    }

    func singleValueContainer() -> any SingleValueEncodingContainer {
        JSONEncoding(root: KeyProbe.self).singleValueContainer()
    }
}
