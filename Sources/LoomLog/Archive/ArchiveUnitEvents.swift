internal import LoomFormat

/// The events of one unit of an archive: spans of its payload, by run. The memory is kept from unit
/// to unit.
struct ArchiveUnitEvents {
    /// An event in the payload.
    struct Span {
        let epoch: UInt64
        let position: UInt64
        let sequence: UInt64
        fileprivate let offset: Int
        fileprivate let length: Int
    }

    /// The events of one run.
    struct Part {
        let run: RunID
        var spans: Range<Int>
    }

    private(set) var spans: [Span] = []
    /// The runs of the unit, in the order of their names.
    private(set) var parts: [Part] = []
    private var payload: [UInt8] = []
    private var unpacking = RowUnpacking()

    /// Begins another unit.
    mutating func removeAll() {
        payload.removeAll(keepingCapacity: true)
        spans.removeAll(keepingCapacity: true)
        parts.removeAll(keepingCapacity: true)
    }

    /// Decodes the next block of the unit, whose hashes were checked.
    mutating func append(_ header: BlockHeader, _ stored: RawSpan) throws(FormatError) {
        try ArchiveUnit.checkSize(payload.count + header.rawLength)
        try header.decodePayload(stored, into: &payload, unpacking: &unpacking)
    }

    /// Reads the records of the unit, all of whose blocks were appended.
    ///
    /// - Parameter header: That of its last block.
    mutating func read(_ header: BlockHeader) throws(FormatError) {
        let payload = self.payload
        var reader = RecordReader(payload.rawSpan, in: .archive)
        var declared: [UInt64: RunID] = [:]
        var (current, least): (UInt64?, UInt64) = (nil, .max)
        while let record = try reader.next() {
            switch record {
            case .declaration(let number, let id): declared[number] = try RunID(decoding: id)
            case .event(let number, let epoch, let position, let body):
                if number != current {
                    guard let run = declared[number] else {
                        throw .invalid("run number \(number) was never declared")
                    }
                    guard parts.last.map({ $0.run < run }) ?? true else {
                        throw .invalid("the runs of a block are not in order")
                    }
                    parts.append(Part(run: run, spans: spans.count..<spans.count))
                    current = number
                }
                least = min(least, reader.sequence)
                spans.append(
                    Span(
                        epoch: epoch, position: position, sequence: reader.sequence,
                        offset: reader.offset - body.byteCount, length: body.byteCount))
                parts[parts.count - 1].spans = parts[parts.count - 1].spans.lowerBound..<spans.count
            }
        }
        guard spans.count == Int(header.eventCount), least == header.firstSequence else {
            throw .invalid("a unit of other events than its block says")
        }
    }

    /// The bytes of an event.
    @_lifetime(borrow self)
    borrowing func body(_ span: Span) -> RawSpan {
        payload.rawSpan.extracting(span.offset..<(span.offset + span.length))
    }
}

/// About how many bytes of rows some events of one run will take: never fewer.
struct ArchiveRowSize {
    private(set) var byteCount: Int
    private var due: (epoch: UInt64, position: UInt64, sequence: UInt64)?

    /// Begins with the declaration.
    init(_ run: RunID) { byteCount = 14 + run.rawValue.utf8.count }

    /// Counts the next event.
    mutating func add(epoch: UInt64, position: UInt64, sequence: UInt64, bodyByteCount: Int) {
        if due.map({ $0 != (epoch, position, sequence) }) ?? true {
            // Numbers of runs count in the block, which has room for few.
            byteCount += 5 + epoch.varintSize + position.varintSize + sequence.varintSize
        }
        byteCount += 1 + UInt64(bodyByteCount).varintSize + bodyByteCount
        due = (epoch, position &+ 1, sequence &+ 1)
    }
}

extension ArchiveUnitEvents {
    /// About how many bytes the events of a part take in a block.
    func byteCount(of part: Part) -> Int {
        var size = ArchiveRowSize(part.run)
        for span in spans[part.spans] {
            size.add(
                epoch: span.epoch, position: span.position, sequence: span.sequence,
                bodyByteCount: span.length)
        }
        return size.byteCount
    }
}
