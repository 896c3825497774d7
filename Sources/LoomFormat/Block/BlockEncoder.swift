internal import CLZ4

/// Lays one block into memory: compresses, pads, hashes the payload, then the header.
///
/// The hot path of a commit. It lives beside the codec, takes a buffer of the caller's and
/// allocates nothing. LZ4 is tried from `compressionBytesMin` raw bytes on and kept when it saves
/// at least an eighth: below that size its start-up costs more than the sync of the bytes that it
/// would save.
public enum BlockEncoder {
    /// The smallest payload that is worth trying to compress.
    public static let compressionBytesMin = 256

    /// The fields of a header that the caller decides.
    public struct Fields: Sendable {
        /// See ``BlockHeader/kind``.
        public var kind: BlockKind
        /// See ``BlockHeader/flags``.
        public var flags: BlockFlags
        /// See ``BlockHeader/firstSequence``.
        public var firstSequence: UInt64
        /// See ``BlockHeader/eventCount``.
        public var eventCount: UInt32
        /// See ``BlockHeader/durableUpTo``.
        public var durableUpTo: UInt32
        /// See ``BlockHeader/previousHash``.
        public var previousHash: UInt64

        /// Creates the fields of one block.
        @inlinable
        public init(
            kind: BlockKind, flags: BlockFlags = [], firstSequence: UInt64, eventCount: UInt32,
            durableUpTo: UInt32, previousHash: UInt64
        ) {
            self.kind = kind
            self.flags = flags
            self.firstSequence = firstSequence
            self.eventCount = eventCount
            self.durableUpTo = durableUpTo
            self.previousHash = previousHash
        }
    }

    /// Where the next block goes, and what it must name.
    public struct Written: Sendable {
        /// Bytes of the block with header and padding.
        public let byteCount: Int
        /// The hash that the next block names.
        public let headerHash: UInt64
    }

    /// The most bytes that a block of `rawCount` payload bytes can take.
    @inlinable
    public static func byteCountMax(rawCount: Int) -> Int {
        BlockHeader.byteCount + rawCount.roundedUp(to: FormatLimits.alignment)
    }

    /// Writes one block at the start of `target`.
    ///
    /// - Precondition: `payload` holds at most ``FormatLimits/blockBytesMax`` bytes and `target` at
    ///   least ``byteCountMax(rawCount:)`` bytes.
    public static func encode(
        _ fields: Fields, payload: UnsafeRawBufferPointer, seed: UInt64,
        compress: Bool = true, into target: UnsafeMutableRawBufferPointer
    ) -> Written {
        precondition(payload.count <= FormatLimits.blockBytesMax, "block payload too long")
        precondition(target.count >= byteCountMax(rawCount: payload.count), "target too short")
        let body = unsafe UnsafeMutableRawBufferPointer(rebasing: target[BlockHeader.byteCount...])
        var codec = BlockCodec.raw
        var rawCheck: UInt32 = 0
        var stored = 0
        if compress, payload.count >= compressionBytesMin {
            stored = unsafe compressed(payload, into: body)
        }
        if stored > 0 {
            codec = .lz4
            rawCheck = UInt32(truncatingIfNeeded: unsafe BlockHash.hash(payload))
        } else {
            stored = payload.count
            if stored > 0 { unsafe body.copyMemory(from: payload) }
        }
        return unsafe finish(
            fields, Content(codec: codec, stored: stored, raw: payload.count, rawCheck: rawCheck),
            seed: seed, target)
    }

    /// The fields of a header that follow from the payload and how it is stored.
    struct Content {
        let codec: BlockCodec
        let stored: Int
        let raw: Int
        let rawCheck: UInt32
        var aux: UInt32 = 0
    }

    /// Pads and hashes the stored payload, which is in its place, and writes the header before it.
    static func finish(
        _ fields: Fields, _ content: Content, seed: UInt64,
        _ target: UnsafeMutableRawBufferPointer
    ) -> Written {
        let body = unsafe UnsafeMutableRawBufferPointer(rebasing: target[BlockHeader.byteCount...])
        let stored = content.stored
        let padded = stored.roundedUp(to: FormatLimits.alignment)
        for index in stored..<padded { unsafe body[index] = 0 }
        let payloadHash = unsafe BlockHash.hash(
            UnsafeRawBufferPointer(rebasing: body[..<padded]), seed: seed)

        let base = unsafe target.baseAddress.unsafelyUnwrapped
        let kinds =
            UInt32(fields.kind.rawValue) | UInt32(content.codec.rawValue) << 8
            | UInt32(fields.flags.rawValue) << 16
        unsafe put(BlockHeader.magic, base, 0)
        unsafe put(kinds, base, 4)
        unsafe put(UInt32(stored), base, 8)
        unsafe put(UInt32(content.raw), base, 12)
        unsafe put(fields.firstSequence, base, 16)
        unsafe put(fields.eventCount, base, 24)
        unsafe put(content.rawCheck, base, 28)
        unsafe put(fields.durableUpTo, base, 32)
        unsafe put(content.aux, base, 36)
        unsafe put(fields.previousHash, base, 40)
        unsafe put(payloadHash, base, 48)
        let headerHash = unsafe BlockHash.hash(
            UnsafeRawBufferPointer(start: base, count: 56), seed: seed)
        unsafe put(headerHash, base, 56)
        return Written(byteCount: BlockHeader.byteCount + padded, headerHash: headerHash)
    }

    @inline(__always)
    private static func put<T: FixedWidthInteger & BitwiseCopyable>(
        _ value: T, _ base: UnsafeMutableRawPointer, _ offset: Int
    ) {
        unsafe base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }

    /// Bytes that LZ4 wrote, or 0 when it would not save an eighth.
    private static func compressed(
        _ payload: UnsafeRawBufferPointer, into body: UnsafeMutableRawBufferPointer
    ) -> Int {
        unsafe compressed(payload, into: body, max: payload.count - payload.count / 8)
    }

    /// Bytes that LZ4 wrote, or 0 when it would take more than `max`.
    static func compressed(
        _ payload: UnsafeRawBufferPointer, into body: UnsafeMutableRawBufferPointer, max: Int
    ) -> Int {
        let budget = Swift.max(0, min(body.count, max))
        return Int(
            unsafe LZ4_compress_default(
                payload.baseAddress?.assumingMemoryBound(to: CChar.self),
                body.baseAddress?.assumingMemoryBound(to: CChar.self),
                CInt(payload.count), CInt(budget)))
    }
}
