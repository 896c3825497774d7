/// The identity of a store: 16 random bytes, drawn when it is created.
public struct StoreID: Hashable, Sendable {
    /// The first eight bytes, little-endian.
    public let low: UInt64
    /// The last eight bytes, little-endian.
    public let high: UInt64

    /// Creates an identity from its halves.
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}

extension StoreID: CustomStringConvertible {
    /// 32 hexadecimal digits, high half first.
    public var description: String { high.paddedHex + low.paddedHex }
}

/// Where a segment begins: behind which segment, at which byte of it, after which block.
public struct Predecessor: Hashable, Sendable {
    /// The segment before; 0 when there is none.
    public var segmentID: UInt64
    /// Offset of the end of its last valid block.
    public var byteLength: UInt64
    /// Header hash of that block.
    public var lastHash: UInt64

    /// Creates a link to a segment.
    public init(segmentID: UInt64, byteLength: UInt64, lastHash: UInt64) {
        self.segmentID = segmentID
        self.byteLength = byteLength
        self.lastHash = lastHash
    }

    /// The predecessor of the first segment.
    public static let none = Predecessor(segmentID: 0, byteLength: 0, lastHash: 0)
}

/// What a segment is for.
public struct SegmentRole: RawRepresentable, Hashable, Sendable {
    /// The byte in the header.
    public let rawValue: UInt8

    /// Creates a role from the byte in the header; any byte is accepted here.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Appended to, block by block, in order of sequence.
    public static let live = SegmentRole(rawValue: 1)
    /// Written once, its events gathered by run, with their index. See FORMAT.md, Archives.
    public static let archive = SegmentRole(rawValue: 2)

    /// The roles that this version knows; a reader refuses others as those of a newer version.
    public static let known: Set<SegmentRole> = [.live, .archive]
}

/// The first 128 bytes of a segment. See FORMAT.md, Segment header.
public struct SegmentHeader: Hashable, Sendable {
    /// Bytes of a header on disk.
    public static let byteCount = 128
    /// Like PNG's: catches text-mode and 7-bit damage. Read as a little-endian integer.
    public static let magic: UInt64 = 0x1A0A_0D4D_4F4F_4C89

    /// What the segment is for.
    public var role: SegmentRole
    /// The store that it belongs to.
    public var storeID: StoreID
    /// Its number, from 1 on; also in its file name.
    public var segmentID: UInt64
    /// The writer whose events it holds.
    public var writerID: UInt64
    /// The writer's epoch when the segment was begun.
    public var writerEpoch: UInt64
    /// Sequence of its first event.
    public var firstSequence: UInt64
    /// Random; seeds every hash in the segment.
    public var salt: UInt64
    /// What it follows.
    public var predecessor: Predecessor
    /// Microseconds since 1970-01-01 UTC when it was begun.
    public var created: UInt64

    /// Creates a header.
    public init(
        role: SegmentRole = .live, storeID: StoreID, segmentID: UInt64, writerID: UInt64,
        writerEpoch: UInt64, firstSequence: UInt64, salt: UInt64, predecessor: Predecessor,
        created: UInt64
    ) {
        self.role = role
        self.storeID = storeID
        self.segmentID = segmentID
        self.writerID = writerID
        self.writerEpoch = writerEpoch
        self.firstSequence = firstSequence
        self.salt = salt
        self.predecessor = predecessor
        self.created = created
    }
}

extension SegmentHeader {
    /// The 128 bytes, and the hash at their end, which the first block names.
    public func encoded() -> (bytes: [UInt8], hash: UInt64) {
        var writer = ByteWriter(capacity: Self.byteCount)
        writer.writeUInt64(Self.magic)
        writer.writeUInt16(FormatVersion.major)
        writer.writeUInt16(FormatVersion.minor)
        writer.writeUInt32(0)  // incompatible flags
        writer.writeUInt32(0)  // compatible flags
        writer.writeUInt8(role.rawValue)
        writer.writeUInt8(3)  // log2 of the alignment
        writer.writeUInt16(0)
        writer.writeUInt64(storeID.low)
        writer.writeUInt64(storeID.high)
        writer.writeUInt64(segmentID)
        writer.writeUInt64(writerID)
        writer.writeUInt64(writerEpoch)
        writer.writeUInt64(firstSequence)
        writer.writeUInt64(salt)
        writer.writeUInt64(predecessor.segmentID)
        writer.writeUInt64(predecessor.byteLength)
        writer.writeUInt64(predecessor.lastHash)
        writer.writeUInt64(created)
        writer.writeUInt64(0)  // dictionary, reserved
        let hash = BlockHash.hash(writer.bytes.rawSpan)
        writer.writeUInt64(hash)
        return (writer.bytes, hash)
    }

    /// Reads a header; returns it with its hash, which the first block names.
    public static func decode(
        _ bytes: RawSpan
    ) throws(FormatError) -> (header: SegmentHeader, hash: UInt64) {
        guard bytes.byteCount >= byteCount else {
            throw .endOfBytes(needed: byteCount, available: bytes.byteCount)
        }
        var reader = ByteReader(bytes)
        guard try reader.readUInt64() == magic else { throw .badMagic("segment") }
        // The version comes before the hash: a later major version may place its hash elsewhere.
        let major = try reader.readUInt16()
        guard major == FormatVersion.major else {
            throw .unsupported("format version", found: UInt64(major))
        }
        let hash = BlockHash.hash(bytes.extracting(first: 120))
        try reader.skip(2)
        let incompatible = try reader.readUInt32()
        try reader.skip(4)
        let role = SegmentRole(rawValue: try reader.readUInt8())
        let alignment = try reader.readUInt8()
        try reader.skip(2)
        let header = SegmentHeader(
            role: role,
            storeID: StoreID(low: try reader.readUInt64(), high: try reader.readUInt64()),
            segmentID: try reader.readUInt64(), writerID: try reader.readUInt64(),
            writerEpoch: try reader.readUInt64(), firstSequence: try reader.readUInt64(),
            salt: try reader.readUInt64(),
            predecessor: Predecessor(
                segmentID: try reader.readUInt64(), byteLength: try reader.readUInt64(),
                lastHash: try reader.readUInt64()),
            created: try reader.readUInt64())
        let dictionary = try reader.readUInt64()
        guard try reader.readUInt64() == hash else { throw .hashMismatch("segment header") }
        guard incompatible == 0 else {
            throw .unsupported("incompatible feature set", found: UInt64(incompatible))
        }
        guard SegmentRole.known.contains(role) else {
            throw .unsupported("segment role", found: UInt64(role.rawValue))
        }
        guard alignment == 3 else {
            throw .unsupported("block alignment 2^n, n =", found: UInt64(alignment))
        }
        guard header.segmentID < FormatLimits.numberEnd,
            header.writerEpoch < FormatLimits.numberEnd,
            header.firstSequence < FormatLimits.numberEnd
        else { throw .invalid("a number of 2^62 or more") }
        guard dictionary == 0 else { throw .unsupported("dictionary", found: dictionary) }
        return (header, hash)
    }
}

/// What the payload of a seal block says of its segment. See FORMAT.md, Seal block.
public struct SegmentSeal: Hashable, Sendable {
    /// Bytes of the payload.
    public static let byteCount = 24

    /// Events in the segment.
    public var eventCount: UInt64
    /// Units, that is commits, in the segment.
    public var unitCount: UInt64
    /// Runs declared in the segment.
    public var runCount: UInt64

    /// Creates a seal of an empty segment.
    public init(eventCount: UInt64 = 0, unitCount: UInt64 = 0, runCount: UInt64 = 0) {
        self.eventCount = eventCount
        self.unitCount = unitCount
        self.runCount = runCount
    }

    /// The payload.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Self.byteCount)
        writer.writeUInt64(eventCount)
        writer.writeUInt64(unitCount)
        writer.writeUInt64(runCount)
        return writer.bytes
    }

    /// Reads the payload of a seal block.
    public init(decoding bytes: RawSpan) throws(FormatError) {
        var reader = ByteReader(bytes)
        eventCount = try reader.readUInt64()
        unitCount = try reader.readUInt64()
        runCount = try reader.readUInt64()
    }
}
