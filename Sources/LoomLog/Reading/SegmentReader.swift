internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Reads the units of one segment in order, checking every hash and the chain on the way.
struct SegmentReader {
    /// A unit whose blocks are all there; its payload is in ``SegmentReader/payload``.
    struct Unit {
        let firstSequence: UInt64
        let eventCount: UInt32
        /// Where its first block starts.
        let offset: Int
    }

    /// Why there is no further unit before the limit.
    enum Stop {
        /// Space that was never written, or the limit itself.
        case end
        /// Something that is not a block of this place.
        case fault(BlockFault, at: Int)
    }

    enum Step {
        case unit(Unit)
        case stop(Stop)
    }

    let path: FilePath
    let header: SegmentHeader
    private var window: SegmentWindow
    private var parser: BlockParser
    /// The decoded payload of the unit that ``next(limit:)`` returned last.
    private(set) var payload: [UInt8] = []
    /// Offset after the last whole unit, or after the last block that is no unit.
    private(set) var validEnd: Int
    /// Header hash of the block that ends there.
    private(set) var lastHash: UInt64
    /// The kind of that block.
    private(set) var lastKind: BlockKind?
    /// The largest offset that any block so far knew to be durable.
    private(set) var durableUpTo = 0

    /// Opens a segment at its first block, after checking that it is the one that was meant.
    init(
        file: any StorageFile, segmentID: UInt64, storeID: StoreID
    ) throws(LogError) {
        path = file.path
        let bytes = try storing("reading a segment") { () throws(StorageError) in
            try file.readBytes(count: SegmentHeader.byteCount, at: 0)
        }
        let hash: UInt64
        do throws(FormatError) {
            (header, hash) = try SegmentHeader.decode(bytes.rawSpan)
        } catch {
            throw LogError(error, in: file.path, at: 0, what: "segment header refused")
        }
        guard header.segmentID == segmentID, header.storeID == storeID else {
            throw LogError(
                .corrupt, "this file is segment \(header.segmentID) of store \(header.storeID)",
                path: file.path, offset: 0)
        }
        window = SegmentWindow(file: file)
        parser = BlockParser(
            salt: header.salt, offset: SegmentHeader.byteCount, previousHash: hash,
            nextSequence: header.firstSequence)
        validEnd = SegmentHeader.byteCount
        lastHash = hash
    }

    /// Sequence of the event that comes next.
    var nextSequence: UInt64 { parser.nextSequence }
    /// Offset of the block that comes next.
    var offset: Int { parser.offset }

    /// Reads on to the end of the next unit below `limit`.
    mutating func next(limit: Int) throws(LogError) -> Step {
        payload.removeAll(keepingCapacity: true)
        // A unit that was cut by the limit is read again from its start.
        var saved = self.parser
        while true {
            let offset = parser.offset
            let parse = try parseBlock(limit: limit)
            switch parse {
            case .blank, .truncated:
                // What a unit began and did not finish does not exist.
                if parser.isInsideUnit { parser = saved }
                return .stop(.end)
            case .bad(let fault, _):
                if parser.isInsideUnit { parser = saved }
                return .stop(.fault(fault, at: offset))
            case .block(let block):
                durableUpTo = max(durableUpTo, Int(block.durableUpTo))
                guard block.kind == .events else {
                    completed(block)
                    saved = parser
                    continue
                }
                try decode(block, at: offset)
                if block.flags.contains(.continues) { continue }
                completed(block)
                return .unit(
                    Unit(
                        firstSequence: block.firstSequence, eventCount: block.eventCount,
                        offset: saved.offset))
            }
        }
    }

    private mutating func parseBlock(limit: Int) throws(LogError) -> BlockParse {
        let offset = parser.offset
        var parser = self.parser
        try window.load(offset: offset, count: BlockHeader.byteCount, limit: limit)
        var parse = parser.next(in: window.span(from: offset, limit: limit))
        if case .truncated(let needed) = parse, offset + needed <= limit {
            try window.load(offset: offset, count: needed, limit: limit)
            parse = parser.next(in: window.span(from: offset, limit: limit))
        }
        self.parser = parser
        // A file that ends inside a page that was never written, or a look past a moving limit.
        if case .blank = parse { window.invalidate() }
        if case .truncated = parse { window.invalidate() }
        return parse
    }

    private mutating func completed(_ block: BlockHeader) {
        validEnd = parser.offset
        lastHash = block.headerHash
        lastKind = block.kind
    }

    private mutating func decode(_ block: BlockHeader, at offset: Int) throws(LogError) {
        guard payload.count + block.rawLength <= FormatLimits.unitBytesMax else {
            throw LogError(
                .corrupt, "a unit above \(FormatLimits.unitBytesMax) bytes", path: path,
                offset: offset)
        }
        // Taken out and put back: the span borrows self while the payload grows.
        var payload = self.payload
        self.payload = []
        defer { self.payload = payload }
        do throws(FormatError) {
            try block.decodePayload(
                window.span(
                    from: offset + BlockHeader.byteCount, limit: offset + block.totalLength),
                into: &payload)
        } catch {
            throw LogError(error, in: path, at: offset, what: "block refused")
        }
    }
}
