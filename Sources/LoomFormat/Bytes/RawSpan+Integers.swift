extension RawSpan {
    /// The integer at an offset, whose lowest byte comes first. Traps where it is not all there.
    @inline(__always)
    func littleEndian<T: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: T.Type
    ) -> T {
        // Safe: the range is checked, and every bit pattern is an integer.
        T(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: type))
    }
}
