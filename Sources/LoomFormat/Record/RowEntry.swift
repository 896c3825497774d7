/// The byte that begins an entry of packed rows. See FORMAT.md, Packed rows.
enum RowEntry {
    /// The bits of the kind.
    static let kindMask: UInt8 = 0x1F
    /// The kind of contexts, jumps and declarations.
    static let noEvent: UInt8 = 0
    /// A context.
    static let context: UInt8 = 0x00
    /// A context whose run, epoch and position are those that were due.
    static let jump: UInt8 = 0x80
    /// A declaration.
    static let declaration: UInt8 = 0x40
    /// The kind stands in the next byte.
    static let longKind: UInt8 = 30
    /// The event stands as it is.
    static let asItIs: UInt8 = 31

    /// The event's time is that of the event before.
    static let sameTime: UInt8 = 0x80
    /// The event's numbers differ as those of the last event of its kind did.
    static let sameNumbers: UInt8 = 0x40
    /// What follows the numbers is as long as in the last event of its kind.
    static let sameLength: UInt8 = 0x20
    /// Neither numbers nor length follow.
    static let sameShape = sameNumbers | sameLength

    /// The most bytes that the entry of an event takes beside the rest of the event: kind, three
    /// numbers, a length.
    static let headBytesMax = 2 + 3 * 10 + 10
}

/// What packing and unpacking remember from entry to entry. All of it begins anew in each block.
struct RunningValues: Sendable {
    var hasContext = false
    var run: UInt64 = 0
    var epoch: UInt64 = 0
    var position: UInt64 = 0
    var sequence: UInt64 = 0
    var time: UInt64 = 0
    var step: UInt64 = 0
    var attempt: UInt64 = 0

    /// Takes the next event into account, whatever it holds.
    @inline(__always)
    mutating func countEvent() {
        position &+= 1
        sequence &+= 1
    }

    /// Takes a context into account.
    mutating func enter(run: UInt64, epoch: UInt64, position: UInt64, sequence: UInt64) {
        (self.run, self.epoch, self.position, self.sequence) = (run, epoch, position, sequence)
        (step, attempt) = (0, 0)
        hasContext = true
    }
}

/// What is remembered of the last event of one kind.
struct KindMemory: Hashable, Sendable {
    /// By how much the numbers differed from those that were due, modulo 2^64; 0 for a number that
    /// the kind has not.
    var step: UInt64 = 0
    var attempt: UInt64 = 0
    var position: UInt64 = 0
    /// Bytes behind the numbers.
    var restLength = 0

    @inline(__always)
    func hasSameNumbers(as other: KindMemory) -> Bool {
        (step ^ other.step) | (attempt ^ other.attempt) | (position ^ other.position) == 0
    }

    /// One for every kind that a byte can name.
    static let none = [KindMemory](repeating: KindMemory(), count: 256)
}
