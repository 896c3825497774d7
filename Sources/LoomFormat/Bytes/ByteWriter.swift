/// Appends little-endian fields to one growing array of bytes.
///
/// ```swift
/// var writer = ByteWriter()
/// writer.writeVarint(300)
/// writer.writeString("run-7")
/// let bytes = writer.bytes
/// ```
public struct ByteWriter: Sendable {
    /// What was written so far.
    public var bytes: [UInt8]

    /// Creates an empty writer.
    @inlinable
    public init(capacity: Int = 0) {
        bytes = []
        if capacity > 0 { bytes.reserveCapacity(capacity) }
    }

    /// Bytes written so far.
    @inlinable public var count: Int { bytes.count }

    /// Forgets what was written and keeps the memory.
    @inlinable
    public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    /// Writes a known number of bytes, into memory made ready at once.
    @inlinable package mutating func append(
        byteCount: Int, _ write: (inout OutputSpan<UInt8>) -> Void
    ) {
        bytes.append(addingCapacity: byteCount) { span in
            write(&span)
            precondition(span.count == byteCount, "another number of bytes than announced")
        }
    }

    /// Writes one byte.
    @inlinable
    public mutating func writeUInt8(_ value: UInt8) { bytes.append(value) }

    /// Writes two bytes.
    @inlinable
    public mutating func writeUInt16(_ value: UInt16) { writeInteger(value.littleEndian) }

    /// Writes four bytes.
    @inlinable
    public mutating func writeUInt32(_ value: UInt32) { writeInteger(value.littleEndian) }

    /// Writes eight bytes.
    @inlinable
    public mutating func writeUInt64(_ value: UInt64) { writeInteger(value.littleEndian) }

    @usableFromInline
    mutating func writeInteger<T: FixedWidthInteger>(_ value: T) {
        unsafe withUnsafeBytes(of: value) { unsafe bytes.append(contentsOf: $0) }
    }

    /// Writes an unsigned LEB128 integer in its shortest form, one to ten bytes.
    @inlinable
    public mutating func writeVarint(_ value: UInt64) {
        if value < 0x80 { return bytes.append(UInt8(truncatingIfNeeded: value)) }
        writeLongVarint(value)
    }

    @usableFromInline
    mutating func writeLongVarint(_ value: UInt64) {
        append(byteCount: value.varintSize) { $0.appendVarint(value) }
    }

    /// Writes a non-negative count or length as a varint.
    @inlinable
    public mutating func writeLength(_ value: Int) { writeVarint(UInt64(value)) }

    /// Writes bytes as they are, without their length.
    @inlinable
    public mutating func writeBytes(_ source: some Sequence<UInt8>) {
        bytes.append(contentsOf: source)
    }

    /// Writes the bytes of a span as they are, without their length.
    public mutating func writeBytes(_ source: RawSpan) {
        unsafe source.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
    }

    /// Writes a length and the UTF-8 bytes of a string.
    @inlinable
    public mutating func writeString(_ string: String) {
        writeLength(string.utf8.count)
        bytes.append(contentsOf: string.utf8)
    }

    /// Writes a length and then the bytes.
    @inlinable
    public mutating func writeSized(_ source: [UInt8]) {
        writeLength(source.count)
        bytes.append(contentsOf: source)
    }
}

extension UInt64 {
    /// How many bytes this value takes as a varint, 1 to 10.
    @inlinable
    public var varintSize: Int { Swift.max(1, (70 - (self | 1).leadingZeroBitCount) / 7) }
}
