/// The watermark of the writer: how far it has published and synced. See FORMAT.md, MARK.
///
/// It counts only on the boot, device and inode that it names, so that a copied or restored store
/// is not judged by it; it is never synced and can be deleted at any time.
public struct Mark: Hashable, Sendable {
    /// Bytes of the file.
    public static let byteCount = 4096
    /// Where the hash of the identity stands, the last eight of its 64 bytes.
    public static let hashOffset = 56
    /// Where the published word stands.
    public static let publishedOffset = 128
    /// Where the durable word stands, on a cache line of its own.
    public static let durableOffset = 192
    /// "LOOMMARK", read as a little-endian integer.
    public static let magic: UInt64 = 0x4B52_414D_4D4F_4F4C

    /// The boot of the machine.
    public var boot: ContentHash
    /// The device of the MARK file.
    public var device: UInt64
    /// The inode of the MARK file.
    public var inode: UInt64
    /// The epoch of the writer.
    public var writerEpoch: UInt64

    /// Creates a mark.
    public init(boot: ContentHash, device: UInt64, inode: UInt64, writerEpoch: UInt64) {
        self.boot = boot
        self.device = device
        self.inode = inode
        self.writerEpoch = writerEpoch
    }

    /// The 64 bytes at the start of the file.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        writer.writeUInt64(Self.magic)
        writer.writeUInt64(boot.low)
        writer.writeUInt64(boot.high)
        writer.writeUInt64(device)
        writer.writeUInt64(inode)
        writer.writeUInt64(writerEpoch)
        writer.writeUInt64(0)
        writer.writeUInt64(BlockHash.hash(writer.bytes.rawSpan))
        return writer.bytes
    }

    /// Reads the start of the file.
    public init(decoding bytes: RawSpan) throws(FormatError) {
        guard bytes.byteCount >= 64 else {
            throw .endOfBytes(needed: 64, available: bytes.byteCount)
        }
        var reader = ByteReader(bytes)
        guard try reader.readUInt64() == Self.magic else { throw .badMagic("MARK") }
        boot = ContentHash(low: try reader.readUInt64(), high: try reader.readUInt64())
        device = try reader.readUInt64()
        inode = try reader.readUInt64()
        writerEpoch = try reader.readUInt64()
        try reader.skip(8)
        guard try reader.readUInt64() == BlockHash.hash(bytes.extracting(first: 56)) else {
            throw .hashMismatch("MARK")
        }
    }
}

/// A place in the log as one word of ``Mark``: the segment in the high half, the offset in the low.
public struct MarkWord: RawRepresentable, Hashable, Sendable {
    /// The word as it is stored.
    public let rawValue: UInt64

    /// Creates a place from a stored word.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates a place from a segment and an offset in it.
    public init(segmentID: UInt64, offset: Int) {
        rawValue = segmentID << 32 | UInt64(UInt32(truncatingIfNeeded: offset))
    }

    /// The low half of the segment's number.
    public var segmentLow: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
    /// The offset in the segment.
    public var offset: Int { Int(rawValue & 0xFFFF_FFFF) }
}
