internal import LoomFormat

/// The events of one unit of an archive: spans of its payload, by run. The memory is kept from unit
/// to unit.
struct ArchiveUnitEvents {
    /// The events of one run.
    struct Part {
        let run: RunID
        /// Those of ``ArchiveUnitEvents/groups`` that are of the run.
        var groups: Range<Int>
    }

    /// The events in the payload: each group is of events that follow each other.
    private(set) var groups: [RecordGroup] = []
    private(set) var eventCount = 0
    /// The runs of the unit, in the order of their names.
    private(set) var parts: [Part] = []
    private var payload: [UInt8] = []
    private var unpacking = RowUnpacking()

    /// Begins another unit.
    mutating func removeAll() {
        payload.removeAll(keepingCapacity: true)
        groups.removeAll(keepingCapacity: true)
        eventCount = 0
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
        while let record = try reader.nextGroup() {
            switch record {
            case .declaration(let number, let id): declared[number] = try RunID(decoding: id)
            case .events(let group):
                if group.run != current {
                    guard let run = declared[group.run] else {
                        throw .invalid("run number \(group.run) was never declared")
                    }
                    guard parts.last.map({ $0.run < run }) ?? true else {
                        throw .invalid("the runs of a block are not in order")
                    }
                    parts.append(Part(run: run, groups: groups.count..<groups.count))
                    current = group.run
                }
                let last = group.sequence.addingReportingOverflow(UInt64(group.eventCount - 1))
                guard !last.overflow else { throw .invalid("an event behind the last sequence") }
                least = min(least, group.sequence)
                groups.append(group)
                eventCount += group.eventCount
                let first = parts[parts.count - 1].groups.lowerBound
                parts[parts.count - 1].groups = first..<groups.count
            }
        }
        guard eventCount == Int(header.eventCount), least == header.firstSequence else {
            throw .invalid("a unit of other events than its block says")
        }
    }

    /// The events of a group.
    @_lifetime(borrow self)
    borrowing func events(of group: RecordGroup) -> GroupEvents {
        GroupEvents(payload.rawSpan.extracting(group.bytes))
    }

    /// Calls `body` with the events of a part, in order.
    func forEachEvent(
        of part: Part, _ body: ArchiveMaking.Take
    ) throws(LogError) {
        for group in groups[part.groups] {
            try ArchiveMaking.each(
                of: events(of: group), epoch: group.epoch, position: group.position,
                sequence: group.sequence, body)
        }
    }
}

/// About how many bytes of rows some events of one run will take: never fewer.
struct ArchiveRowSize {
    private(set) var byteCount: Int
    private var due: (epoch: UInt64, position: UInt64, sequence: UInt64)?

    /// Begins with the declaration.
    init(_ run: RunID) { byteCount = 14 + run.rawValue.utf8.count }

    /// Counts the next events, which follow each other.
    mutating func add(
        epoch: UInt64, position: UInt64, sequence: UInt64, eventCount: Int, recordByteCount: Int
    ) {
        if due.map({ $0 != (epoch, position, sequence) }) ?? true {
            // Numbers of runs count in the block, which has room for few.
            byteCount += 5 + epoch.varintSize + position.varintSize + sequence.varintSize
        }
        byteCount += recordByteCount
        due = (epoch, position &+ UInt64(eventCount), sequence &+ UInt64(eventCount))
    }
}

extension ArchiveUnitEvents {
    /// About how many bytes the events of a part take in a block.
    func byteCount(of part: Part) -> Int {
        var size = ArchiveRowSize(part.run)
        for group in groups[part.groups] {
            size.add(
                epoch: group.epoch, position: group.position, sequence: group.sequence,
                eventCount: group.eventCount, recordByteCount: group.bytes.count)
        }
        return size.byteCount
    }
}
