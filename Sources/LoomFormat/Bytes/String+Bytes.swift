extension String {
    /// The text of bytes in UTF-8; `nil` where they are not UTF-8.
    ///
    /// Nearly all texts of a log are in ASCII, and one is read for most of its events: the general
    /// check would cost more than the rest of the event.
    package init?(utf8 bytes: RawSpan) {
        if bytes.isASCII {
            self.init(ascii: bytes)
        } else {
            self.init(validating: [UInt8](copying: bytes), as: UTF8.self)
        }
    }

    /// The text of bytes that are known to be ASCII.
    init(ascii bytes: RawSpan) {
        self = unsafe String(unsafeUninitializedCapacity: bytes.byteCount) { target in
            unsafe bytes.withUnsafeBytes { bytes in
                _ = unsafe UnsafeMutableRawBufferPointer(target).copyMemory(from: bytes)
                return bytes.count
            }
        }
    }
}

extension RawSpan {
    /// Whether no byte is above 0x7F.
    fileprivate var isASCII: Bool {
        var (index, bits) = (0, UInt64(0))
        while index + 8 <= byteCount {
            // Safe: eight bytes are there, and every bit pattern is an integer.
            bits |= unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: UInt64.self)
            index += 8
        }
        while index < byteCount {
            bits |= UInt64(unsafe unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self))
            index += 1
        }
        return bits & 0x8080_8080_8080_8080 == 0
    }
}
