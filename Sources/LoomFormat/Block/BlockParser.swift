internal import CLZ4

/// What stands at an offset of a segment.
public enum BlockParse: Hashable, Sendable {
    /// A block whose header and payload verify and that follows the block before.
    case block(BlockHeader)
    /// The magic is all zero: space that was never written.
    case blank
    /// The window ends before the block does; it needs this many bytes from the offset.
    case truncated(needed: Int)
    /// Something else. The header is there when its own hash verified.
    case bad(BlockFault, BlockHeader?)
}

/// What is wrong with a block.
public enum BlockFault: Hashable, Sendable {
    /// The header is refused.
    case header(FormatError)
    /// The header is good and the payload's hash is not.
    case payload
    /// The block is whole and does not follow the block before it.
    case chain
    /// The sequence or the kind does not fit the place.
    case order(String)
    /// The blocks of a unit verify, and what they hold is not what the format allows.
    case content(FormatError)
}

extension BlockFault: CustomStringConvertible {
    /// One line, without a place.
    public var description: String {
        switch self {
        case .header(let error): "block header refused: \(error)"
        case .payload: "the hash of the payload does not match its bytes"
        case .chain: "the block does not follow the one before it"
        case .order(let reason): reason
        case .content(let error): "the content of a unit is refused: \(error)"
        }
    }
}

/// Checks blocks one after another: hashes first, then the chain, then order. Never traps on any
/// bytes.
public struct BlockParser: Sendable {
    /// The salt of the segment.
    public let salt: UInt64
    /// Where the next block must start.
    public private(set) var offset: Int
    /// What the next block must name as the one before it.
    public private(set) var previousHash: UInt64
    /// The sequence that the next event has.
    public private(set) var nextSequence: UInt64
    /// Whether the block before left its unit unfinished.
    public private(set) var isInsideUnit: Bool = false
    /// The flags that all blocks of the unfinished unit share.
    private var unitFlags: BlockFlags = []
    /// Whether the block before ended the segment.
    private var isSealed = false

    /// Creates a parser at a place of a segment whose state is known.
    public init(salt: UInt64, offset: Int, previousHash: UInt64, nextSequence: UInt64) {
        self.salt = salt
        self.offset = offset
        self.previousHash = previousHash
        self.nextSequence = nextSequence
    }

    /// Checks the block at the parser's offset and moves behind it when it is good.
    ///
    /// - Parameter window: The bytes of the segment from the parser's offset on, as many as are
    /// there.
    public mutating func next(in window: RawSpan) -> BlockParse {
        guard window.byteCount >= BlockHeader.byteCount else {
            return .truncated(needed: BlockHeader.byteCount)
        }
        if Self.isBlank(window) { return .blank }
        let seed = BlockHeader.seed(salt: salt, offset: offset)
        let header: BlockHeader
        do throws(FormatError) {
            header = try BlockHeader(decoding: window, seed: seed)
        } catch {
            return .bad(.header(error), nil)
        }
        guard window.byteCount >= header.totalLength else {
            return .truncated(needed: header.totalLength)
        }
        let payload = window.extracting(BlockHeader.byteCount..<header.totalLength)
        guard BlockHash.hash(payload, seed: seed) == header.payloadHash else {
            return .bad(.payload, header)
        }
        guard header.previousHash == previousHash else { return .bad(.chain, header) }
        if let fault = orderFault(of: header) { return .bad(fault, header) }
        advance(over: header)
        return .block(header)
    }

    private func orderFault(of header: BlockHeader) -> BlockFault? {
        guard BlockKind.inSegments.contains(header.kind) else {
            return .order("block kind \(header.kind.rawValue) does not belong in a segment")
        }
        guard header.firstSequence == nextSequence else {
            return .order("sequence \(header.firstSequence) where \(nextSequence) was due")
        }
        guard !isSealed else { return .order("a block behind the seal") }
        let isEvents = header.kind == .events
        guard isEvents || !isInsideUnit else { return .order("a unit is cut by another kind") }
        guard isEvents || header.flags.isDisjoint(with: [.continues, .barrier]) else {
            return .order("flags of a unit on a block without one")
        }
        guard !isInsideUnit || unitFlags == header.flags.subtracting(.continues) else {
            return .order("the blocks of a unit have different flags")
        }
        let isLast = isEvents && !header.flags.contains(.continues)
        guard (header.eventCount > 0) == isLast else {
            return .order("an event count of \(header.eventCount) in this place")
        }
        guard isEvents || header.codec == .raw else { return .order("a compressed mark") }
        let isMark = !isEvents && header.kind != .filler
        guard !isMark || offset % FormatLimits.pageBytes == 0 else {
            return .order("a mark that does not start a page")
        }
        let due = header.kind == .seal ? SegmentSeal.byteCount : 0
        guard !isMark || header.rawLength == due else {
            return .order("a mark with a payload of \(header.rawLength) bytes")
        }
        guard header.durableUpTo <= UInt32(clamping: offset) else {
            return .order("durable offset \(header.durableUpTo) lies ahead of the block")
        }
        return nil
    }

    private mutating func advance(over header: BlockHeader) {
        offset += header.totalLength
        previousHash = header.headerHash
        nextSequence &+= UInt64(header.eventCount)
        isInsideUnit = header.kind == .events && header.flags.contains(.continues)
        unitFlags = header.flags.subtracting(.continues)
        isSealed = header.kind == .seal
    }

    private static func isBlank(_ window: RawSpan) -> Bool {
        for index in stride(from: 0, to: BlockHeader.byteCount, by: 8)
        where unsafe window.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self) != 0 {
            return false
        }
        return true
    }
}

extension BlockHeader {
    /// Appends the decoded payload to `target`; the payload's own hash was checked before.
    ///
    /// - Parameter payload: The stored bytes, without header; padding may follow them.
    public func decodePayload(
        _ payload: RawSpan, into target: inout [UInt8]
    ) throws(FormatError) {
        guard payload.byteCount >= storedLength else {
            throw .endOfBytes(needed: storedLength, available: payload.byteCount)
        }
        let stored = payload.extracting(first: storedLength)
        let start = target.count
        guard codec == .lz4 else {
            unsafe stored.withUnsafeBytes { unsafe target.append(contentsOf: $0) }
            return
        }
        let (storedCount, rawCount) = (CInt(storedLength), CInt(rawLength))
        target.append(addingCapacity: rawLength) { span in
            unsafe span.withUnsafeMutableBufferPointer { target, count in
                let written = unsafe stored.withUnsafeBytes { source in
                    unsafe LZ4_decompress_safe(
                        source.baseAddress?.assumingMemoryBound(to: CChar.self),
                        UnsafeMutableRawPointer(target.baseAddress)?
                            .assumingMemoryBound(to: CChar.self),
                        storedCount, rawCount)
                }
                count = max(0, Int(written))
            }
        }
        let rawHash = BlockHash.hash(target.rawSpan.extracting(droppingFirst: start))
        guard target.count - start == rawLength, UInt32(truncatingIfNeeded: rawHash) == rawCheck
        else {
            target.removeLast(target.count - start)
            throw .invalid("the payload does not decode to what its header says")
        }
    }
}
