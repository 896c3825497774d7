/// Reads JSON from bytes of any origin: never traps, never recurses deeper than 512, never
/// allocates more than a small multiple of the text.
///
/// Refused besides what RFC 8259 forbids: invalid UTF-8, lone surrogates, a key that comes twice in
/// an object, integers outside 64 bits and other numbers outside the range of a double.
struct JSONParser {
    private let bytes: [UInt8]
    private var offset = 0
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func parseDocument() throws(JSONError) -> JSONValue {
        let value = try parseValue()
        skipSpace()
        guard offset == bytes.count else { throw refusal("bytes behind the end of the value") }
        return value
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

    private mutating func parseValue() throws(JSONError) -> JSONValue {
        skipSpace()
        guard let byte = current else { throw refusal("the text ends where a value is due") }
        switch byte {
        case 0x7B: return try nested { (parser) throws(JSONError) in try parser.parseObject() }
        case 0x5B: return try nested { (parser) throws(JSONError) in try parser.parseArray() }
        case 0x22: return .string(try parseString())
        case 0x74: return try parseWord("true", .bool(true))
        case 0x66: return try parseWord("false", .bool(false))
        case 0x6E: return try parseWord("null", .null)
        case 0x2D, 0x30...0x39: return try parseNumber()
        default: throw refusal("no value begins with this byte")
        }
    }

    private mutating func nested(
        _ parse: (inout JSONParser) throws(JSONError) -> JSONValue
    ) throws(JSONError) -> JSONValue {
        guard depth < CanonicalJSONEncoder.depthMax else { throw refusal("nested deeper than 512") }
        depth += 1
        offset += 1
        let value = try parse(&self)
        depth -= 1
        return value
    }

    private mutating func parseWord(
        _ word: StaticString, _ value: JSONValue
    ) throws(JSONError) -> JSONValue {
        let text = Array(word.description.utf8)
        guard bytes.count - offset >= text.count,
            bytes[offset..<(offset + text.count)].elementsEqual(text)
        else { throw refusal("no value begins like this") }
        offset += text.count
        return value
    }

    private mutating func parseObject() throws(JSONError) -> JSONValue {
        var members: [String: JSONValue] = [:]
        skipSpace()
        if current == 0x7D {
            offset += 1
            return .object(members)
        }
        while true {
            skipSpace()
            guard current == 0x22 else { throw refusal("a key in quotes is due") }
            let start = offset
            let key = try parseString()
            // Swift compares strings by canonical equivalence; keys are bytes.
            if members.updateValue(.null, forKey: key) != nil {
                offset = start
                throw refusal("a key comes twice")
            }
            skipSpace()
            guard current == 0x3A else { throw refusal("a colon is due") }
            offset += 1
            members[key] = try parseValue()
            if try endsOrGoesOn(0x7D) { return .object(members) }
        }
    }

    private mutating func parseArray() throws(JSONError) -> JSONValue {
        var elements: [JSONValue] = []
        skipSpace()
        if current == 0x5D {
            offset += 1
            return .array(elements)
        }
        while true {
            elements.append(try parseValue())
            if try endsOrGoesOn(0x5D) { return .array(elements) }
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

    private mutating func parseString() throws(JSONError) -> String {
        offset += 1
        var text: [UInt8] = []
        var start = offset
        while true {
            guard let byte = current else { throw refusal("the text ends inside a string") }
            switch byte {
            case 0x22:
                text.append(contentsOf: bytes[start..<offset])
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw refusal("a string that is not UTF-8")
                }
                offset += 1
                return string
            case 0x5C:
                text.append(contentsOf: bytes[start..<offset])
                offset += 1
                try parseEscape(into: &text)
                start = offset
            case ..<0x20: throw refusal("a control character inside a string")
            default: offset += 1
            }
        }
    }

    private mutating func parseEscape(into text: inout [UInt8]) throws(JSONError) {
        guard let byte = current else { throw refusal("the text ends inside a string") }
        offset += 1
        switch byte {
        case 0x22, 0x5C, 0x2F: text.append(byte)
        case 0x62: text.append(0x08)
        case 0x66: text.append(0x0C)
        case 0x6E: text.append(0x0A)
        case 0x72: text.append(0x0D)
        case 0x74: text.append(0x09)
        case 0x75: try parseUnicodeEscape(into: &text)
        default:
            offset -= 1
            throw refusal("an unknown escape")
        }
    }

    private mutating func parseUnicodeEscape(into text: inout [UInt8]) throws(JSONError) {
        var value = try parseHex()
        if (0xD800..<0xDC00).contains(value) {
            guard offset + 1 < bytes.count, bytes[offset] == 0x5C, bytes[offset + 1] == 0x75 else {
                throw refusal("half of a surrogate pair")
            }
            offset += 2
            let low = try parseHex()
            guard (0xDC00..<0xE000).contains(low) else { throw refusal("half of a surrogate pair") }
            value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(value) else { throw refusal("half of a surrogate pair") }
        text.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
    }

    private mutating func parseHex() throws(JSONError) -> UInt32 {
        guard offset + 4 <= bytes.count else { throw refusal("the text ends inside a string") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            let byte = bytes[offset]
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x41...0x46: digit = byte - 0x41 + 10
            case 0x61...0x66: digit = byte - 0x61 + 10
            default: throw refusal("four hexadecimal digits are due")
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }

    private mutating func parseNumber() throws(JSONError) -> JSONValue {
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
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        if isInteger {
            if let value = Int64(text) { return .integer(value) }
            if let value = UInt64(text) { return .unsigned(value) }
            throw refusal("an integer outside 64 bits")
        }
        guard let value = Double(text), value.isFinite else {
            throw refusal("a number outside the range of a double")
        }
        return .double(value)
    }

    private mutating func skipDigits() throws(JSONError) {
        let start = offset
        while let byte = current, (0x30...0x39).contains(byte) { offset += 1 }
        if offset == start { throw refusal("a digit is due") }
    }
}
