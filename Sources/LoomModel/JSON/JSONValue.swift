internal import LoomFormat

/// Any JSON value. Objects keep no order: their canonical text has its own.
///
/// Strings and keys are compared by their UTF-8 bytes, as everything in a log: `é` in one scalar
/// and in two are two strings.
public enum JSONValue: Sendable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A number without fraction and exponent, from -2^63 to 2^63 - 1.
    case integer(Int64)
    /// A number without fraction and exponent, from 2^63 to 2^64 - 1.
    case unsigned(UInt64)
    /// Any other number.
    case double(Double)
    /// A string.
    case string(String)
    /// An array.
    case array([JSONValue])
    /// An object.
    case object(JSONObject)

    /// Reads one JSON text: RFC 8259, with the refusals of ``JSONError``.
    public init(parsing bytes: [UInt8]) throws(JSONError) {
        self = try JSONTape(parsing: bytes).value(0)
    }

    /// The canonical text, as the encoder writes it.
    ///
    /// A value that was parsed always has one. Of a value that was built, ``checkedBytes()`` finds
    /// out whether it can be read again.
    public var canonicalBytes: [UInt8] {
        let text = JSONText(capacity: 256)
        append(to: text)
        return text.array
    }

    /// The canonical text of a value that can be read again.
    ///
    /// - Throws: ``JSONError`` for a number that JSON has no text for, and for a value nested
    ///   deeper than the parser takes.
    public func checkedBytes() throws(JSONError) -> [UInt8] {
        try check(depth: 0)
        return canonicalBytes
    }

    /// Refuses what has no text, in a value that stands inside `depth` arrays and objects.
    func check(depth: Int) throws(JSONError) {
        switch self {
        case .double(let value) where !value.isFinite:
            throw JSONError(reason: "there is no JSON for \(value)", offset: 0)
        case .array(let elements):
            try Self.checkDepth(depth)
            for element in elements { try element.check(depth: depth + 1) }
        case .object(let members):
            try Self.checkDepth(depth)
            for member in members.values { try member.check(depth: depth + 1) }
        default: break
        }
    }

    private static func checkDepth(_ depth: Int) throws(JSONError) {
        guard depth < CanonicalJSONEncoder.depthMax else {
            throw JSONError(
                reason: "nested deeper than \(CanonicalJSONEncoder.depthMax)", offset: 0)
        }
    }

    /// The canonical text.
    public var canonicalText: String { String(decoding: canonicalBytes, as: UTF8.self) }

    /// Appends the canonical text.
    func append(to bytes: JSONText) {
        switch self {
        case .null: bytes.append("null")
        case .bool(let value): bytes.append(value ? "true" : "false")
        case .integer(let value): bytes.appendJSON(value)
        case .unsigned(let value): bytes.appendJSON(value)
        case .double(let value): bytes.appendJSON(value)
        case .string(let value): bytes.appendJSON(value)
        case .array(let elements):
            bytes.append(0x5B)
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes.append(0x2C) }
                element.append(to: bytes)
            }
            bytes.append(0x5D)
        case .object(let members):
            bytes.append(0x7B)
            for (index, member) in members.sorted.enumerated() {
                if index > 0 { bytes.append(0x2C) }
                bytes.appendJSON(member.key)
                bytes.append(0x3A)
                member.value.append(to: bytes)
            }
            bytes.append(0x7D)
        }
    }
}

extension JSONValue: Hashable {
    /// Returns whether two values are of one kind and have the same parts.
    public static func == (a: JSONValue, b: JSONValue) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.unsigned(let a), .unsigned(let b)): a == b
        case (.double(let a), .double(let b)): a == b
        case (.string(let a), .string(let b)): a.hasSameBytes(as: b)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        default: false
        }
    }

    /// Hashes the parts.
    public func hash(into hasher: inout Hasher) {
        switch self {
        case .null: hasher.combine(0)
        case .bool(let value): hasher.combine(value)
        case .integer(let value): hasher.combine(value)
        case .unsigned(let value): hasher.combine(value)
        case .double(let value): hasher.combine(value)
        case .string(let value): hasher.combine(ByteString(value))
        case .array(let value): hasher.combine(value)
        case .object(let value): hasher.combine(value)
        }
    }
}

/// Why a JSON text was refused, and at which byte.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public let reason: String
    /// The byte at which it was seen, from 0 on.
    public let offset: Int

    /// One line.
    public var description: String { "\(reason) at byte \(offset)" }
}

extension JSONValue: Codable {
    /// Decodes any value.
    public init(from decoder: any Decoder) throws {
        if let decoder = decoder as? JSONDecoding {
            self = decoder.tape.value(decoder.index)
            return
        }
        if let members = try? decoder.container(keyedBy: JSONKey.self) {
            var object = JSONObject()
            for key in members.allKeys {
                object[key.stringValue] = try members.decode(Self.self, forKey: key)
            }
            self = .object(object)
            return
        }
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(UInt64.self) {
            self = .unsigned(value)
        } else if let value = try? container.decode(Double.self) {
            self = .double(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else {
            self = .array(try container.decode([JSONValue].self))
        }
    }

    /// Encodes any value.
    public func encode(to encoder: any Encoder) throws {
        if let encoding = encoder as? JSONEncoding, try encoding.putTree(self) { return }
        if case .object(let members) = self {
            var container = encoder.container(keyedBy: JSONKey.self)
            for (key, value) in members { try container.encode(value, forKey: JSONKey(key)) }
            return
        }
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .unsigned(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object: break
        }
    }
}
