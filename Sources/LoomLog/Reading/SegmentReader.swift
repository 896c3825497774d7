internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Reads the units of one segment in order, checking every hash, the chain and every record.
///
/// Readers and recovery use this one reader, so both refuse the same bytes.
struct SegmentReader {
    /// Events of the current unit that follow each other; their records are a range of
    /// ``SegmentReader/payload``.
    struct Group {
        /// Which of ``SegmentReader/names``: not a name, which would be counted for each event.
        let run: Int
        let epoch: UInt64
        /// That of the first event.
        let position: UInt64
        let bytes: Range<Int>
        let eventCount: Int
        let kinds: KindSet
    }

    /// A unit whose blocks are all there and whose records are all well formed.
    struct Unit {
        let firstSequence: UInt64
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
    /// The manifest's entry for this segment.
    private(set) var entry: ManifestSegment
    private var window: SegmentWindow
    private var parser: BlockParser
    /// The block that was parsed last.
    private var block = BlockHeader()
    /// Where the payload of the unit stands that ``next(limit:)`` returned last.
    private var content = Content.decoded
    /// The payload of a unit that is compressed or has several blocks.
    private var decoded: [UInt8] = []
    /// The events of that unit, in order.
    private(set) var groups: [Group] = []
    /// The runs that were declared in this segment so far.
    private var declared = SegmentRuns()
    /// That of the last event: most units are of the run of the unit before.
    private var lastRun: (number: UInt64, place: Int)?
    /// Events, units and runs so far.
    private(set) var counts = SegmentSeal()
    /// Offset after the last whole unit, or after the last block that is no unit.
    private(set) var validEnd: Int
    /// Header hash of the block that ends there.
    private(set) var lastHash: UInt64
    /// The kind of that block.
    private(set) var lastKind: BlockKind?
    /// The largest offset that any block so far knew to be durable.
    private(set) var durableUpTo = 0
    /// Whether the chain passed the end that the manifest recorded, with the recorded hash and
    /// sequence.
    private(set) var meetsManifest = false

    private enum Content {
        /// In the window, at these offsets of the file.
        case stored(Range<Int>)
        /// In ``SegmentReader/decoded``.
        case decoded
    }

    /// Opens a listed segment at its first block, after checking that it is the one that was meant.
    ///
    /// - Parameter before: The manifest's entry for the segment before; `nil` for the first.
    init(
        file: any StorageFile, entry: ManifestSegment, before: ManifestSegment?, storeID: StoreID
    ) throws(LogError) {
        path = file.path
        self.entry = entry
        let (bytes, size) = try storing("reading a segment") { () throws(StorageError) in
            (try file.readBytes(count: SegmentHeader.byteCount, at: 0), try file.size())
        }
        let hash: UInt64
        do throws(FormatError) {
            (header, hash) = try SegmentHeader.decode(bytes.rawSpan)
        } catch {
            throw LogError(error, in: file.path, at: 0, what: "segment header refused")
        }
        window = SegmentWindow(file: file)
        parser = BlockParser(
            salt: header.salt, offset: SegmentHeader.byteCount, previousHash: hash,
            nextSequence: header.firstSequence)
        validEnd = SegmentHeader.byteCount
        lastHash = hash
        if let reason = Self.mismatch(header, entry, before, storeID, size: size) {
            throw LogError(.corrupt, reason, path: file.path, offset: 0)
        }
        notePassing()
    }

    /// Says why a file is not the segment that the manifest lists, or `nil` when it is.
    private static func mismatch(
        _ header: SegmentHeader, _ entry: ManifestSegment, _ before: ManifestSegment?,
        _ storeID: StoreID, size: Int
    ) -> String? {
        guard header.segmentID == entry.segmentID, header.storeID == storeID else {
            return "this file is segment \(header.segmentID) of store \(header.storeID)"
        }
        let predecessor = before.map {
            Predecessor(
                segmentID: $0.segmentID, byteLength: $0.validEnd, lastHash: $0.lastHash)
        }
        // An archive has taken the place of the segment that the header names.
        let isArchived = before?.role == .archive
        guard header.role == entry.role, header.salt == entry.salt,
            header.firstSequence == entry.firstSequence,
            isArchived || header.predecessor == predecessor ?? .none
        else { return "this is not the segment that the manifest lists" }
        guard size <= FormatLimits.segmentBytesMax else {
            return "the file has \(size) bytes, above \(FormatLimits.segmentBytesMax)"
        }
        guard size >= Int(entry.validEnd) else {
            return "the file has \(size) bytes of \(entry.validEnd)"
        }
        return nil
    }

    /// The decoded payload of the unit that ``next(limit:)`` returned last.
    var payload: RawSpan {
        @_lifetime(borrow self)
        borrowing get {
            switch content {
            case .stored(let range): window.span(from: range.lowerBound, limit: range.upperBound)
            case .decoded: decoded.rawSpan
            }
        }
    }

    /// Numbers given to runs so far in this segment.
    var runs: [UInt64: RunID] { declared.byNumber }

    /// The names that runs were declared by so far.
    var names: [RunID] { declared.names }

    /// Sequence of the event that comes next.
    var nextSequence: UInt64 { parser.nextSequence }
    /// Offset of the block that comes next.
    var offset: Int { parser.offset }

    /// Reads on to the end of the next unit below `limit`.
    mutating func next(limit: Int) throws(LogError) -> Step {
        removeUnit()
        // A unit that was cut by the limit is read again from its start.
        var saved = self.parser
        while true {
            let offset = parser.offset
            let stop: BlockParse?
            do throws(LogError) {
                stop = try parseBlock(limit: limit)
            } catch {
                // Who asks again gets the whole unit.
                parser = saved
                throw error
            }
            if let stop {
                // What a unit began and did not finish does not exist.
                if parser.isInsideUnit { parser = saved }
                if case .bad(let fault, _) = stop { return .stop(.fault(fault, at: offset)) }
                return .stop(.end)
            }
            do throws(FormatError) {
                let unit = try takeBlock(at: offset, unitStart: saved.offset)
                if !parser.isInsideUnit { saved = parser }
                if let unit { return .unit(unit) }
            } catch {
                parser = saved
                return .stop(.fault(.content(error), at: saved.offset))
            }
        }
    }

    /// Forgets the unit at hand.
    private mutating func removeUnit() {
        content = .decoded
        if !decoded.isEmpty { decoded.removeAll(keepingCapacity: true) }
        // Nearly always one: cheaper than the general way.
        while groups.popLast() != nil {}
    }

    /// Parses the next block into ``block``; returns what stands there in place of one.
    private mutating func parseBlock(limit: Int) throws(LogError) -> BlockParse? {
        let offset = parser.offset
        try window.load(offset: offset, count: BlockHeader.byteCount, limit: limit)
        var stop = Self.parse(window, limit, &parser, &block)
        if case .truncated(let needed)? = stop, offset + needed <= limit {
            try window.load(offset: offset, count: needed, limit: limit)
            stop = Self.parse(window, limit, &parser, &block)
        }
        // A look past a moving limit, or at a store in flight: the next look reads again.
        if stop != nil { window.invalidate() }
        return stop
    }

    /// Of no reader: the window lends its bytes while parser and block are changed.
    private static func parse(
        _ window: borrowing SegmentWindow, _ limit: Int, _ parser: inout BlockParser,
        _ block: inout BlockHeader
    ) -> BlockParse? {
        let offset = parser.offset
        return parser.next(in: window.span(from: offset, limit: limit), &block)
    }

    /// Takes in the block, which verifies; returns the unit that it ends.
    private mutating func takeBlock(
        at offset: Int, unitStart: Int
    ) throws(FormatError) -> Unit? {
        let known = max(durableUpTo, Int(block.durableUpTo))
        if block.kind == .events || block.kind == .seal { try decode(at: offset) }
        if block.kind == .seal {
            guard try SegmentSeal(decoding: payload) == counts else {
                throw .invalid("a seal that counts something else")
            }
            removeUnit()
        }
        durableUpTo = known
        if block.flags.contains(.continues) { return nil }
        if block.kind == .events { try readRecords() }
        validEnd = parser.offset
        lastHash = block.headerHash
        lastKind = block.kind
        notePassing()
        guard block.kind == .events else { return nil }
        return Unit(firstSequence: block.firstSequence, offset: unitStart)
    }

    /// Goes on under a newer manifest, which may record another end of this segment.
    mutating func adopt(_ entry: ManifestSegment) {
        self.entry = entry
        // An end that was passed under the older manifest was part of a chain that verified.
        meetsManifest = validEnd > Int(entry.validEnd)
        notePassing()
    }

    private mutating func notePassing() {
        guard validEnd == Int(entry.validEnd) else { return }
        meetsManifest = lastHash == entry.lastHash && nextSequence == entry.endSequence
    }

    private mutating func decode(at offset: Int) throws(FormatError) {
        guard decoded.count + block.rawLength <= FormatLimits.unitBytesMax else {
            throw .limitExceeded(
                "the size of a unit", found: UInt64(decoded.count + block.rawLength),
                limit: UInt64(FormatLimits.unitBytesMax))
        }
        let start = offset + BlockHeader.byteCount
        if block.codec == .raw, decoded.isEmpty, !block.flags.contains(.continues) {
            // Nearly all units: read where they stand.
            content = .stored(start..<(start + block.rawLength))
            return
        }
        // Taken out and put back: the span borrows self while the payload grows.
        var decoded = self.decoded
        self.decoded = []
        defer { self.decoded = decoded }
        try block.decodePayload(
            window.span(from: start, limit: offset + block.totalLength), into: &decoded)
    }

    /// Calls `body` with each event of the unit that ``next(limit:)`` returned last: its run, its
    /// group, its position, its sequence, its bytes.
    func forEachEvent(
        of unit: Unit, _ body: (RunID, Group, UInt64, UInt64, RawSpan) -> Void
    ) {
        var sequence = unit.firstSequence
        for group in groups {
            let name = names[group.run]
            var (position, events) = (
                group.position, GroupEvents(payload.extracting(group.bytes))
            )
            while let event = events.next() {
                body(name, group, position, sequence, event)
                (position, sequence) = (position &+ 1, sequence &+ 1)
            }
        }
    }

    /// Checks every record of a unit by section 6 of FORMAT.md. A unit that is refused changes
    /// neither `names` nor `counts`.
    private mutating func readRecords() throws(FormatError) {
        // Nearly no unit declares a run.
        var declarations: SegmentRuns.Declarations?
        var (last, count, isAccepted) = (lastRun, 0, false)
        // Taken out and put back: the reader borrows self while the groups grow.
        var groups: [Group] = []
        swap(&groups, &self.groups)
        defer {
            if !isAccepted { groups.removeAll() }
            swap(&groups, &self.groups)
        }
        var reader = RecordReader(payload)
        while let record = try reader.nextGroup() {
            switch record {
            case .declaration(let number, let id):
                var known = declarations.take() ?? SegmentRuns.Declarations()
                declared.declare(number, as: try RunID(decoding: id), in: &known)
                declarations = known
                last = nil
            case .events(let group):
                if last?.number != group.run {
                    guard let place = declared.place(of: group.run, declarations) else {
                        throw .invalid("run number \(group.run) was never declared")
                    }
                    last = (group.run, place)
                }
                guard let place = last?.place else { continue }
                count += group.eventCount
                groups.append(
                    Group(
                        run: place, epoch: group.epoch, position: group.position,
                        bytes: group.bytes, eventCount: group.eventCount, kinds: group.kinds))
            }
        }
        guard count == Int(block.eventCount) else {
            throw .invalid("a unit of \(count) events whose block says \(block.eventCount)")
        }
        isAccepted = true
        if let declarations { declared.keep(declarations) }
        lastRun = last
        counts.eventCount += UInt64(count)
        counts.unitCount += 1
        counts.runCount = UInt64(declared.count)
    }
}
