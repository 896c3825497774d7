/// A forward cursor over bytes from outside; every read is checked against the end.
///
/// Integers are little-endian. Nothing is copied: spans that it returns live as long as the bytes
/// that it was made over. A failed read leaves the offset where it was before that field.
///
/// ```swift
/// var reader = ByteReader(bytes)
/// let count = try reader.readVarint()
/// let name = try reader.readBytes(try reader.readLength("name", limit: 512))
/// ```
///
/// Its short ways are inlined into other modules: a decoder reads a handful of small numbers for
/// each event, and a call for each would cost more than the number.
public struct ByteReader: ~Escapable {
    @usableFromInline let bytes: RawSpan
    /// Bytes read so far.
    public var offset: Int { cursor }
    @usableFromInline var cursor: Int

    /// Creates a cursor at the first byte.
    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan) {
        self.bytes = bytes
        cursor = 0
    }

    /// Bytes not yet read.
    @inlinable public var remaining: Int { bytes.byteCount - cursor }
    /// Whether every byte has been read.
    @inlinable public var isAtEnd: Bool { cursor == bytes.byteCount }

    /// Reads one byte.
    @inlinable
    public mutating func readUInt8() throws(FormatError) -> UInt8 {
        guard cursor < bytes.byteCount else { throw missing(1) }
        // Safe: the offset was checked, and every byte is an integer.
        let byte = unsafe bytes.unsafeLoad(fromByteOffset: cursor, as: UInt8.self)
        cursor += 1
        return byte
    }

    @usableFromInline
    func missing(_ count: Int) -> FormatError {
        .endOfBytes(needed: count, available: remaining)
    }

    /// Reads two bytes.
    public mutating func readUInt16() throws(FormatError) -> UInt16 {
        UInt16(littleEndian: try readInteger(UInt16.self))
    }

    /// Reads four bytes.
    public mutating func readUInt32() throws(FormatError) -> UInt32 {
        UInt32(littleEndian: try readInteger(UInt32.self))
    }

    /// Reads eight bytes.
    public mutating func readUInt64() throws(FormatError) -> UInt64 {
        UInt64(littleEndian: try readInteger(UInt64.self))
    }

    private mutating func readInteger<T: FixedWidthInteger & BitwiseCopyable>(
        _ type: T.Type
    ) throws(FormatError) -> T {
        let size = MemoryLayout<T>.size
        guard remaining >= size else { throw missing(size) }
        // Safe: every bit pattern is an integer, and the range was checked above.
        let value = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: cursor, as: T.self)
        cursor += size
        return value
    }

    /// Reads an unsigned LEB128 integer of at most ten bytes; only the shortest form is accepted.
    @inlinable
    @inline(__always)
    public mutating func readVarint() throws(FormatError) -> UInt64 {
        // Most numbers are small.
        if cursor < bytes.byteCount {
            let byte = unsafe bytes.unsafeLoad(fromByteOffset: cursor, as: UInt8.self)
            if byte < 0x80 {
                cursor += 1
                return UInt64(byte)
            }
        }
        return try readLongVarint()
    }

    @usableFromInline
    mutating func readLongVarint() throws(FormatError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        var cursor = self.cursor
        while cursor < bytes.byteCount {
            let byte = unsafe bytes.unsafeLoad(fromByteOffset: cursor, as: UInt8.self)
            cursor += 1
            if shift == 63 && byte > 1 { throw .badVarint }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 { throw .badVarint }
                self.cursor = cursor
                return value
            }
            shift += 7
            if shift > 63 { throw .badVarint }
        }
        throw .endOfBytes(needed: cursor - self.cursor + 1, available: remaining)
    }

    /// Reads a length or a count, refused when it is above `limit` or above what is left to read.
    @inlinable
    public mutating func readLength(
        _ field: StaticString, limit: Int
    ) throws(FormatError) -> Int {
        let start = cursor
        let value = try readVarint()
        let bound = UInt64(min(limit, remaining))
        guard value <= bound else {
            cursor = start
            throw Self.exceeded(field, value, bound)
        }
        return Int(value)
    }

    @usableFromInline
    static func exceeded(_ field: StaticString, _ found: UInt64, _ limit: UInt64) -> FormatError {
        .limitExceeded("\(field)", found: found, limit: limit)
    }

    /// Reads `count` bytes without copying them.
    @_lifetime(copy self)
    @inlinable
    @inline(__always)
    public mutating func readBytes(_ count: Int) throws(FormatError) -> RawSpan {
        guard count >= 0, remaining >= count else { throw missing(count) }
        let span = bytes.extracting(cursor..<(cursor + count))
        cursor += count
        return span
    }

    /// Reads `count` bytes as an array.
    public mutating func readArray(_ count: Int) throws(FormatError) -> [UInt8] {
        Array(copying: try readBytes(count))
    }

    /// Reads a length and that many bytes of UTF-8; refused when the bytes are not UTF-8.
    public mutating func readString(
        _ field: StaticString, limit: Int
    ) throws(FormatError) -> String {
        let start = cursor
        let bytes = try readBytes(try readLength(field, limit: limit))
        guard let string = String(utf8: bytes) else {
            cursor = start
            throw .invalid("\(field) is not UTF-8")
        }
        return string
    }

    /// Steps over `count` bytes.
    public mutating func skip(_ count: Int) throws(FormatError) {
        guard count >= 0, remaining >= count else { throw missing(count) }
        cursor += count
    }
}

extension [UInt8] {
    /// Copies the bytes of a span.
    public init(copying span: RawSpan) {
        self = unsafe span.withUnsafeBytes { unsafe [UInt8]($0) }
    }

    /// The bytes as a span. The one place where `unsafe` is needed for it.
    public var rawSpan: RawSpan {
        @_lifetime(borrow self)
        borrowing get { unsafe span.bytes }
    }
}
