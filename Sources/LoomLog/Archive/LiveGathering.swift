internal import LoomFormat
internal import LoomStorage

/// The events of sealed live segments, gathered by run: spans of one buffer, not an array for each
/// event. 40 bytes beside the records of those that follow each other.
struct LiveGathering {
    /// Events that follow each other by position and sequence, in the buffer.
    struct Span {
        let epoch: UInt64
        /// That of the first event.
        let position: UInt64
        /// That of the first event.
        let sequence: UInt64
        fileprivate let offset: UInt32
        fileprivate(set) var byteCount: UInt32
        fileprivate(set) var eventCount: UInt32

        /// Whether a group of such a place goes on with the span.
        fileprivate func isFollowed(
            by group: SegmentReader.Group, _ sequence: UInt64, at offset: Int
        ) -> Bool {
            let count = UInt64(eventCount)
            return self.sequence &+ count == sequence && position &+ count == group.position
                && epoch == group.epoch && Int(self.offset) + Int(byteCount) == offset
        }
    }

    /// What is gathered of a run.
    private struct Run {
        var spans: [Span] = []
        var mayLeaveOut = false
    }

    private var bytes: [UInt8] = []
    private var runs: [Run] = []
    /// Where in `runs` each of them is.
    private var places = RunNumbers()
    private(set) var eventCount = 0
    private let semantics: any ArchiveSemantics
    /// The kinds about events of which ``semantics`` is asked.
    private let asked: KindSet

    /// - Parameters:
    ///   - byteCount: Bytes of the segments that will be read: their events have fewer, and memory
    ///     that is not used is not taken.
    init(_ semantics: any ArchiveSemantics, byteCount: Int = 0) {
        self.semantics = semantics
        asked = KindSet(where: semantics.letsLeaveOut(kind:))
        bytes.reserveCapacity(byteCount)
    }

    /// Takes every event of a segment that a manifest lists as ended.
    mutating func read(
        _ reader: SegmentReader, _ pace: ArchivePace = ArchivePace()
    ) throws(LogError) {
        var reader = reader
        /// Where in `runs` each name of the segment is, as far as it was met.
        var known: [Int?] = []
        let end = Int(reader.entry.validEnd)
        while true {
            switch try reader.next(limit: end) {
            case .unit(let unit):
                try take(unit, reader, &known)
                try pace.pass(reader.payload.byteCount)
            case .stop(.end):
                guard reader.meetsManifest else {
                    throw LogError(
                        .corrupt, "the segment ends before the manifest says",
                        path: reader.path, offset: reader.validEnd)
                }
                return
            case .stop(.fault(let fault, let offset)):
                throw LogError(.corrupt, fault.description, path: reader.path, offset: offset)
            }
        }
    }

    private mutating func take(
        _ unit: SegmentReader.Unit, _ reader: borrowing SegmentReader, _ known: inout [Int?]
    ) throws(LogError) {
        let payload = reader.payload
        guard bytes.count + payload.byteCount <= Int(UInt32.max) else {
            throw LogError(.limitExceeded, "more events than one archive can gather")
        }
        var sequence = unit.firstSequence
        for group in reader.groups {
            let place = place(of: group.run, reader, &known)
            let (records, offset) = (payload.extracting(group.bytes), bytes.count)
            unsafe records.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
            Self.add(group, sequence, at: offset, to: &runs[place])
            if group.kinds.mayMeet(asked), mayLeaveOut(records) { runs[place].mayLeaveOut = true }
            sequence &+= UInt64(group.eventCount)
            eventCount += group.eventCount
        }
    }

    private static func add(
        _ group: SegmentReader.Group, _ sequence: UInt64, at offset: Int, to run: inout Run
    ) {
        let (count, last) = (UInt32(group.eventCount), run.spans.count - 1)
        if last >= 0, run.spans[last].isFollowed(by: group, sequence, at: offset) {
            run.spans[last].byteCount += UInt32(group.bytes.count)
            run.spans[last].eventCount += count
        } else {
            run.spans.append(
                Span(
                    epoch: group.epoch, position: group.position, sequence: sequence,
                    offset: UInt32(offset), byteCount: UInt32(group.bytes.count),
                    eventCount: count))
        }
    }

    private func mayLeaveOut(_ records: RawSpan) -> Bool {
        var events = GroupEvents(records)
        while let body = events.next() {
            if semantics.letsLeaveOut(body) { return true }
        }
        return false
    }

    private mutating func place(
        of name: Int, _ reader: borrowing SegmentReader, _ known: inout [Int?]
    ) -> Int {
        while known.count < reader.names.count { known.append(nil) }
        if let place = known[name] { return place }
        let place = places.number(reader.names[name])
        if place == runs.count { runs.append(Run()) }
        known[name] = place
        return place
    }

    /// The names of the runs in order of their bytes.
    var names: [RunID] { places.names.sorted() }

    /// Whether an event of the run may let events be left out, or bytes of them.
    func mayLeaveOut(_ run: RunID) -> Bool {
        places[run].map { runs[$0].mayLeaveOut } ?? false
    }

    /// Bytes of the rows of a run's events, or about so many.
    func byteCount(of run: RunID) -> Int {
        var size = ArchiveRowSize(run)
        for span in spans(of: run) {
            size.add(
                epoch: span.epoch, position: span.position, sequence: span.sequence,
                eventCount: Int(span.eventCount), recordByteCount: Int(span.byteCount))
        }
        return size.byteCount
    }

    /// Calls `body` with the events of a run, in the order in which they came: by epoch and
    /// position.
    func forEachEvent(
        of run: RunID, _ body: ArchiveMaking.Take
    ) throws(LogError) {
        for span in spans(of: run) {
            let start = Int(span.offset)
            let records = bytes.rawSpan.extracting(start..<(start + Int(span.byteCount)))
            try ArchiveMaking.each(
                of: GroupEvents(records), epoch: span.epoch, position: span.position,
                sequence: span.sequence, body)
        }
    }

    private func spans(of run: RunID) -> [Span] { places[run].map { runs[$0].spans } ?? [] }
}
