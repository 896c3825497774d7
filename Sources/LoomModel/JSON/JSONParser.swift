internal import LoomFormat

/// Reads JSON from bytes of any origin into the nodes of a ``JSONTape``. Never traps, never
/// recurses deeper than 512, never allocates more than a small multiple of the text.
///
/// Refused besides what RFC 8259 forbids: invalid UTF-8, lone surrogates, a key that comes twice in
/// an object, integers outside 64 bits and other numbers outside the range of a double.
struct JSONParser {
    typealias Node = JSONTape.Node

    let nodes = TrivialStack<Node>(capacity: 32)
    private let bytes: [UInt8]
    private var offset = 0
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func parseDocument() throws(JSONError) {
        try parseValue()
        skipSpace()
        guard offset == bytes.count else { throw refusal("bytes behind the end of the value") }
    }

    private func refusal(_ reason: String) -> JSONError {
        JSONError(reason: reason, offset: offset)
    }

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
            offset += 1
        }
    }

    private func add(_ kind: JSONTape.Kind, _ first: UInt64, end: Int = 0) {
        nodes.append(Node(kind: kind, first: first, end: end, next: nodes.count + 1))
    }

    private mutating func parseValue() throws(JSONError) {
        skipSpace()
        guard let byte = current else { throw refusal("the text ends where a value is due") }
        switch byte {
        case 0x7B, 0x5B: try parseContainer(byte == 0x7B ? .object : .array)
        case 0x22: try parseString()
        case 0x74: try parseWord("true", .bool, 1)
        case 0x66: try parseWord("false", .bool, 0)
        case 0x6E: try parseWord("null", .null, 0)
        case 0x2D, 0x30...0x39: try parseNumber()
        default: throw refusal("no value begins with this byte")
        }
    }

    private mutating func parseContainer(_ kind: JSONTape.Kind) throws(JSONError) {
        guard depth < CanonicalJSONEncoder.depthMax else { throw refusal("nested deeper than 512") }
        depth += 1
        offset += 1
        let node = nodes.count
        add(kind, 0)
        let count = kind == .object ? try parseMembers(of: node) : try parseElements()
        let next = nodes.count
        nodes.update(node) { node in
            node.first = UInt64(count)
            node.next = next
        }
        depth -= 1
    }

    private mutating func parseWord(
        _ word: StaticString, _ kind: JSONTape.Kind, _ bits: UInt64
    ) throws(JSONError) {
        let count = word.utf8CodeUnitCount
        let isThere =
            bytes.count - offset >= count
            && word.withUTF8Buffer { unsafe bytes[offset..<(offset + count)].elementsEqual($0) }
        guard isThere else { throw refusal("no value begins like this") }
        offset += count
        add(kind, bits)
    }

    private mutating func parseMembers(of node: Int) throws(JSONError) -> Int {
        skipSpace()
        if current == 0x7D {
            offset += 1
            return 0
        }
        var keys = JSONKeyCheck()
        var count = 0
        while true {
            skipSpace()
            guard current == 0x22 else { throw refusal("a key in quotes is due") }
            let (start, key) = (offset, nodes.count)
            try parseString()
            if keys.isRepeated(key, in: nodes, bytes, object: node) {
                offset = start
                throw refusal("a key comes twice")
            }
            skipSpace()
            guard current == 0x3A else { throw refusal("a colon is due") }
            offset += 1
            try parseValue()
            count += 1
            if try endsOrGoesOn(0x7D) { return count }
        }
    }

    private mutating func parseElements() throws(JSONError) -> Int {
        skipSpace()
        if current == 0x5D {
            offset += 1
            return 0
        }
        var count = 0
        while true {
            try parseValue()
            count += 1
            if try endsOrGoesOn(0x5D) { return count }
        }
    }

    private mutating func endsOrGoesOn(_ end: UInt8) throws(JSONError) -> Bool {
        skipSpace()
        guard let byte = current, byte == end || byte == 0x2C else {
            throw refusal("a comma or the end is due")
        }
        offset += 1
        return byte == end
    }

    private mutating func parseString() throws(JSONError) {
        offset += 1
        let start = offset
        var (isEscaped, isASCII) = (false, true)
        while true {
            let found = plainBytes()
            isASCII = isASCII && found.isASCII
            offset += found.count
            guard let byte = current else { throw refusal("the text ends inside a string") }
            if byte == 0x22 { break }
            guard byte == 0x5C else { throw refusal("a control character inside a string") }
            isEscaped = true
            offset += 1
            try checkEscape()
        }
        guard isASCII || Self.isUTF8(bytes, start..<offset) else {
            throw refusal("a string that is not UTF-8")
        }
        add(isEscaped ? .escaped : .string, UInt64(start), end: offset)
        offset += 1
    }

    /// How many bytes from here on are neither quote, backslash nor control, and whether they are
    /// ASCII.
    private func plainBytes() -> (count: Int, isASCII: Bool) {
        unsafe bytes.withUnsafeBufferPointer { bytes in
            var (place, seen) = (offset, UInt8(0))
            while place < bytes.count {
                let byte = unsafe bytes[place]
                if byte < 0x20 || byte == 0x22 || byte == 0x5C { break }
                seen |= byte
                place += 1
            }
            return (place - offset, seen < 0x80)
        }
    }

    private static func isUTF8(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
        let span = bytes.span.extracting(range)
        return (try? UTF8Span(validating: span)) != nil
    }

    private mutating func checkEscape() throws(JSONError) {
        guard let byte = current else { throw refusal("the text ends inside a string") }
        switch byte {
        case 0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74: offset += 1
        case 0x75:
            offset += 1
            try checkUnicodeEscape()
        default: throw refusal("an unknown escape")
        }
    }

    private mutating func checkUnicodeEscape() throws(JSONError) {
        let value = try parseHex()
        guard (0xD800..<0xE000).contains(value) else { return }
        guard value < 0xDC00, offset + 1 < bytes.count, bytes[offset] == 0x5C,
            bytes[offset + 1] == 0x75
        else { throw refusal("half of a surrogate pair") }
        offset += 2
        let low = try parseHex()
        guard (0xDC00..<0xE000).contains(low) else { throw refusal("half of a surrogate pair") }
    }

    private mutating func parseHex() throws(JSONError) -> UInt32 {
        guard offset + 4 <= bytes.count else { throw refusal("the text ends inside a string") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Self.hexDigit(bytes[offset]) else {
                throw refusal("four hexadecimal digits are due")
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }

    static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    private mutating func parseNumber() throws(JSONError) {
        let start = offset
        if current == 0x2D { offset += 1 }
        let first = offset
        try skipDigits()
        if bytes[first] == 0x30 && offset > first + 1 {
            throw refusal("a number with a leading zero")
        }
        var isInteger = true
        if current == 0x2E {
            isInteger = false
            offset += 1
            try skipDigits()
        }
        if current == 0x65 || current == 0x45 {
            isInteger = false
            offset += 1
            if current == 0x2B || current == 0x2D { offset += 1 }
            try skipDigits()
        }
        guard !isInteger else { return try addInteger(first, isNegative: first > start) }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        guard let value = Double(text), value.isFinite else {
            throw refusal("a number outside the range of a double")
        }
        add(.double, value.bitPattern)
    }

    private func addInteger(_ first: Int, isNegative: Bool) throws(JSONError) {
        var size: UInt64 = 0
        for place in first..<offset {
            let (tens, overflow) = size.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(UInt64(bytes[place] - 0x30))
            guard !overflow, !carry else { throw refusal("an integer outside 64 bits") }
            size = sum
        }
        if isNegative {
            guard size <= 1 << 63 else { throw refusal("an integer outside 64 bits") }
            add(.integer, 0 &- size)
        } else {
            add(size < 1 << 63 ? .integer : .unsigned, size)
        }
    }

    private mutating func skipDigits() throws(JSONError) {
        let start = offset
        while let byte = current, (0x30...0x39).contains(byte) { offset += 1 }
        if offset == start { throw refusal("a digit is due") }
    }
}

/// Finds a key that comes twice in an object. Keys in ascending order, as canonical JSON has them,
/// are only compared with the one before; from the first that is not on, a set is kept.
private struct JSONKeyCheck {
    private var last: Int?
    private var seen: Set<ByteString>?

    /// Whether the key at a node came before in the object at another; the parser asks it of each
    /// key in turn, before the key's value is read.
    mutating func isRepeated(
        _ key: Int, in nodes: TrivialStack<JSONTape.Node>, _ bytes: [UInt8], object: Int
    ) -> Bool {
        defer { last = key }
        guard let last else { return false }
        if seen == nil {
            let (a, b) = (nodes[last], nodes[key])
            let isPlain = a.kind == .string && b.kind == .string
            if isPlain, Self.precedes(a, b, bytes) { return false }
        }
        let tape = JSONTape(bytes, nodes)
        if seen == nil {
            var all: Set<ByteString> = []
            var place = object + 1
            while place < key {
                all.insert(ByteString(tape.string(place)))
                place = nodes[place + 1].next
            }
            seen = all
        }
        return seen?.insert(ByteString(tape.string(key))).inserted == false
    }

    private static func precedes(
        _ a: JSONTape.Node, _ b: JSONTape.Node, _ bytes: [UInt8]
    ) -> Bool {
        var (x, y) = (Int(a.first), Int(b.first))
        while x < a.end, y < b.end {
            if bytes[x] != bytes[y] { return bytes[x] < bytes[y] }
            x += 1
            y += 1
        }
        return x == a.end && y < b.end
    }
}
