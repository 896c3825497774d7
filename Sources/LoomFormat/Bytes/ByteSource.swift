/// A forward cursor for the loops over packed rows: a `ByteReader` that returns `nil` where the
/// bytes end or are malformed, and reads a varint of up to eight bytes at once.
struct ByteSource: ~Escapable {
    private let bytes: RawSpan
    private(set) var offset = 0

    @_lifetime(copy bytes)
    @inline(__always)
    init(_ bytes: RawSpan) { self.bytes = bytes }

    @inline(__always) var remaining: Int { bytes.byteCount &- offset }
    @inline(__always) var isAtEnd: Bool { offset == bytes.byteCount }

    /// The bytes from an offset on.
    @_lifetime(copy self)
    func bytes(from offset: Int) -> RawSpan { bytes.extracting(droppingFirst: offset) }

    /// Goes back to an offset that was read before.
    mutating func move(to offset: Int) {
        precondition(offset >= 0 && offset <= self.offset, "an offset that was not read")
        self.offset = offset
    }

    /// Reads one byte.
    @inline(__always)
    mutating func readByte() -> UInt8? {
        guard remaining > 0 else { return nil }
        // Safe: the offset was checked, and every byte is an integer.
        let byte = unsafe bytes.unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
        offset &+= 1
        return byte
    }

    /// Reads a varint in its shortest form.
    @inline(__always)
    mutating func readVarint() -> UInt64? {
        guard remaining >= 8 else { return readVarintByBytes() }
        // Safe: eight bytes are there, and every bit pattern is an integer.
        let word = UInt64(
            littleEndian: unsafe bytes.unsafeLoadUnaligned(
                fromUncheckedByteOffset: offset, as: UInt64.self))
        if word & 0x80 == 0 {
            offset &+= 1
            return word & 0x7F
        }
        let ends = ~word & 0x8080_8080_8080_8080
        guard ends != 0 else { return readVarintByBytes() }
        // The lowest bit that ends a varint, in bits; all above it is not of this number.
        let end = ends.trailingZeroBitCount
        guard word &>> UInt64(truncatingIfNeeded: end &- 7) & 0x7F != 0 else { return nil }
        offset &+= (end &>> 3) &+ 1
        return (word & (ends ^ (ends &- 1))).gatheredSevens
    }

    private mutating func readVarintByBytes() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        var cursor = offset
        while cursor < bytes.byteCount {
            // Safe: the offset was checked, and every byte is an integer.
            let byte = unsafe bytes.unsafeLoad(fromUncheckedByteOffset: cursor, as: UInt8.self)
            cursor += 1
            // The tenth byte has one bit to give, and the last of several is never idle.
            if shift == 63 && byte > 1 || byte == 0 && shift > 0 { return nil }
            value |= UInt64(byte & 0x7F) &<< shift
            if byte < 0x80 {
                offset = cursor
                return value
            }
            shift += 7
        }
        return nil
    }

    /// Reads a length of bytes that are all there.
    @inline(__always)
    mutating func readLength() -> Int? {
        let start = offset
        guard let length = readVarint(), length <= UInt64(remaining) else {
            offset = start
            return nil
        }
        return Int(truncatingIfNeeded: length)
    }

    /// Reads so many bytes without copying them.
    @_lifetime(copy self)
    @inline(__always)
    mutating func readBytes(_ count: Int) -> RawSpan? {
        guard count >= 0, count <= remaining else { return nil }
        // Safe: the range was checked.
        let span = unsafe bytes.extracting(
            unchecked: Range(uncheckedBounds: (offset, offset &+ count)))
        offset &+= count
        return span
    }

    /// Reads so many bytes into a sink that has room for them.
    @inline(__always)
    mutating func copyBytes(_ count: Int, to sink: inout ByteSink) -> Bool {
        guard count >= 0, count <= remaining else { return false }
        let (start, mayCopyWords) = (offset, remaining >= 16)
        offset &+= count
        // Safe: the range was checked.
        unsafe bytes.withUnsafeBytes { all in
            let from = unsafe all.baseAddress.unsafelyUnwrapped + start
            if count <= 16 && mayCopyWords {
                unsafe sink.appendWords(from)
                sink.advance(count)
            } else {
                unsafe sink.append(from, count)
            }
        }
        return true
    }
}

/// A forward cursor over memory that is written.
///
/// Whoever writes has asked for ``room`` before: nothing is checked here. Behind the room there are
/// always ``slack`` bytes more, so that short values are written as whole words.
@safe struct ByteSink {
    /// Bytes of memory behind the room.
    static let slack = 16

    private let base: UnsafeMutableRawPointer
    /// Bytes written so far.
    private(set) var count = 0
    /// Bytes that may be written in all.
    let limit: Int

    /// Creates a cursor over `limit` bytes of memory and the slack behind them.
    @unsafe
    init(_ base: UnsafeMutableRawPointer, limit: Int) {
        unsafe self.base = base
        self.limit = limit
    }

    /// Bytes that may still be written.
    @inline(__always) var room: Int { limit &- count }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        unsafe base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    @inline(__always)
    mutating func appendVarint(_ value: UInt64) {
        if value < 0x80 { return append(UInt8(truncatingIfNeeded: value)) }
        let size = value.varintSize
        guard size <= 8 else { return appendLongVarint(value) }
        let marks = 0x8080_8080_8080_8080 as UInt64 &>> UInt64(truncatingIfNeeded: 72 &- size &* 8)
        unsafe base.storeBytes(
            of: (value.spreadSevens | marks).littleEndian, toByteOffset: count, as: UInt64.self)
        count &+= size
    }

    private mutating func appendLongVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    /// Writes sixteen bytes without moving on.
    @inline(__always)
    @unsafe
    func appendWords(_ source: UnsafeRawPointer) {
        let words = unsafe source.loadUnaligned(as: (UInt64, UInt64).self)
        unsafe base.storeBytes(of: words.0, toByteOffset: count, as: UInt64.self)
        unsafe base.storeBytes(of: words.1, toByteOffset: count &+ 8, as: UInt64.self)
    }

    @inline(__always)
    mutating func advance(_ size: Int) { count &+= size }

    @unsafe
    mutating func append(_ source: UnsafeRawPointer, _ size: Int) {
        unsafe (base + count).copyMemory(from: source, byteCount: size)
        count &+= size
    }
}

extension UInt64 {
    /// The low seven bits of the eight bytes, put together: what a varint of eight bytes says.
    @inline(__always)
    var gatheredSevens: UInt64 {
        var bits = self & 0x007F_007F_007F_007F | (self & 0x7F00_7F00_7F00_7F00) &>> 1
        bits = bits & 0x0000_3FFF_0000_3FFF | (bits & 0x3FFF_0000_3FFF_0000) &>> 2
        return bits & 0x0FFF_FFFF | (bits & 0x0FFF_FFFF_0000_0000) &>> 4
    }

    /// The low 56 bits, seven in each of the eight bytes.
    @inline(__always)
    var spreadSevens: UInt64 {
        var bits = self & 0x0FFF_FFFF | (self & 0x00FF_FFFF_F000_0000) &<< 4
        bits = bits & 0x0000_3FFF_0000_3FFF | (bits & 0x0FFF_C000_0FFF_C000) &<< 2
        return bits & 0x007F_007F_007F_007F | (bits & 0x3F80_3F80_3F80_3F80) &<< 1
    }

    /// A difference modulo 2^64 so that small ones of either sign are small: 0, -1, 1, -2 … are
    /// 0, 1, 2, 3 ….
    @inline(__always)
    var zigzag: UInt64 { (self &<< 1) ^ (0 &- (self &>> 63)) }

    /// The difference that ``zigzag`` made this number of.
    @inline(__always)
    var unzigzagged: UInt64 { (self &>> 1) ^ (0 &- (self & 1)) }
}
