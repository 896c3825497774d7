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
    private var spans: [[Span]] = []
    /// Where in `spans` those of each run are.
    private var places = RunNumbers()
    private(set) var eventCount = 0

    /// - Parameter byteCount: Bytes of the segments that will be read: their events have fewer, and
    ///   memory that is not used is not taken.
    init(byteCount: Int = 0) { bytes.reserveCapacity(byteCount) }

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
        var sequence = unit.firstSequence
        for event in reader.events {
            spans[place(of: event.run)].append(
                Span(
                    epoch: event.epoch, position: event.position, sequence: sequence,
                    offset: UInt32(base + event.body.lowerBound), length: UInt32(event.body.count)))
            sequence += 1
        }
        eventCount += reader.events.count
    }

    private mutating func place(of run: RunID) -> Int {
        let place = places.number(run)
        if place == spans.count { spans.append([]) }
        return place
    }

    /// The runs in order of the bytes of their names.
    var runs: [RunID] { places.names.sorted() }

    /// The events of a run, in the order in which they came: by epoch and position.
    func events(of run: RunID) -> [Span] { places[run].map { spans[$0] } ?? [] }

    /// The bytes of an event.
    @_lifetime(borrow self)
    borrowing func body(_ span: Span) -> RawSpan {
        let start = Int(span.offset)
        return bytes.rawSpan.extracting(start..<(start + Int(span.length)))
    }
}
