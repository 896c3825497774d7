/// What a block holds. Zero is never a kind, so zero-filled space never parses as a block.
public struct BlockKind: RawRepresentable, Hashable, Sendable {
    /// The byte in the header.
    public let rawValue: UInt8

    /// Creates a kind from the byte in the header; any byte is accepted here.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Records of events and of run declarations.
    public static let events = BlockKind(rawValue: 1)
    /// Zeros that bridge the space to the next page.
    public static let filler = BlockKind(rawValue: 2)
    /// Nothing but the proof, by its `durableUpTo`, that what lies before was synced.
    public static let syncMark = BlockKind(rawValue: 3)
    /// The writer went away in good order; a later writer may go on behind this block.
    public static let close = BlockKind(rawValue: 4)
    /// The last block of a full segment.
    public static let seal = BlockKind(rawValue: 5)
    /// The body of a manifest.
    public static let manifest = BlockKind(rawValue: 6)

    /// Some rows of an archive's index.
    public static let table = BlockKind(rawValue: 7)
    /// Where the leaves of an archive's index stand.
    public static let directory = BlockKind(rawValue: 8)

    /// Whether a block of this kind may stand in a live segment.
    var isInSegments: Bool {
        switch self {
        case .events, .filler, .syncMark, .close, .seal: true
        default: false
        }
    }

    /// Whether one may stand in an archive.
    var isInArchives: Bool {
        switch self {
        case .events, .table, .directory, .seal: true
        default: false
        }
    }

    /// Whether this version knows it; a reader refuses others as those of a newer version.
    var isKnown: Bool { isInSegments || isInArchives || self == .manifest }
}

/// How a block's payload is stored.
public struct BlockCodec: RawRepresentable, Hashable, Sendable {
    /// The byte in the header.
    public let rawValue: UInt8

    /// Creates a codec from the byte in the header; any byte is accepted here.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The payload as it is.
    public static let raw = BlockCodec(rawValue: 0)
    /// One LZ4 block, without the LZ4 frame.
    public static let lz4 = BlockCodec(rawValue: 1)
    /// One LZ4 block of packed rows: blocks of events in archives only. See ``RowPacking``.
    public static let packedRows = BlockCodec(rawValue: 2)
}

/// Bits of a block header.
public struct BlockFlags: OptionSet, Hashable, Sendable {
    /// The two bytes in the header.
    public let rawValue: UInt16

    /// Creates flags from the two bytes in the header.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The unit goes on in the next block; without that block it does not exist.
    public static let continues = BlockFlags(rawValue: 1 << 0)
    /// Its writer waited for a sync before it acknowledged this unit.
    public static let barrier = BlockFlags(rawValue: 1 << 1)
    /// The first block that a writer appended after it opened the log.
    public static let firstAfterOpen = BlockFlags(rawValue: 1 << 2)

    /// The bits that this version knows; a reader refuses others.
    public static let known: BlockFlags = [.continues, .barrier, .firstAfterOpen]
}

/// The 64 bytes before every payload. See FORMAT.md, Block.
///
/// ```text
///  0                4      5      6        8             12            16
///  | magic "BLK1"   | kind | codec| flags  | storedLength | rawLength  |
///  | firstSequence (8)            | eventCount (4) | rawCheck (4)      |
///  | durableUpTo (4) | aux (4)    | previousHash (8)                   |
///  | payloadHash (8)              | headerHash (8)                     |
/// ```
public struct BlockHeader: Hashable, Sendable {
    /// Bytes of a header on disk.
    public static let byteCount = 64
    /// "BLK1", read as a little-endian integer.
    public static let magic: UInt32 = 0x314B_4C42

    /// What the payload holds.
    public var kind = BlockKind(rawValue: 0)
    /// How it is stored.
    public var codec = BlockCodec.raw
    /// See ``BlockFlags``.
    public var flags: BlockFlags = []
    /// Bytes of the payload as stored, without its padding.
    public var storedLength: Int = 0
    /// Bytes of the payload when decoded.
    public var rawLength: Int = 0
    /// Sequence of the first event of the unit; in a block without events, of the next event.
    public var firstSequence: UInt64 = 0
    /// Events of the unit, told in its last block; 0 in the blocks before and in other kinds.
    public var eventCount: UInt32 = 0
    /// Low half of XXH3-64 of the decoded payload when it is compressed, else 0.
    public var rawCheck: UInt32 = 0
    /// Offset in this segment known to be synced when this block was written.
    public var durableUpTo: UInt32 = 0
    /// The field aux: bytes of the packed rows that the stored payload decodes to, else 0.
    public var packedLength: Int = 0
    /// Header hash of the block before; of the segment header for the first block.
    public var previousHash: UInt64 = 0
    /// XXH3-64 of the stored payload and its padding.
    public var payloadHash: UInt64 = 0
    /// XXH3-64 of the 56 bytes before it.
    public var headerHash: UInt64 = 0

    /// Bytes from this header to the next one.
    public var totalLength: Int {
        Self.byteCount + storedLength.roundedUp(to: FormatLimits.alignment)
    }

    /// The seed of both hashes: binds a block to its segment by the salt and to its place by the
    /// offset.
    @inlinable
    public static func seed(salt: UInt64, offset: Int) -> UInt64 {
        salt ^ (UInt64(offset) &* 0x9E37_79B9_7F4A_7C15)
    }

    /// A header of zeros, of no block: to be decoded into.
    public init() {}
}

extension BlockHeader {
    /// Reads a header and checks its hash, then every field against the limits.
    ///
    /// - Parameters:
    ///   - bytes: At least 64 bytes, of which the first 64 are read.
    ///   - seed: The seed for this salt and offset.
    ///   - role: The kind of segment that it stands in: only archives have packed rows.
    public init(
        decoding bytes: RawSpan, seed: UInt64, in role: SegmentRole = .live
    ) throws(FormatError) {
        self.init()
        try decode(bytes, seed: seed, in: role)
    }

    /// The same in place, for whoever reads one after the other: a header is large to copy. When it
    /// throws, the fields are those of no block.
    mutating func decode(
        _ bytes: RawSpan, seed: UInt64, in role: SegmentRole
    ) throws(FormatError) {
        guard bytes.byteCount >= Self.byteCount else {
            throw .endOfBytes(needed: Self.byteCount, available: bytes.byteCount)
        }
        guard bytes.littleEndian(at: 0, as: UInt32.self) == Self.magic else {
            throw .badMagic("block")
        }
        let hash = BlockHash.hash(bytes.extracting(first: 56), seed: seed)
        kind = BlockKind(rawValue: bytes.littleEndian(at: 4, as: UInt8.self))
        codec = BlockCodec(rawValue: bytes.littleEndian(at: 5, as: UInt8.self))
        flags = BlockFlags(rawValue: bytes.littleEndian(at: 6, as: UInt16.self))
        storedLength = Int(bytes.littleEndian(at: 8, as: UInt32.self))
        rawLength = Int(bytes.littleEndian(at: 12, as: UInt32.self))
        firstSequence = bytes.littleEndian(at: 16, as: UInt64.self)
        eventCount = bytes.littleEndian(at: 24, as: UInt32.self)
        rawCheck = bytes.littleEndian(at: 28, as: UInt32.self)
        durableUpTo = bytes.littleEndian(at: 32, as: UInt32.self)
        packedLength = Int(bytes.littleEndian(at: 36, as: UInt32.self))
        previousHash = bytes.littleEndian(at: 40, as: UInt64.self)
        payloadHash = bytes.littleEndian(at: 48, as: UInt64.self)
        headerHash = bytes.littleEndian(at: 56, as: UInt64.self)
        guard headerHash == hash else { throw .hashMismatch("block header") }
        try validate(in: role)
    }

    /// The checks that follow the hash: a header that verifies may still come from a newer writer.
    private func validate(in role: SegmentRole) throws(FormatError) {
        guard kind.isKnown else {
            throw .unsupported("block kind", found: UInt64(kind.rawValue))
        }
        let limit = UInt64(FormatLimits.blockBytesMax)
        guard storedLength <= FormatLimits.blockBytesMax else {
            throw .limitExceeded("stored length", found: UInt64(storedLength), limit: limit)
        }
        guard rawLength <= FormatLimits.blockBytesMax else {
            throw .limitExceeded("raw length", found: UInt64(rawLength), limit: limit)
        }
        guard flags.isSubset(of: .known) else {
            throw .unsupported("block flags", found: UInt64(flags.rawValue))
        }
        let isPacked = codec == .packedRows && kind == .events && role == .archive
        guard isPacked || packedLength == 0 else {
            throw .unsupported("block aux field", found: UInt64(packedLength))
        }
        switch codec {
        case .raw:
            guard storedLength == rawLength, rawCheck == 0 else {
                throw .invalid("a raw block whose lengths differ or whose raw check is set")
            }
        case .lz4, .packedRows:
            guard isPacked || codec == .lz4 else {
                throw .unsupported("block codec in this place", found: UInt64(codec.rawValue))
            }
            guard storedLength < rawLength else {
                throw .invalid("a compressed block that is not smaller than its content")
            }
            guard packedLength <= FormatLimits.blockBytesMax else {
                throw .limitExceeded("packed length", found: UInt64(packedLength), limit: limit)
            }
            guard !isPacked || packedLength > 0 else {
                throw .invalid("packed rows without bytes")
            }
        default: throw .unsupported("block codec", found: UInt64(codec.rawValue))
        }
    }
}

extension BlockHeader {
    /// What the bytes of a header say of the block before it and of its first event: unchecked, for
    /// whoever begins to parse there, which checks it.
    package static func claims(
        of bytes: RawSpan
    ) -> (previousHash: UInt64, firstSequence: UInt64)? {
        guard bytes.byteCount >= byteCount else { return nil }
        return (
            bytes.littleEndian(at: 40, as: UInt64.self), bytes.littleEndian(at: 16, as: UInt64.self)
        )
    }

    /// Returns the offset that the header at `bytes` knew to be durable, or `nil` when no header
    /// verifies there.
    ///
    /// Looks at magic and hash alone: a header that only a newer version understands proves as much
    /// about the bytes before it as any other.
    public static func durableUpTo(toldBy bytes: RawSpan, seed: UInt64) -> Int? {
        guard bytes.byteCount >= byteCount,
            bytes.littleEndian(at: 0, as: UInt32.self) == magic,
            BlockHash.hash(bytes.extracting(first: 56), seed: seed)
                == bytes.littleEndian(at: 56, as: UInt64.self)
        else { return nil }
        return Int(bytes.littleEndian(at: 32, as: UInt32.self))
    }
}
