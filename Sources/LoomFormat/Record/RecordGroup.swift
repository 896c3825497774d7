/// Events of one run that follow each other in a unit, with nothing between their records.
public struct RecordGroup: Hashable, Sendable {
    /// The number of the run.
    public let run: UInt64
    /// The epoch of all of them.
    public let epoch: UInt64
    /// The position of the first; the others follow it.
    public let position: UInt64
    /// The sequence of the first, in an archive; the others follow it.
    public let sequence: UInt64
    /// Where their records stand in the payload.
    public let bytes: Range<Int>
    /// How many they are.
    public let eventCount: Int
    /// The kinds of them.
    public let kinds: KindSet
}

/// Kinds of events, the first byte of each. Those from 63 on are not told apart; an event without a
/// byte has none.
public struct KindSet: Hashable, Sendable {
    private var bits: UInt64 = 0

    /// Creates the empty set.
    public init() {}

    /// Creates the set of the kinds that fit.
    public init(where fits: (UInt8) -> Bool) {
        for kind in UInt8.min...UInt8.max where fits(kind) { insert(kind) }
    }

    /// Adds a kind.
    @inline(__always)
    mutating func insert(_ kind: UInt8) { bits |= Self.bit(of: kind) }

    /// Whether a kind may be in the set: below 63, whether it is.
    public func mayHold(_ kind: UInt8) -> Bool { bits & Self.bit(of: kind) != 0 }

    /// Whether some kind may be in both sets.
    public func mayMeet(_ other: KindSet) -> Bool { bits & other.bits != 0 }

    @inline(__always)
    private static func bit(of kind: UInt8) -> UInt64 { 1 &<< UInt64(min(kind, 63)) }
}

/// What ``RecordReader/nextGroup()`` comes to.
public enum RecordGroupView: ~Escapable {
    /// A run and the number that stands for it in this segment.
    case declaration(number: UInt64, id: RawSpan)
    /// Events of one run.
    case events(RecordGroup)
}

/// The bytes of the events of a group, one after the other.
///
/// ```swift
/// var events = GroupEvents(payload.extracting(group.bytes))
/// while let body = events.next() { fold.take(body) }
/// ```
public struct GroupEvents: ~Escapable {
    private var source: ByteSource

    /// Begins with the first.
    ///
    /// - Parameter records: The records of a ``RecordGroup``, or of several that are joined.
    @_lifetime(copy records)
    public init(_ records: RawSpan) { source = ByteSource(records) }

    /// The next event's bytes; `nil` behind the last.
    @_lifetime(copy self)
    public mutating func next() -> RawSpan? {
        guard source.readByte() != nil, let count = source.readLength() else { return nil }
        return source.readBytes(count)
    }

    /// The next event's bytes as ``next()`` returns them, and their head.
    ///
    /// - Parameter head: Gets what ``EventHead/init(_:)`` makes of the bytes. It costs less here,
    ///   where bytes follow those of the event.
    @_lifetime(copy self)
    public mutating func next(_ head: inout EventHead?) -> RawSpan? {
        guard source.readByte() != nil, let count = source.readLength() else { return nil }
        var ahead = source
        head = EventHead(&ahead)
        if ahead.offset &- source.offset > count { head = nil }
        return source.readBytes(count)
    }
}
