/// Any JSON value. Objects keep no order: their canonical text has its own.
public enum JSONValue: Hashable, Sendable {
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
    case object([String: JSONValue])

    /// Reads one JSON text: RFC 8259, with the refusals of ``JSONError``.
    public init(parsing bytes: [UInt8]) throws(JSONError) {
        var parser = JSONParser(bytes)
        self = try parser.parseDocument()
    }

    /// The canonical text, as the encoder writes it.
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

    private func check(depth: Int) throws(JSONError) {
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

    private func append(to bytes: JSONText) {
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
            let keys = members.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            for (index, key) in keys.enumerated() {
                if index > 0 { bytes.append(0x2C) }
                bytes.appendJSON(key)
                bytes.append(0x3A)
                members[key]?.append(to: bytes)
            }
            bytes.append(0x7D)
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
            self = decoder.value
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
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// Encodes any value.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .unsigned(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}
