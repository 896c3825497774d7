internal import LoomFormat

/// What an archive must hold, summed up while it is written and again while it is read back. Sums
/// do not depend on the order, so that both sides are free in theirs.
struct ArchiveTally: Hashable {
    /// Events, those of moved blocks included.
    private(set) var eventCount: UInt64 = 0
    /// The sum of the hashes of events: of run, epoch, position, sequence and bytes. Without those
    /// in moved blocks, which nobody unpacked.
    private(set) var eventSum: UInt64 = 0
    /// The sum of the hashes of moved blocks, by what they store.
    private(set) var blockSum: UInt64 = 0
    /// The numbers of the units that were moved, in order.
    private(set) var moved: [Range<Int>] = []

    /// Adds an event of the run whose name has this hash.
    mutating func add(
        run: UInt64, epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan
    ) {
        eventCount += 1
        eventSum &+= Self.hash(run, epoch, position, sequence, body)
    }

    /// Adds the events of a group of the run whose name has this hash.
    mutating func add(_ events: consuming GroupEvents, _ group: RecordGroup, _ run: UInt64) {
        var (position, sequence) = (group.position, group.sequence)
        while let body = events.next() {
            add(run: run, epoch: group.epoch, position: position, sequence: sequence, body)
            (position, sequence) = (position &+ 1, sequence &+ 1)
        }
    }

    /// The hash of an event: that of its bytes, with its place as the seed.
    static func hash(
        _ run: UInt64, _ epoch: UInt64, _ position: UInt64, _ sequence: UInt64, _ body: RawSpan
    ) -> UInt64 {
        BlockHash.hash(body, seed: mix(mix(mix(run) ^ epoch) ^ position) ^ mix(sequence))
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        let product = (value ^ value >> 32) &* 0x9E37_79B9_7F4A_7C15
        return product ^ product >> 29
    }

    /// Adds a block that is moved as part of a unit.
    mutating func add(_ header: BlockHeader, stored: RawSpan, ofUnit number: Int) {
        eventCount += UInt64(header.eventCount)
        let fields =
            Self.mix(header.firstSequence) ^ UInt64(header.rawCheck) << 32
            ^ UInt64(header.eventCount) ^ UInt64(header.rawLength) << 16
        blockSum &+= BlockHash.hash(stored.extracting(first: header.storedLength), seed: fields)
        if let last = moved.last, last.upperBound >= number {
            moved[moved.count - 1] = last.lowerBound..<(number + 1)
        } else {
            moved.append(number..<(number + 1))
        }
    }
}
