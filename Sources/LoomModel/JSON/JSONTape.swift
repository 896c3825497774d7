/// A JSON text that was read once: its bytes, and one node for each value and each key.
///
/// The nodes lie in the order of the text, so a subtree is a range of nodes. Strings stay in the
/// bytes until somebody asks for them: a value of 32 MiB in base64 is decoded from where it stands.
final class JSONTape {
    enum Kind: UInt8 {
        case null, bool, integer, unsigned, double
        /// A string, or a key of an object, as it stands in the text.
        case string
        /// The same with escapes in it.
        case escaped
        case array, object
    }

    struct Node: BitwiseCopyable {
        var kind: Kind
        /// Of a number or a bool, its bits; of a string, the offset of its first byte; of an array
        /// or an object, how many elements or members it has.
        var first: UInt64
        /// Of a string, the offset behind its last byte.
        var end = 0
        /// The node behind this value and everything in it.
        var next: Int
    }

    /// A value's array or object, and its number among that one's elements.
    private struct Place {
        var parent: Int
        var number: Int
    }

    let bytes: [UInt8]
    let nodes: TrivialStack<Node>
    /// Of each node; empty until an error asks for it.
    private var places: [Place] = []

    init(_ bytes: [UInt8], _ nodes: TrivialStack<Node>) {
        self.bytes = bytes
        self.nodes = nodes
    }

    /// Reads a whole text.
    convenience init(parsing bytes: [UInt8]) throws(JSONError) {
        var parser = JSONParser(bytes)
        try parser.parseDocument()
        self.init(bytes, parser.nodes)
    }

    /// How many elements or members a container has.
    func count(_ index: Int) -> Int { Int(nodes[index].first) }

    /// The text of a string or a key.
    func string(_ index: Int) -> String {
        let node = nodes[index]
        if node.kind == .escaped { return String(decoding: unescaped(node), as: UTF8.self) }
        return unsafe withBytes(of: node) { utf8 in unsafe String(decoding: utf8, as: UTF8.self) }
    }

    /// The bytes of a string as they stand in the text: escapes, if there are any, included.
    private func withBytes<Result>(
        of node: Node, _ body: (UnsafeBufferPointer<UInt8>) -> Result
    ) -> Result {
        unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe body(UnsafeBufferPointer(rebasing: bytes[Int(node.first)..<node.end]))
        }
    }

    /// Calls `body` with the bytes of a string, its escapes resolved.
    func withString<Result>(
        _ index: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Result
    ) -> Result {
        let node = nodes[index]
        guard node.kind == .escaped else { return unsafe withBytes(of: node, body) }
        return unsafe unescaped(node).withUnsafeBufferPointer { unsafe body($0) }
    }

    private func unescaped(_ node: Node) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(node.end - Int(node.first))
        var offset = Int(node.first)
        while offset < node.end {
            if bytes[offset] == 0x5C {
                JSONEscape.read(bytes, &offset).append(to: &text)
            } else {
                text.append(bytes[offset])
                offset += 1
            }
        }
        return text
    }

    /// Whether a key has these bytes.
    func isKey(_ index: Int, _ key: UnsafeBufferPointer<UInt8>) -> Bool {
        unsafe withString(index) { utf8 in
            guard utf8.count == key.count else { return false }
            for place in 0..<key.count where unsafe utf8[place] != key[place] { return false }
            return true
        }
    }

    /// A value and everything in it.
    func value(_ index: Int) -> JSONValue {
        let node = nodes[index]
        switch node.kind {
        case .null: return .null
        case .bool: return .bool(node.first != 0)
        case .integer: return .integer(Int64(bitPattern: node.first))
        case .unsigned: return .unsigned(node.first)
        case .double: return .double(Double(bitPattern: node.first))
        case .string, .escaped: return .string(string(index))
        case .array:
            var elements: [JSONValue] = []
            elements.reserveCapacity(count(index))
            forEachElement(of: index) { elements.append(value($0)) }
            return .array(elements)
        case .object:
            var members = JSONObject(minimumCapacity: count(index))
            forEachMember(of: index) { members[string($0)] = value($0 + 1) }
            return .object(members)
        }
    }

    /// Calls `body` with the node of each element of an array.
    func forEachElement(of index: Int, _ body: (Int) -> Void) {
        var place = index + 1
        while place < nodes[index].next {
            body(place)
            place = nodes[place].next
        }
    }

    /// Calls `body` with the node of each key of an object; its value is the node behind it.
    func forEachMember(of index: Int, _ body: (Int) -> Void) {
        var place = index + 1
        while place < nodes[index].next {
            body(place)
            place = nodes[place + 1].next
        }
    }

    /// The keys and indices that lead to a value: only needed for errors.
    ///
    /// A decoder that tries one type after another makes an error for each value. So the parents
    /// are found once, by the first error, and each path costs its own length.
    func path(to index: Int) -> [any CodingKey] {
        if places.isEmpty { places = findPlaces() }
        var path: [any CodingKey] = []
        var node = index
        while node > 0 {
            let place = places[node]
            let isMember = nodes[place.parent].kind == .object
            path.append(isMember ? JSONKey(string(node - 1)) : JSONKey(index: place.number))
            node = place.parent
        }
        return path.reversed()
    }

    /// Where each value stands in its parent; a key stands as its value does.
    private func findPlaces() -> [Place] {
        var places = Array(repeating: Place(parent: 0, number: 0), count: nodes.count)
        for parent in 0..<nodes.count {
            let kind = nodes[parent].kind
            guard kind == .array || kind == .object else { continue }
            let keys = kind == .object ? 1 : 0
            var (place, number) = (parent + 1, 0)
            while place < nodes[parent].next {
                places[place] = Place(parent: parent, number: number)
                places[place + keys] = Place(parent: parent, number: number)
                place = nodes[place + keys].next
                number += 1
            }
        }
        return places
    }
}

/// One escape of a JSON string.
struct JSONEscape {
    private let scalar: Unicode.Scalar

    /// Reads the escape at `offset` of a text that was checked, and steps over it.
    static func read(_ bytes: [UInt8], _ offset: inout Int) -> JSONEscape {
        let letter = bytes[offset + 1]
        offset += 2
        switch letter {
        case 0x62: return JSONEscape(scalar: "\u{8}")
        case 0x66: return JSONEscape(scalar: "\u{C}")
        case 0x6E: return JSONEscape(scalar: "\n")
        case 0x72: return JSONEscape(scalar: "\r")
        case 0x74: return JSONEscape(scalar: "\t")
        case 0x75: break
        default: return JSONEscape(scalar: Unicode.Scalar(letter))
        }
        var value = hex(bytes, &offset)
        if (0xD800..<0xDC00).contains(value) {
            offset += 2
            value = 0x10000 + (value - 0xD800) << 10 + (hex(bytes, &offset) - 0xDC00)
        }
        return JSONEscape(scalar: Unicode.Scalar(value) ?? "\u{FFFD}")
    }

    private static func hex(_ bytes: [UInt8], _ offset: inout Int) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            value = value << 4 | UInt32(JSONParser.hexDigit(bytes[offset]) ?? 0)
            offset += 1
        }
        return value
    }

    func append(to text: inout [UInt8]) {
        text.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
    }
}
