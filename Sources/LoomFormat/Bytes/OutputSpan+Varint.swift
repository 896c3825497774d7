// Bytes of a known number, written into memory that was made ready for them at once: appending them
// one by one asks for each whether the array is shared and long enough.

extension OutputSpan where Element == UInt8 {
    /// Writes an unsigned LEB128 integer in its shortest form, one to ten bytes.
    @inlinable
    public mutating func appendVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    /// Writes bytes as they are.
    @inlinable
    public mutating func append(bytes source: RawSpan) {
        precondition(source.byteCount <= freeCapacity, "more bytes than were announced")
        unsafe withUnsafeMutableBufferPointer { buffer, count in
            let free = unsafe UnsafeMutableRawBufferPointer(
                rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
            unsafe source.withUnsafeBytes { unsafe free.copyMemory(from: $0) }
            count += source.byteCount
        }
    }
}
