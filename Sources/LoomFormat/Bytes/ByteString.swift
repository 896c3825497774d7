/// A text that is compared, hashed and ordered by its UTF-8 bytes.
///
/// Swift's `String` treats two texts as equal when Unicode does: `é` as one scalar equals `e` with
/// a combining accent. A log goes by bytes, so every name that comes from outside (a run's id, a
/// label, a key of an object, a tool's name) is looked up and compared as a `ByteString`.
///
/// ```swift
/// let labels: [ByteString: String] = ["team": "search"]
/// labels[ByteString(name)]
/// ```
public struct ByteString: Sendable {
    /// The text.
    public let text: String
    /// Two texts in ASCII are equal only when their bytes are, and comparing them takes a few
    /// instructions: the store looks a run up at every step.
    @usableFromInline let isASCII: Bool

    /// Wraps a text.
    @inlinable
    public init(_ text: String) {
        self.text = text
        isASCII = text.utf8.allSatisfy { $0 < 0x80 }
    }

    /// Wraps a text that is known to be in ASCII.
    init(ascii text: String) { (self.text, isASCII) = (text, true) }
}

extension ByteString: Hashable {
    /// Returns whether two texts have the same bytes.
    @inlinable
    public static func == (a: ByteString, b: ByteString) -> Bool {
        guard a.isASCII == b.isASCII else { return false }
        return a.isASCII ? a.text == b.text : a.text.utf8.elementsEqual(b.text.utf8)
    }

    /// Hashes the bytes.
    @inlinable
    public func hash(into hasher: inout Hasher) {
        if isASCII { return text.hash(into: &hasher) }
        hashBytes(into: &hasher)
    }

    @usableFromInline
    func hashBytes(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { utf8 in
            unsafe hasher.combine(bytes: UnsafeRawBufferPointer(utf8))
        }
        // No byte of UTF-8: the text ends here.
        hasher.combine(UInt8.max)
    }
}

extension ByteString: Comparable {
    /// Orders by the bytes.
    public static func < (a: ByteString, b: ByteString) -> Bool {
        // In ASCII the order of Unicode is that of bytes.
        if a.isASCII, b.isASCII { return a.text < b.text }
        return a.text.utf8.lexicographicallyPrecedes(b.text.utf8)
    }
}

extension ByteString: CustomStringConvertible, ExpressibleByStringLiteral {
    /// The text itself.
    public var description: String { text }

    /// Wraps a literal.
    @inlinable
    public init(stringLiteral text: String) { self.init(text) }
}

extension ByteString: Codable, CodingKeyRepresentable {
    /// Decodes a string.
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }

    /// Encodes the text as a string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    /// The text as the key of a dictionary, which so becomes an object.
    public var codingKey: any CodingKey { Key(stringValue: text) }

    /// Takes the text of a dictionary's key.
    public init?(codingKey: some CodingKey) { self.init(codingKey.stringValue) }

    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { return nil }
    }
}

extension String {
    /// Returns whether both texts have the same UTF-8 bytes.
    package func hasSameBytes(as other: String) -> Bool {
        ByteString(self) == ByteString(other)
    }

    /// Returns whether the UTF-8 bytes begin with those of `prefix`.
    package func hasBytePrefix(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }
}
