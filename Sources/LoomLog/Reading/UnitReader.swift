package import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Where a unit begins: for whoever remembers where the events of a run are.
public struct LogPlace: Hashable, Sendable {
    /// The segment.
    public let segmentID: UInt64
    /// The offset of the unit's first block in it.
    public let offset: Int

    /// Creates a place.
    public init(segmentID: UInt64, offset: Int) {
        self.segmentID = segmentID
        self.offset = offset
    }
}

/// Reads single units of a log whose places are known, without what lies between them.
///
/// Checks the hashes of each unit, which are bound to its place, and not the chain before it. So it
/// judges nothing: what it cannot read, a scan decides about.
struct UnitReader {
    private let reader: LogReader
    private var segment: (id: UInt64, file: any StorageFile, header: SegmentHeader)?
    private var bytes: [UInt8] = []

    /// Bytes read at first: most units are smaller.
    private static let firstBytes = 1024

    init(_ reader: LogReader) { self.reader = reader }

    /// Adds the events of the unit at `place`, which is one of `run`, to `events`.
    ///
    /// - Returns: Whether such a unit stands there.
    mutating func add(
        _ place: LogPlace, of run: RunID, to events: inout [LogEvent]
    ) throws(LogError) -> Bool {
        guard let (file, header) = try open(place.segmentID) else { return false }
        guard let (unit, payload) = try unit(place, file, header) else { return false }
        var sequence = unit.firstSequence
        var declared: [UInt64: RunID] = [:]
        var only: UInt64?
        do throws(FormatError) {
            var records = RecordReader(payload.rawSpan)
            while let record = try records.next() {
                switch record {
                case .declaration(let number, let id):
                    declared[number] = try RunID(decoding: id)
                case .event(let number, let epoch, let position, let body):
                    // A unit of one run: its number may have been declared long before.
                    guard declared[number] ?? run == run, only ?? number == number else {
                        return false
                    }
                    only = number
                    events.append(
                        LogEvent(
                            sequence: sequence, run: run, epoch: epoch, position: position,
                            body: [UInt8](copying: body), segmentID: place.segmentID,
                            offset: place.offset))
                    sequence &+= 1
                }
            }
        } catch { return false }
        return true
    }

    private mutating func open(
        _ id: UInt64
    ) throws(LogError) -> (any StorageFile, SegmentHeader)? {
        if let segment, segment.id == id { return (segment.file, segment.header) }
        let (storage, path) = (reader.storage, reader.directory.segment(id))
        let file: any StorageFile
        do throws(StorageError) {
            file = try storage.open(path, for: .reading)
        } catch {
            // It was archived; or the number is that of an archive.
            if error.isNotFound { return nil }
            throw LogError(error, doing: "opening a segment")
        }
        guard let bytes = try read(file, SegmentHeader.byteCount, at: 0),
            let (header, _) = try? SegmentHeader.decode(bytes.rawSpan),
            header.segmentID == id, header.storeID == reader.storeID, header.role == .live
        else { return nil }
        segment = (id, file, header)
        return (file, header)
    }

    /// Up to so many bytes of a file, or `nil` behind its end.
    private func read(
        _ file: any StorageFile, _ count: Int, at offset: Int
    ) throws(LogError) -> [UInt8]? {
        let bytes = try storing("reading a segment") { () throws(StorageError) in
            try file.readBytes(count: count, at: offset)
        }
        return bytes.isEmpty ? nil : bytes
    }

    /// The unit's last header and its decoded payload.
    private mutating func unit(
        _ place: LogPlace, _ file: any StorageFile, _ segment: SegmentHeader
    ) throws(LogError) -> (BlockHeader, [UInt8])? {
        guard var window = try read(file, Self.firstBytes, at: place.offset) else { return nil }
        let seed = BlockHeader.seed(salt: segment.salt, offset: place.offset)
        guard let first = try? BlockHeader(decoding: window.rawSpan, seed: seed) else { return nil }
        // The chain before it is not at hand: it is taken at its word.
        var parser = BlockParser(
            salt: segment.salt, offset: place.offset, previousHash: first.previousHash,
            nextSequence: first.firstSequence)
        var payload: [UInt8] = []
        while true {
            let offset = parser.offset
            let parse = parser.next(in: window.rawSpan)
            switch parse {
            case .truncated(let needed):
                guard let more = try read(file, needed, at: offset), more.count >= needed else {
                    return nil
                }
                window = more
            case .block(let block) where block.kind == .events:
                guard Self.decode(block, window, into: &payload) else { return nil }
                guard block.flags.contains(.continues) else { return (block, payload) }
                window = []
            case .block, .blank, .bad: return nil
            }
        }
    }
}

extension UnitReader {
    /// Appends the decoded payload of a block that stands at the start of `window`.
    private static func decode(
        _ block: BlockHeader, _ window: [UInt8], into payload: inout [UInt8]
    ) -> Bool {
        guard payload.count + block.rawLength <= FormatLimits.unitBytesMax else { return false }
        let stored = window.rawSpan.extracting(BlockHeader.byteCount..<block.totalLength)
        return (try? block.decodePayload(stored, into: &payload)) != nil
    }
}

extension LogReader {
    /// The events of the units at these places, which are units of `run`; `nil` when one of them is
    /// not to be had in this way, so that a scan has to say what is there.
    ///
    /// Costs these units alone, whatever the log holds.
    package func events(
        of run: RunID, at places: [LogPlace]
    ) throws(LogError) -> [LogEvent]? {
        var units = UnitReader(self)
        var events: [LogEvent] = []
        for place in places {
            guard try units.add(place, of: run, to: &events) else { return nil }
        }
        return events
    }
}
