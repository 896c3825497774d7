/// The name of a run: 1 to 512 bytes of UTF-8 without control characters.
public struct RunID: Hashable, Sendable {
    /// The name and how it is compared: by its bytes.
    @usableFromInline let name: ByteString

    /// The name as text.
    @inlinable public var rawValue: String { name.text }

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
        self.name = ByteString(name)
    }
}

extension RunID {
    /// Whether two names have the same bytes: equal text in other bytes is another run.
    @inlinable
    public static func == (a: RunID, b: RunID) -> Bool { a.name == b.name }

    /// Hashes the bytes.
    @inlinable
    public func hash(into hasher: inout Hasher) { name.hash(into: &hasher) }
}

extension RunID {
    /// Reads a name from stored bytes, which must be UTF-8.
    public init(decoding bytes: RawSpan) throws(FormatError) {
        // Nearly all names are in ASCII, and one is read for every event that is looked at.
        if let name = Self.plain(bytes) {
            self.init(name: ByteString(ascii: name))
            return
        }
        guard bytes.byteCount <= FormatLimits.runIDBytesMax,
            let name = String(validating: [UInt8](copying: bytes), as: UTF8.self)
        else { throw .invalid("a run id of \(bytes.byteCount) bytes that is no name") }
        try self.init(name)
    }

    private init(name: ByteString) { self.name = name }

    /// A name in ASCII that ``init(_:)`` accepts.
    private static func plain(_ bytes: RawSpan) -> String? {
        let count = bytes.byteCount
        guard 1...FormatLimits.runIDBytesMax ~= count else { return nil }
        let isPlain = unsafe bytes.withUnsafeBytes { bytes in
            unsafe bytes.allSatisfy { 0x20...0x7E ~= $0 }
        }
        return isPlain ? String(ascii: bytes) : nil
    }
}

extension RunID: CustomStringConvertible, Comparable {
    /// The name itself.
    public var description: String { rawValue }

    /// Order by UTF-8 bytes.
    public static func < (a: RunID, b: RunID) -> Bool { a.name < b.name }
}
