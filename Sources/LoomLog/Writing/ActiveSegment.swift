internal import LoomFormat
internal import LoomStorage

/// The segment that is appended to: lays blocks into its filled space, one store a unit.
///
/// It knows nothing of syncs and waiters. After a store threw, its offsets have not moved and the
/// bytes on disk are unknown: the writer is poisoned and never stores again.
struct ActiveSegment {
    let file: any StorageFile
    let segmentID: UInt64
    let firstSequence: UInt64
    let salt: UInt64
    /// Filled bytes of the file: stores stay below.
    private(set) var capacity: Int
    /// The size that units may fill before the log rolls to the next segment. Behind it only the
    /// block that ends the segment finds room.
    let goal: Int
    /// Whether stores may go through a mapping.
    private(set) var isMapped: Bool
    /// Where more space becomes due: the next segment, or the next step of growth.
    private var spaceDueOffset: Int
    /// The size when the segment was opened.
    private let firstCapacity: Int

    /// Where the next block starts: all before it is published.
    private(set) var offset: Int
    /// Header hash of the block before.
    private(set) var previousHash: UInt64
    /// Where the last block of this writer starts.
    private var lastBlockOffset: Int?
    /// Offset that a finished sync covers.
    var durableOffset: Int
    /// The kind of the last block.
    private var lastKind: BlockKind?
    private(set) var counts: SegmentSeal
    /// Numbers given to runs in this segment.
    private var runs: [RunID: UInt64]
    private var nextNumber: UInt64
    private var lastRun: (id: RunID, number: UInt64)?
    private var isFirstAfterOpen: Bool
    private var payload = ByteWriter(capacity: 4096)
    private var block = [UInt8](repeating: 0, count: 8192)

    /// The place that a segment starts or goes on at.
    struct Tail {
        var offset: Int
        var previousHash: UInt64
        var lastKind: BlockKind?
        var counts = SegmentSeal()
        var runs: [RunID: UInt64] = [:]
    }

    init(
        file: any StorageFile, segmentID: UInt64, firstSequence: UInt64, salt: UInt64,
        capacity: Int, goal: Int, isMapped: Bool, isFirstAfterOpen: Bool, tail: Tail
    ) {
        self.file = file
        self.segmentID = segmentID
        self.firstSequence = firstSequence
        self.salt = salt
        self.capacity = capacity
        self.goal = goal
        firstCapacity = capacity
        self.isMapped = isMapped
        self.isFirstAfterOpen = isFirstAfterOpen
        spaceDueOffset = capacity < goal ? 0 : capacity / 2
        offset = tail.offset
        previousHash = tail.previousHash
        durableOffset = tail.offset
        lastKind = tail.lastKind
        counts = tail.counts
        runs = tail.runs
        nextNumber = (tail.runs.values.max() ?? .max) &+ 1
    }

    /// Whether the last block is a mark, so that no further one is due.
    var endsInMark: Bool { lastKind == .syncMark || lastKind == .close || lastKind == .seal }
    /// Whether nothing may be appended any more.
    var isSealed: Bool { lastKind == .seal }
    /// Whether the last block says that the writer went away in good order.
    var endsInClose: Bool { lastKind == .close }

    /// Where the file should be found.
    var place: FilePlace {
        FilePlace(path: file.path, identity: file.identity, leastSize: capacity)
    }

    /// Whether space should be secured ahead of need.
    ///
    /// Half of a segment is used first, so that a short run leaves nothing to remove, and a log
    /// that was only opened takes nothing.
    var wantsSpace: Bool { offset >= spaceDueOffset && !isFirstAfterOpen && !isSealed }
    /// Bytes that the file grew by since it was opened.
    var grownBytes: Int { capacity - firstCapacity }
    /// The size below which a block that ends the segment would find no room.
    var leastCapacity: Int { Self.closedBytes(end: offset) }

    /// The size that a segment keeps when it is closed: room for the block that would end it.
    static func closedBytes(end: Int) -> Int {
        end.roundedUp(to: FormatLimits.pageBytes) + FormatLimits.sealReserveBytes
    }

    /// Makes filled and synced space behind the present capacity usable.
    mutating func grow(to newCapacity: Int, isMapped: Bool) {
        // The next step is due when half of this one is used.
        spaceDueOffset =
            newCapacity < goal ? newCapacity - (newCapacity - capacity) / 2 : newCapacity / 2
        capacity = newCapacity
        self.isMapped = isMapped
    }

    /// Where the published bytes end, as MARK says it.
    var publishedWord: MarkWord { MarkWord(segmentID: segmentID, offset: offset) }
    /// Where the durable bytes end, as MARK says it.
    var durableWord: MarkWord { MarkWord(segmentID: segmentID, offset: durableOffset) }

    /// The most bytes that a unit of this payload size can take.
    static func byteCountMax(payloadCount: Int) -> Int {
        let blocks = max(1, (payloadCount - 1) / FormatLimits.blockBytesMax + 1)
        return blocks * (BlockHeader.byteCount + FormatLimits.alignment) + payloadCount
    }

    /// Whether the unit fits and leaves room to end the segment.
    func hasRoom(for unit: borrowing RecordUnit) -> Bool {
        offset + Self.byteCountMax(payloadCount: unit.payloadBytesMax)
            <= min(capacity, goal) - FormatLimits.sealReserveBytes
    }

    /// Appends a unit: published in the file when this returns, to the kernel's safety.
    mutating func append(
        _ unit: borrowing RecordUnit, sequence: UInt64, isBarrier: Bool
    ) throws(StorageError) {
        let (number, declares) = number(of: unit.run)
        payload.removeAll()
        unit.writePayload(number: number, declares: declares, to: &payload)
        var fields = BlockEncoder.Fields(
            kind: .events, flags: isBarrier ? .barrier : [], firstSequence: sequence,
            eventCount: UInt32(unit.eventCount), durableUpTo: UInt32(durableOffset),
            previousHash: previousHash)
        if isFirstAfterOpen { fields.flags.insert(.firstAfterOpen) }
        let laid = encode(fields)
        try store(
            count: laid.byteCount, surface: isMapped && !isBarrier ? .mapped : .positional)
        lastBlockOffset = offset + laid.lastBlock
        offset += laid.byteCount
        previousHash = laid.lastHash
        lastKind = .events
        isFirstAfterOpen = false
        counts.eventCount += UInt64(unit.eventCount)
        counts.unitCount += 1
        if declares {
            runs[unit.run] = number
            nextNumber &+= 1
            counts.runCount += 1
        }
        lastRun = (unit.run, number)
    }

    /// Throws when the last block that was stored is no longer in the file.
    func checkLastBlock() throws(StorageError) {
        guard let start = lastBlockOffset else { return }
        let place = start + BlockHeader.byteCount - MemoryLayout<UInt64>.size
        guard try file.loadWord(at: place) == previousHash else {
            throw .displaced(file.path)
        }
    }

    private func number(of run: RunID) -> (number: UInt64, declares: Bool) {
        if let lastRun, lastRun.id == run { return (lastRun.number, false) }
        if let number = runs[run] { return (number, false) }
        return (nextNumber, true)
    }

    /// The blocks of a unit: all their bytes, and the last of them.
    private struct LaidBlocks {
        var byteCount = 0
        var lastBlock = 0
        var lastHash: UInt64 = 0
    }

    /// Lays the payload into `block` as one block, or as several when it is above the limit of one.
    private mutating func encode(_ fields: BlockEncoder.Fields) -> LaidBlocks {
        let needed = Self.byteCountMax(payloadCount: payload.count)
        if block.count < needed { block = [UInt8](repeating: 0, count: needed) }
        var fields = fields
        let eventCount = fields.eventCount
        var (laid, taken) = (LaidBlocks(), 0)
        repeat {
            let size = min(payload.count - taken, FormatLimits.blockBytesMax)
            let isLast = taken + size == payload.count
            if isLast { fields.flags.remove(.continues) } else { fields.flags.insert(.continues) }
            fields.eventCount = isLast ? eventCount : 0
            let step = encodeBlock(fields, from: taken, size: size, at: laid.byteCount)
            fields.previousHash = step.headerHash
            taken += size
            laid.lastBlock = laid.byteCount
            laid.lastHash = step.headerHash
            laid.byteCount += step.byteCount
        } while taken < payload.count
        return laid
    }

    private mutating func encodeBlock(
        _ fields: BlockEncoder.Fields, from start: Int, size: Int, at position: Int,
        compress: Bool = true
    ) -> BlockEncoder.Written {
        let seed = BlockHeader.seed(salt: salt, offset: offset + position)
        return unsafe payload.bytes.withUnsafeBytes { payload in
            unsafe block.withUnsafeMutableBytes { block in
                unsafe BlockEncoder.encode(
                    fields,
                    payload: UnsafeRawBufferPointer(rebasing: payload[start..<(start + size)]),
                    seed: seed, compress: compress,
                    into: UnsafeMutableRawBufferPointer(rebasing: block[position...]))
            }
        }
    }

    private func store(count: Int, surface: AppendSurface) throws(StorageError) {
        let (file, offset) = (file, offset)
        try unsafe block.span.bytes.withUnsafeBytes { (bytes) throws(StorageError) in
            try unsafe file.store(
                UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: offset, surface: surface)
        }
    }

    /// Appends a mark of the given kind on a page of its own, after a filler that bridges the gap.
    ///
    /// What lies before must be durable: the mark says so. The page of its own keeps the write of
    /// the mark away from sectors that hold data.
    mutating func appendMark(
        _ kind: BlockKind, sequence: UInt64, payload content: [UInt8] = []
    ) throws(StorageError) {
        let end = UInt32(durableOffset)
        var page = offset.roundedUp(to: FormatLimits.pageBytes)
        if page != offset {
            if page - offset < BlockHeader.byteCount { page += FormatLimits.pageBytes }
            let zeros = [UInt8](repeating: 0, count: page - offset - BlockHeader.byteCount)
            try appendBlock(.filler, sequence: sequence, durableUpTo: end, content: zeros)
        }
        try appendBlock(kind, sequence: sequence, durableUpTo: end, content: content)
        lastKind = kind
    }

    private mutating func appendBlock(
        _ kind: BlockKind, sequence: UInt64, durableUpTo: UInt32, content: [UInt8]
    ) throws(StorageError) {
        payload.removeAll()
        payload.writeBytes(content)
        let fields = BlockEncoder.Fields(
            kind: kind, firstSequence: sequence, eventCount: 0, durableUpTo: durableUpTo,
            previousHash: previousHash)
        let needed = BlockEncoder.byteCountMax(rawCount: content.count)
        if block.count < needed { block = [UInt8](repeating: 0, count: needed) }
        // Never compressed: a filler that shrinks would not bridge the gap.
        let written = encodeBlock(fields, from: 0, size: content.count, at: 0, compress: false)
        try store(count: written.byteCount, surface: .positional)
        lastBlockOffset = offset
        offset += written.byteCount
        previousHash = written.headerHash
    }

    /// Whether a mark fits and leaves room to end the segment.
    var hasRoomForMark: Bool {
        offset + 2 * FormatLimits.sealReserveBytes <= min(capacity, goal)
    }

    /// The entry of this segment in the next manifest.
    func manifestEntry(state: SegmentState, sequence: UInt64) -> ManifestSegment {
        ManifestSegment(
            segmentID: segmentID, state: state, firstSequence: firstSequence,
            endSequence: sequence, validEnd: UInt64(offset), lastHash: previousHash, salt: salt)
    }
}
