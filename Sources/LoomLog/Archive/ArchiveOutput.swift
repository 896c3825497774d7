internal import LoomFormat
internal import LoomStorage

/// The file of an archive as it is written: blocks without gaps, each chained to the one before.
struct ArchiveOutput {
    /// `nil` where only its size is wanted.
    private let file: (any StorageFile)?
    private let salt: UInt64
    /// Where the next block goes.
    private(set) var offset: Int
    private var previousHash: UInt64
    private var packing = RowPacking()
    private var block: [UInt8] = []
    /// What was laid and not yet written: a call for each block would cost more than the block.
    private var pending: [UInt8] = []
    private var written = 0
    /// The end sequence of the archive, which blocks other than events carry.
    var endSequence: UInt64 = 0

    private let pace: ArchivePace

    private static let pendingBytesMax = 1 << 20

    /// Begins with the header.
    init(
        _ file: (any StorageFile)?, _ header: SegmentHeader, _ pace: ArchivePace = ArchivePace()
    ) throws(LogError) {
        (self.file, self.pace, salt) = (file, pace, header.salt)
        let (bytes, hash) = header.encoded()
        pending = bytes
        (offset, previousHash) = (SegmentHeader.byteCount, hash)
    }

    /// Writes one block of events: packed, or as it is where that is smaller.
    ///
    /// - Returns: Its bytes, with header and padding.
    mutating func write(_ rows: borrowing BlockRows) throws(LogError) -> Int {
        let fields = BlockEncoder.Fields(
            kind: .events, firstSequence: rows.firstSequence,
            eventCount: UInt32(clamping: rows.eventCount), durableUpTo: 0,
            previousHash: previousHash)
        return try lay(fields, rows.payload, isEvents: true, compresses: true)
    }

    /// Writes one block of another kind.
    ///
    /// - Returns: The hash of its header.
    @discardableResult
    mutating func write(
        _ kind: BlockKind, _ payload: [UInt8], compresses: Bool
    ) throws(LogError) -> UInt64 {
        let fields = BlockEncoder.Fields(
            kind: kind, firstSequence: endSequence, eventCount: 0, durableUpTo: 0,
            previousHash: previousHash)
        _ = try lay(fields, payload.rawSpan, isEvents: false, compresses: compresses)
        return previousHash
    }

    /// Writes one block, or several for a single event that is longer than one.
    private mutating func lay(
        _ fields: BlockEncoder.Fields, _ payload: RawSpan, isEvents: Bool, compresses: Bool
    ) throws(LogError) -> Int {
        var fields = fields
        let (eventCount, start) = (fields.eventCount, offset)
        let isOne = payload.byteCount <= FormatLimits.blockBytesMax
        var taken = 0
        repeat {
            let size = min(payload.byteCount - taken, FormatLimits.blockBytesMax)
            let part = payload.extracting(taken..<(taken + size))
            taken += size
            let isLast = taken == payload.byteCount
            if isLast { fields.flags.remove(.continues) } else { fields.flags.insert(.continues) }
            fields.eventCount = isLast ? eventCount : 0
            fields.previousHash = previousHash
            try layBlock(fields, part, packs: isEvents && isOne, compresses: compresses)
        } while taken < payload.byteCount
        return offset - start
    }

    private mutating func layBlock(
        _ fields: BlockEncoder.Fields, _ payload: RawSpan, packs: Bool, compresses: Bool
    ) throws(LogError) {
        let needed = BlockEncoder.byteCountMax(rawCount: payload.byteCount)
        if block.count < needed { block = [UInt8](repeating: 0, count: needed) }
        let seed = BlockHeader.seed(salt: salt, offset: offset)
        let laid = unsafe block.withUnsafeMutableBytes { target in
            if packs {
                return unsafe BlockEncoder.encode(
                    fields, rows: payload, packing: &packing, seed: seed, into: target)
            }
            return unsafe payload.withUnsafeBytes {
                unsafe BlockEncoder.encode(
                    fields, payload: $0, seed: seed, compress: compresses, into: target)
            }
        }
        try keep(laid)
    }

    /// Moves one block of another archive here.
    ///
    /// - Returns: Its bytes, with header and padding.
    mutating func move(_ header: BlockHeader, _ stored: RawSpan) throws(LogError) -> Int {
        let needed = header.totalLength
        if block.count < needed { block = [UInt8](repeating: 0, count: needed) }
        let seed = BlockHeader.seed(salt: salt, offset: offset)
        let previousHash = self.previousHash
        let laid = unsafe block.withUnsafeMutableBytes { target in
            unsafe BlockEncoder.encode(
                moving: header, stored: stored, previousHash: previousHash, seed: seed,
                into: target)
        }
        try keep(laid)
        return laid.byteCount
    }

    /// Keeps the block that was just laid, to be written with others.
    private mutating func keep(_ laid: BlockEncoder.Written) throws(LogError) {
        guard offset + laid.byteCount <= FormatLimits.segmentBytesMax else {
            throw LogError(
                .limitExceeded, "the archive would be above \(FormatLimits.segmentBytesMax) bytes",
                path: file?.path)
        }
        pending.append(contentsOf: block[..<laid.byteCount])
        offset += laid.byteCount
        previousHash = laid.headerHash
        if pending.count >= Self.pendingBytesMax { try flush() }
    }

    /// Writes what was laid. Nothing is synced.
    mutating func flush() throws(LogError) {
        let (file, bytes, place) = (file, pending, written)
        try storing("writing an archive") { () throws(StorageError) in
            try file?.writeBytes(bytes, at: place)
        }
        written += pending.count
        try pace.pass(pending.count)
        pending.removeAll(keepingCapacity: true)
    }
}
