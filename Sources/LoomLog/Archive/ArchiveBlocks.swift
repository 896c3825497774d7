internal import LoomFormat
internal import LoomStorage

/// Reads single blocks of an archive by their places, each checked by its own hashes: the seed
/// binds a block to its file and offset.
struct ArchiveBlocks: Sendable {
    let file: any StorageFile
    let salt: UInt64

    /// A block and what its payload decodes to.
    struct Block {
        let header: BlockHeader
        let payload: [UInt8]
    }

    /// Reads a block of a kind that stands at an offset and ends before another.
    ///
    /// - Parameter length: How long it is, where that is known: one read instead of two.
    func read(
        at offset: Int, kind: BlockKind, end: Int, length: Int? = nil
    ) throws(LogError) -> Block {
        try checkPlace(offset, end: end)
        var bytes = try read(length ?? BlockHeader.byteCount, at: offset)
        let header = try refusing(file.path, at: offset, "block refused") {
            () throws(FormatError) -> BlockHeader in
            try self.header(bytes.rawSpan, at: offset)
        }
        guard header.kind == kind, offset + header.totalLength <= end else {
            throw LogError(
                .corrupt, "another block stands here than the archive's index says",
                path: file.path, offset: offset)
        }
        if bytes.count < header.totalLength {
            bytes += try read(header.totalLength - bytes.count, at: offset + bytes.count)
        }
        return try block(header, in: bytes.rawSpan, at: offset)
    }

    /// Checks and decodes a block whose bytes are at hand.
    private func block(
        _ header: BlockHeader, in bytes: RawSpan, at offset: Int
    ) throws(LogError) -> Block {
        try refusing(file.path, at: offset, "block refused") { () throws(FormatError) in
            var payload: [UInt8] = []
            try header.decodePayload(try stored(header, in: bytes, at: offset), into: &payload)
            return Block(header: header, payload: payload)
        }
    }

    /// The stored payload of a block, checked.
    @_lifetime(copy bytes)
    private func stored(
        _ header: BlockHeader, in bytes: RawSpan, at offset: Int
    ) throws(FormatError) -> RawSpan {
        guard bytes.byteCount >= header.totalLength else {
            throw .endOfBytes(needed: header.totalLength, available: bytes.byteCount)
        }
        let stored = bytes.extracting(BlockHeader.byteCount..<header.totalLength)
        let seed = BlockHeader.seed(salt: salt, offset: offset)
        guard BlockHash.hash(stored, seed: seed) == header.payloadHash else {
            throw .hashMismatch("block payload")
        }
        return stored
    }

    /// Reads a block of events through a window, for whoever reads the next one, too.
    func read(
        at offset: Int, end: Int, through window: inout SegmentWindow
    ) throws(LogError) -> Block {
        try checkPlace(offset, end: end)
        try window.load(offset: offset, count: BlockHeader.byteCount, limit: end)
        let header = try refusing(file.path, at: offset, "block refused") {
            () throws(FormatError) -> BlockHeader in
            try self.header(window.span(from: offset, limit: end), at: offset)
        }
        guard header.kind == .events, offset + header.totalLength <= end else {
            throw LogError(
                .corrupt, "another block stands here than the archive's index says",
                path: file.path, offset: offset)
        }
        try window.load(offset: offset, count: header.totalLength, limit: end)
        return try block(header, in: window.span(from: offset, limit: end), at: offset)
    }

    /// Reads the hot part of a leaf alone.
    func readHotPart(of leaf: TableDirectory.Leaf, into payload: inout [UInt8]) throws(LogError) {
        try checkPlace(leaf.offset, end: leaf.offset + leaf.byteCount)
        let bytes = try read(leaf.byteCount, at: leaf.offset)
        payload.removeAll(keepingCapacity: true)
        try refusing(file.path, at: leaf.offset, "table refused") { () throws(FormatError) in
            let header = try self.header(bytes.rawSpan, at: leaf.offset)
            guard header.kind == .table else { throw .invalid("another block than a table") }
            try header.decodeHotPart(
                try stored(header, in: bytes.rawSpan, at: leaf.offset), into: &payload)
        }
    }

    private func checkPlace(_ offset: Int, end: Int) throws(LogError) {
        guard offset >= SegmentHeader.byteCount, offset < end,
            end <= FormatLimits.segmentBytesMax
        else {
            throw LogError(
                .corrupt, "a block of an archive cannot stand here", path: file.path,
                offset: max(0, offset))
        }
    }

    private func read(_ count: Int, at offset: Int) throws(LogError) -> [UInt8] {
        let file = self.file
        return try storing("reading an archive") { () throws(StorageError) in
            try file.readBytes(count: count, at: offset)
        }
    }

    private func header(
        _ bytes: RawSpan, at offset: Int
    ) throws(FormatError) -> BlockHeader {
        guard bytes.byteCount >= BlockHeader.byteCount else {
            throw .endOfBytes(needed: BlockHeader.byteCount, available: bytes.byteCount)
        }
        return try BlockHeader(
            decoding: bytes, seed: BlockHeader.seed(salt: salt, offset: offset),
            in: .archive)
    }
}

/// An event of an archive, with its place in the log.
struct ArchivedEvent {
    let run: RunID
    let epoch: UInt64
    let position: UInt64
    let sequence: UInt64
    let body: [UInt8]
    /// Where the block of its unit begins.
    let offset: Int
}

/// The events of one run in an archive, from a position on, in order; a block in memory at a time.
struct ArchiveEvents {
    private let blocks: ArchiveBlocks
    private let run: RunID
    private let position: UInt64
    private var offset: Int
    private let end: Int
    /// The position behind the run's last event in the block at an offset, as tables tell it.
    private let lastPosition: (Int) -> UInt64?
    private var window: SegmentWindow
    private var ready: [ArchivedEvent] = []
    private var index = 0

    /// About one block of packed rows: who reads on reads more at once.
    static let firstStep = 16 << 10

    init(
        _ blocks: ArchiveBlocks, run: RunID, from position: UInt64, at offset: Int, end: Int,
        lastPosition: @escaping (Int) -> UInt64? = { _ in nil }
    ) {
        (self.blocks, self.run, self.position) = (blocks, run, position)
        (self.offset, self.end, self.lastPosition) = (offset, end, lastPosition)
        window = SegmentWindow(file: blocks.file, step: Self.firstStep)
    }

    /// Fetches the next event; `nil` after the run's last one in the archive.
    mutating func next() throws(LogError) -> ArchivedEvent? {
        while true {
            if index < ready.count {
                defer { index += 1 }
                return ready[index]
            }
            guard offset < end else { return nil }
            let start = offset
            do throws(LogError) {
                try readUnit()
            } catch {
                throw error.code == .corrupt ? lost(at: start, error) : error
            }
        }
    }

    /// Says which events of the run stand in what cannot be read.
    private func lost(at start: Int, _ error: LogError) -> LogError {
        let first = ready.last.map { $0.position &+ 1 } ?? position
        let end = lastPosition(start).map { " up to \($0 &- 1)" } ?? " on"
        return LogError(
            .corrupt,
            "run \(run): the events from position \(first)\(end) are damaged: "
                + error.message,
            path: error.path, offset: error.offset, cause: error)
    }

    private mutating func readUnit() throws(LogError) {
        let (start, unit) = (offset, try blocks.unit(at: offset, end: end, through: &window))
        offset = unit.end
        let (run, position) = (self.run, self.position)
        (ready, index) = (
            try refusing(blocks.file.path, at: start, "unit refused") { () throws(FormatError) in
                try ArchiveUnit.events(in: unit.payload.rawSpan, at: start) {
                    $0 == run && $1 >= position
                }
            }, 0
        )
    }
}

extension ArchiveBlocks {
    /// Reads one unit: a block, or several of a single long event.
    func unit(at start: Int, end: Int) throws(LogError) -> (payload: [UInt8], end: Int) {
        var window = SegmentWindow(file: file, step: ArchiveEvents.firstStep)
        return try unit(at: start, end: end, through: &window)
    }

    /// The same for whoever reads the next one, too.
    func unit(
        at start: Int, end: Int, through window: inout SegmentWindow
    ) throws(LogError) -> (payload: [UInt8], end: Int) {
        var (payload, offset): ([UInt8], Int) = ([], start)
        while true {
            let block = try read(at: offset, end: end, through: &window)
            offset += block.header.totalLength
            let count = payload.count + block.payload.count
            try refusing(file.path, at: start, "unit refused") { () throws(FormatError) in
                try ArchiveUnit.checkSize(count)
            }
            payload += block.payload
            guard block.header.flags.contains(.continues), offset < end else {
                return (payload, offset)
            }
        }
    }
}

/// Reads the records of a unit of an archive.
enum ArchiveUnit {
    /// Refuses what is larger than a unit can be.
    static func checkSize(_ count: Int) throws(FormatError) {
        // An archive says more of an event than a live segment: its run, its sequence.
        let most = FormatLimits.unitBytesMax + FormatLimits.archiveBlockRows
        guard count <= most else {
            throw .limitExceeded("the size of a unit", found: UInt64(count), limit: UInt64(most))
        }
    }

    /// The events that are wanted, by run and position.
    static func events(
        in payload: RawSpan, at offset: Int, _ isWanted: (RunID, UInt64) -> Bool
    ) throws(FormatError) -> [ArchivedEvent] {
        var events: [ArchivedEvent] = []
        try each(in: payload) { run, epoch, position, sequence, body in
            guard isWanted(run, position) else { return }
            events.append(
                ArchivedEvent(
                    run: run, epoch: epoch, position: position, sequence: sequence,
                    body: [UInt8](copying: body), offset: offset))
        }
        return events
    }

    /// Calls `body` with every event.
    static func each(
        in payload: RawSpan,
        _ body: (RunID, _ epoch: UInt64, _ position: UInt64, _ sequence: UInt64, RawSpan) -> Void
    ) throws(FormatError) {
        var declared: [UInt64: RunID] = [:]
        var last: (number: UInt64, run: RunID)?
        var reader = RecordReader(payload, in: .archive)
        while let record = try reader.next() {
            switch record {
            case .declaration(let number, let id):
                declared[number] = try RunID(decoding: id)
                last = nil
            case .event(let number, let epoch, let position, let bytes):
                if last?.number != number {
                    guard let run = declared[number] else {
                        throw .invalid("run number \(number) was never declared")
                    }
                    last = (number, run)
                }
                guard let run = last?.run else { continue }
                body(run, epoch, position, reader.sequence, bytes)
            }
        }
    }

    /// The sequences from the least to the greatest event of a unit, which are to be those that
    /// its last block and the archive tell.
    static func sequences(
        in payload: RawSpan, _ header: BlockHeader, _ covered: Range<UInt64>
    ) throws(FormatError) -> ClosedRange<UInt64> {
        var (least, greatest, count) = (UInt64.max, UInt64.min, 0)
        try each(in: payload) { _, _, _, sequence, _ in
            (least, greatest, count) = (min(least, sequence), max(greatest, sequence), count + 1)
        }
        guard count == Int(header.eventCount), count > 0, least == header.firstSequence else {
            throw .invalid("a unit of other events than its block says")
        }
        guard covered.contains(least), covered.contains(greatest) else {
            throw .invalid("an event that the archive does not cover")
        }
        return least...greatest
    }
}

/// Goes through all blocks of an archive in order, checking every hash and the chain.
struct ArchiveWalk {
    private let blocks: ArchiveBlocks
    private var parser: BlockParser
    private let end: Int
    private var window: SegmentWindow

    init(_ blocks: ArchiveBlocks, _ header: SegmentHeader, hash: UInt64, end: Int) {
        self.blocks = blocks
        self.end = end
        window = SegmentWindow(file: blocks.file)
        parser = BlockParser(
            salt: header.salt, offset: SegmentHeader.byteCount,
            previousHash: hash, nextSequence: header.firstSequence, in: .archive)
    }

    /// The next block and what it decodes to; `nil` behind the seal. Throws as ``advance()``.
    mutating func next() throws(LogError) -> (block: ArchiveBlocks.Block, offset: Int)? {
        guard let (header, offset) = try advance() else { return nil }
        var payload: [UInt8] = []
        try refusing(blocks.file.path, at: offset, "block refused") { () throws(FormatError) in
            try header.decodePayload(stored(header, at: offset), into: &payload)
        }
        return (.init(header: header, payload: payload), offset)
    }

    /// Moves to the next block, whose payload is then ``stored(_:at:)``; `nil` behind the seal.
    ///
    /// - Throws: ``LogError`` with code `corrupt` and the offset for anything but a whole chain
    ///   that ends with the file's end.
    mutating func advance() throws(LogError) -> (header: BlockHeader, offset: Int)? {
        let offset = parser.offset
        guard offset < end else { return nil }
        var (needed, header) = (BlockHeader.byteCount, BlockHeader())
        while true {
            try window.load(offset: offset, count: needed, limit: end)
            var parser = self.parser
            switch parser.next(in: window.span(from: offset, limit: end), &header) {
            case nil:
                self.parser = parser
                return (header, offset)
            case .truncated(let count) where offset + count <= end && count > needed:
                needed = count
            case .bad(let fault, _):
                let isNewer = if case .header(.unsupported) = fault { true } else { false }
                throw LogError(
                    isNewer ? .unsupportedVersion : .corrupt,
                    "a block of the archive is \(isNewer ? "of a newer version" : "damaged"): "
                        + "\(fault)", path: blocks.file.path, offset: offset)
            default:
                throw LogError(
                    .corrupt, "the archive ends before its seal", path: blocks.file.path,
                    offset: offset)
            }
        }
    }

    /// The stored payload of the block that ``advance()`` came to last, and its padding.
    @_lifetime(borrow self)
    borrowing func stored(_ header: BlockHeader, at offset: Int) -> RawSpan {
        window.span(from: offset + BlockHeader.byteCount, limit: offset + header.totalLength)
    }
}
