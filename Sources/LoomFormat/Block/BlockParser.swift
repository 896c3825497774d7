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
    /// What the segment is for: the blocks of an archive are not in order of sequence.
    public let role: SegmentRole
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
    ///
    /// In an archive the sequence does not matter: each unit says its own.
    public init(
        salt: UInt64, offset: Int, previousHash: UInt64, nextSequence: UInt64,
        in role: SegmentRole = .live
    ) {
        self.salt = salt
        self.role = role
        self.offset = offset
        self.previousHash = previousHash
        self.nextSequence = nextSequence
    }

    /// Checks the block at the parser's offset and moves behind it when it is good.
    ///
    /// - Parameter window: The bytes of the segment from the parser's offset on, as many as are
    /// there.
    public mutating func next(in window: RawSpan) -> BlockParse {
        var header = BlockHeader()
        return next(in: window, &header) ?? .block(header)
    }

    /// The same for whoever reads one block after the other: a header is large to copy.
    ///
    /// - Parameter header: Gets the block's header; what it holds means nothing unless the result
    ///   is `nil`.
    /// - Returns: What stands there in place of a block, or `nil` for a block.
    public mutating func next(in window: RawSpan, _ header: inout BlockHeader) -> BlockParse? {
        guard window.byteCount >= BlockHeader.byteCount else {
            return .truncated(needed: BlockHeader.byteCount)
        }
        if Self.isBlank(window) { return .blank }
        let seed = BlockHeader.seed(salt: salt, offset: offset)
        do throws(FormatError) {
            try header.decode(window, seed: seed, in: role)
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
        if let fault = role == .archive ? archiveFault(of: header) : orderFault(of: header) {
            return .bad(fault, header)
        }
        advance(over: header)
        return nil
    }

    private func orderFault(of header: BlockHeader) -> BlockFault? {
        guard header.kind.isInSegments else {
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

    /// What does not fit in an archive, whose blocks of events are units in any order.
    private func archiveFault(of header: BlockHeader) -> BlockFault? {
        guard header.kind.isInArchives else {
            return .order("block kind \(header.kind.rawValue) does not belong in an archive")
        }
        guard !isSealed else { return .order("a block behind the seal") }
        let isEvents = header.kind == .events
        let goesOn = header.flags.contains(.continues)
        guard header.flags.isSubset(of: isEvents ? .continues : []), header.durableUpTo == 0 else {
            return .order("fields of a live block in an archive")
        }
        guard isEvents || !isInsideUnit else { return .order("a unit is cut by another kind") }
        guard (header.eventCount > 0) == (isEvents && !goesOn) else {
            return .order("an event count of \(header.eventCount) in this place")
        }
        guard header.codec != .packedRows || !goesOn && !isInsideUnit else {
            return .order("packed rows in a unit of several blocks")
        }
        guard !isInsideUnit || header.firstSequence == nextSequence else {
            return .order("sequence \(header.firstSequence) where \(nextSequence) was due")
        }
        return nil
    }

    private mutating func advance(over header: BlockHeader) {
        offset += header.totalLength
        previousHash = header.headerHash
        if role == .archive { nextSequence = header.firstSequence }
        nextSequence &+= UInt64(header.eventCount)
        isInsideUnit = header.kind == .events && header.flags.contains(.continues)
        unitFlags = header.flags.subtracting(.continues)
        isSealed = header.kind == .seal
    }

    private static func isBlank(_ window: RawSpan) -> Bool {
        for index in stride(from: 0, to: BlockHeader.byteCount, by: 8)
        where window.littleEndian(at: index, as: UInt64.self) != 0 { return false }
        return true
    }
}
