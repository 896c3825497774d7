internal import LoomFormat
internal import LoomStorage

/// The events of sealed live segments, gathered by run: spans of one buffer, not an array for each
/// event. 40 bytes beside the events' own bytes.
struct LiveGathering {
    /// An event in the buffer.
    struct Span {
        let epoch: UInt64
        let position: UInt64
        let sequence: UInt64
        let offset: UInt32
        let length: UInt32

        /// Bytes of its record: the tag and the length are rows, too.
        var recordByteCount: Int { 1 + UInt64(length).varintSize + Int(length) }
    }

    private var bytes: [UInt8] = []
    private var spans: [RunID: [Span]] = [:]
    private(set) var eventCount = 0

    /// Takes every event of a segment that a manifest lists as ended.
    mutating func read(
        _ reader: SegmentReader, _ pace: ArchivePace = ArchivePace()
    ) throws(LogError) {
        var reader = reader
        let end = Int(reader.entry.validEnd)
        while true {
            switch try reader.next(limit: end) {
            case .unit(let unit):
                try take(unit, reader)
                try pace.pass(reader.payload.count)
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
        _ unit: SegmentReader.Unit, _ reader: borrowing SegmentReader
    ) throws(LogError) {
        guard bytes.count + reader.payload.count <= Int(UInt32.max) else {
            throw LogError(.limitExceeded, "more events than one archive can gather")
        }
        let base = bytes.count
        bytes += reader.payload
        for (index, event) in reader.events.enumerated() {
            spans[event.run, default: []].append(
                Span(
                    epoch: event.epoch, position: event.position,
                    sequence: unit.firstSequence + UInt64(index),
                    offset: UInt32(base + event.body.lowerBound), length: UInt32(event.body.count)))
        }
        eventCount += reader.events.count
    }

    /// The runs in order of the bytes of their names.
    var runs: [RunID] { spans.keys.sorted() }

    /// The events of a run, in the order in which they came: by epoch and position.
    func events(of run: RunID) -> [Span] { spans[run] ?? [] }

    /// Whether one of a run's events may delete it.
    func mayBeDeleted(_ spans: [Span]) -> Bool {
        spans.contains { $0.length > 0 && bytes[Int($0.offset)] == EventHead.deletion }
    }

    /// The bytes of an event.
    @_lifetime(borrow self)
    borrowing func body(_ span: Span) -> RawSpan {
        let start = Int(span.offset)
        return bytes.rawSpan.extracting(start..<(start + Int(span.length)))
    }
}
