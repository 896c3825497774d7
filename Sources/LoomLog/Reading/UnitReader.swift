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
///
/// It keeps the segment open that it read last: for whoever reads one run after another, as a list
/// does, one reader serves all of them.
package final class UnitReader {
    private let reader: LogReader
    private var (segmentID, salt): (UInt64?, UInt64) = (nil, 0)
    /// Of that segment.
    private var window: SegmentWindow?
    private var payload: [UInt8] = []

    /// Bytes read at first: most units are smaller. Who reads on reads more at once.
    private static let firstBytes = 1024

    init(_ reader: LogReader) { self.reader = reader }

    /// Adds the events of the unit at `place`, which is one of `run`, to `events`.
    ///
    /// - Returns: Whether such a unit stands there.
    /// - Throws: ``LogError`` for which ``LogError/isMissingFile`` holds once the segment was
    ///   archived, and others.
    func add(
        _ place: LogPlace, of run: RunID, to events: inout [LogEvent]
    ) throws(LogError) -> Bool {
        try each(place, of: run) { sequence, epoch, position, body in
            events.append(
                LogEvent(
                    sequence: sequence, run: run, epoch: epoch, position: position,
                    body: [UInt8](copying: body), segmentID: place.segmentID,
                    offset: place.offset))
        }
    }

    /// Calls `body` with the events of the unit at `place`, which is one of `run`.
    ///
    /// - Returns: Whether such a unit stands there. What `body` was given of another is void.
    func each(
        _ place: LogPlace, of run: RunID,
        _ body: (_ sequence: UInt64, _ epoch: UInt64, _ position: UInt64, RawSpan) -> Void
    ) throws(LogError) -> Bool {
        guard try open(place.segmentID), var sequence = try newestUnit(place) else { return false }
        var declared: [UInt64: RunID] = [:]
        var only: UInt64?
        let payload = payload
        do throws(FormatError) {
            var records = RecordReader(payload.rawSpan)
            while let record = try records.next() {
                switch record {
                case .declaration(let number, let id):
                    declared[number] = try RunID(decoding: id)
                case .event(let number, let epoch, let position, let bytes):
                    // A unit of one run: its number may have been declared long before.
                    guard declared.isEmpty || declared[number] ?? run == run,
                        only ?? number == number
                    else { return false }
                    only = number
                    body(sequence, epoch, position, bytes)
                    sequence &+= 1
                }
            }
        } catch { return false }
        return true
    }

    private func open(_ id: UInt64) throws(LogError) -> Bool {
        if segmentID == id { return true }
        let (storage, path) = (reader.storage, reader.directory.segment(id))
        let file: any StorageFile
        do throws(StorageError) {
            file = try storage.open(path, for: .reading)
        } catch {
            throw LogError(error, doing: "opening a segment")
        }
        let bytes = try storing("reading a segment") { () throws(StorageError) in
            try file.readBytes(count: SegmentHeader.byteCount, at: 0)
        }
        guard let (header, _) = try? SegmentHeader.decode(bytes.rawSpan),
            header.segmentID == id, header.storeID == reader.storeID, header.role == .live
        else { return false }
        (segmentID, salt) = (id, header.salt)
        window = SegmentWindow(file: file, step: Self.firstBytes)
        return true
    }

    /// The sequence of the unit's first event; its decoded payload is in ``payload``.
    private func newestUnit(_ place: LogPlace) throws(LogError) -> UInt64? {
        // Taken out, so that it is changed in place.
        guard var window = self.window.take() else { return nil }
        defer { self.window = window }
        if let sequence = try unit(place, &window) { return sequence }
        // The window was loaded before the unit was written: zeros stood there, or half of it.
        window.invalidate()
        return try unit(place, &window)
    }

    private func unit(
        _ place: LogPlace, _ window: inout SegmentWindow
    ) throws(LogError) -> UInt64? {
        let end = FormatLimits.segmentBytesMax
        try window.load(offset: place.offset, count: BlockHeader.byteCount, limit: end)
        // The chain before it is not at hand: it is taken at its word, once its hash verifies.
        guard let told = BlockHeader.claims(of: window.span(from: place.offset, limit: end)) else {
            return nil
        }
        var parser = BlockParser(
            salt: salt, offset: place.offset, previousHash: told.previousHash,
            nextSequence: told.firstSequence)
        payload.removeAll(keepingCapacity: true)
        var (needed, block) = (BlockHeader.byteCount, BlockHeader())
        while true {
            let offset = parser.offset
            try window.load(offset: offset, count: needed, limit: end)
            let span = window.span(from: offset, limit: end)
            if let stop = parser.next(in: span, &block) {
                guard case .truncated(let count) = stop, count > needed else { return nil }
                needed = count
                continue
            }
            guard block.kind == .events,
                payload.count + block.rawLength <= FormatLimits.unitBytesMax
            else { return nil }
            let stored = span.extracting(BlockHeader.byteCount..<block.totalLength)
            guard (try? block.decodePayload(stored, into: &payload)) != nil else { return nil }
            guard block.flags.contains(.continues) else { return block.firstSequence }
            needed = BlockHeader.byteCount
        }
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
        let units = UnitReader(self)
        var events: [LogEvent] = []
        do throws(LogError) {
            for place in places {
                guard try units.add(place, of: run, to: &events) else { return nil }
            }
        } catch {
            // It was archived; or the number is that of an archive.
            guard error.isMissingFile else { throw error }
            return nil
        }
        return events
    }
}
