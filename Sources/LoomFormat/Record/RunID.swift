/// The name of a run: 1 to 512 bytes of UTF-8 without control characters.
public struct RunID: Hashable, Sendable {
    /// The name as text.
    public let rawValue: String
    /// Text in ASCII is equal only in the same bytes, and compares in a few instructions: the store
    /// looks a run up at every step.
    @usableFromInline let isASCII: Bool

    /// Accepts a name, or says why not.
    public init(_ name: String) throws(FormatError) {
        let count = name.utf8.count
        guard count > 0 else { throw .invalid("a run id is empty") }
        guard count <= FormatLimits.runIDBytesMax else {
            throw .limitExceeded(
                "run id length", found: UInt64(count), limit: UInt64(FormatLimits.runIDBytesMax))
        }
        guard name.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw .invalid("a run id holds a control character")
        }
        rawValue = name
        isASCII = name.utf8.allSatisfy { $0 < 0x80 }
    }
}

extension RunID {
    /// Whether two names have the same bytes: equal text in other bytes is another run.
    @inlinable
    public static func == (a: RunID, b: RunID) -> Bool {
        guard a.isASCII == b.isASCII else { return false }
        return a.isASCII
            ? a.rawValue == b.rawValue : a.rawValue.utf8.elementsEqual(b.rawValue.utf8)
    }

    /// Hashes the bytes.
    @inlinable
    public func hash(into hasher: inout Hasher) {
        if isASCII { return rawValue.hash(into: &hasher) }
        for byte in rawValue.utf8 { hasher.combine(byte) }
    }
}

extension RunID {
    /// Reads a name from stored bytes, which must be UTF-8.
    public init(decoding bytes: RawSpan) throws(FormatError) {
        guard bytes.byteCount <= FormatLimits.runIDBytesMax,
            let name = String(validating: [UInt8](copying: bytes), as: UTF8.self)
        else { throw .invalid("a run id of \(bytes.byteCount) bytes that is no name") }
        try self.init(name)
    }
}

extension RunID: CustomStringConvertible, Comparable {
    /// The name itself.
    public var description: String { rawValue }

    /// Order by UTF-8 bytes.
    public static func < (a: RunID, b: RunID) -> Bool {
        a.rawValue.utf8.lexicographicallyPrecedes(b.rawValue.utf8)
    }
}
