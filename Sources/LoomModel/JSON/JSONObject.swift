internal import LoomFormat

/// The members of a JSON object, by the UTF-8 bytes of their keys.
///
/// ```swift
/// let object: JSONObject = ["name": .string("a.md"), "size": .integer(12)]
/// object["name"]
/// ```
public struct JSONObject: Hashable, Sendable {
    private var members: [ByteString: JSONValue]

    /// Creates an object without members.
    public init() { members = [:] }

    /// Creates an object of members; of two with the same key, the later one counts.
    public init(_ members: some Sequence<(key: String, value: JSONValue)>) {
        self.init(minimumCapacity: members.underestimatedCount)
        for (key, value) in members { self[key] = value }
    }

    init(minimumCapacity: Int) {
        members = [:]
        members.reserveCapacity(minimumCapacity)
    }

    /// How many members there are.
    public var count: Int { members.count }
    /// Whether there are none.
    public var isEmpty: Bool { members.isEmpty }

    /// The value of the member whose key has these bytes; `nil` is none.
    public subscript(_ key: String) -> JSONValue? {
        get { members[ByteString(key)] }
        set { members[ByteString(key)] = newValue }
    }

    /// The values, in no order.
    var values: some Collection<JSONValue> { members.values }

    /// The members in the order of their keys' bytes.
    public var sorted: [(key: String, value: JSONValue)] {
        members.sorted { $0.key < $1.key }.map { ($0.key.text, $0.value) }
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral, Sequence {
    /// Creates an object of a literal; of two members with the same key, the later one counts.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self.init(minimumCapacity: elements.count)
        for (key, value) in elements { self[key] = value }
    }

    /// Goes over the members, in no order.
    public func makeIterator() -> some IteratorProtocol<(key: String, value: JSONValue)> {
        members.lazy.map { (key: $0.key.text, value: $0.value) }.makeIterator()
    }
}
