/// The fields that begin an event: its kind, its time, and the numbers that lead its kind.
///
/// The table of kinds in ``numbers(ofKind:)`` is all that codec 2 knows of events. It is frozen:
/// other leading fields of one of these kinds would be another codec. See FORMAT.md, Packed rows.
///
/// ```swift
/// if let head = EventHead(body) { steps.insert(head.step) }
/// ```
public struct EventHead: Hashable, Sendable {
    /// The numbers that can lead an event, in the order in which they stand.
    public struct Numbers: OptionSet, Hashable, Sendable {
        /// The bits.
        public let rawValue: UInt8

        /// Creates a set from its bits.
        @inlinable
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The step of the attempt, or the step that reads the snapshot.
        public static let step = Numbers(rawValue: 1)
        /// The number of the attempt within its step.
        public static let attempt = Numbers(rawValue: 2)
        /// The position of an earlier event of the run.
        public static let position = Numbers(rawValue: 4)
    }

    /// The kind of the event that deletes its run: what came before it may be gone.
    public static let deletion: UInt8 = 19

    /// The event's kind, never 0.
    public let kind: UInt8
    /// Its time in microseconds.
    public let time: UInt64
    /// Its step; 0 when its kind has none.
    public private(set) var step: UInt64 = 0
    /// Its attempt; 0 when its kind has none.
    public private(set) var attempt: UInt64 = 0
    /// The position that it names; 0 when its kind has none.
    public private(set) var position: UInt64 = 0
    /// Bytes of these fields. The rest of the event follows them.
    public let byteCount: Int

    /// The numbers that lead an event of a kind.
    @inline(__always)
    public static func numbers(ofKind kind: UInt8) -> Numbers {
        switch kind {
        case 2, 3, 4, 7, 8: [.step, .attempt]
        case 5, 18: .position
        case 6: [.step, .attempt, .position]
        case 9: .step
        default: []
        }
    }

    /// Reads the head of an event's bytes.
    ///
    /// Returns `nil` when the bytes do not begin with a head: when the kind is 0, a number is
    /// not in its shortest form, or the bytes end too early.
    public init?(_ body: RawSpan) {
        var source = ByteSource(body)
        self.init(&source)
    }

    /// Reads the head at the start of a source, which then stands behind it.
    @inline(__always)
    init?(_ source: inout ByteSource) {
        let start = source.offset
        guard let kind = source.readByte(), kind != 0, let time = source.readVarint() else {
            return nil
        }
        self.kind = kind
        self.time = time
        let numbers = Self.numbers(ofKind: kind)
        if numbers.contains(.step) {
            guard let number = source.readVarint() else { return nil }
            step = number
        }
        if numbers.contains(.attempt) {
            guard let number = source.readVarint() else { return nil }
            attempt = number
        }
        if numbers.contains(.position) {
            guard let number = source.readVarint() else { return nil }
            position = number
        }
        byteCount = source.offset &- start
    }
}
