extension RawSpan {
    /// Compares the bytes of two spans in order: below 0 where this one comes first, 0 where they
    /// are the same, above 0 else. One that the other begins with comes first.
    package func compared(to other: RawSpan) -> Int {
        let count = min(byteCount, other.byteCount)
        var index = 0
        while index + 8 <= count {
            // Safe: eight bytes are there, and every bit pattern is an integer.
            let (a, b) = unsafe (
                unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self),
                other.unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self)
            )
            if a != b { return UInt64(bigEndian: a) < UInt64(bigEndian: b) ? -1 : 1 }
            index += 8
        }
        while index < count {
            let (a, b) = unsafe (
                unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self),
                other.unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self)
            )
            if a != b { return a < b ? -1 : 1 }
            index += 1
        }
        return byteCount - other.byteCount
    }
}
