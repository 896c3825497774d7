/// A moment in microseconds since 1970-01-01 UTC, as recorded. Order is by sequence, never by time.
public struct EventTime: Hashable, Comparable, Sendable {
    /// Microseconds since the epoch.
    public let microseconds: UInt64

    /// Creates a moment.
    public init(microseconds: UInt64) { self.microseconds = microseconds }

    /// Whether the first moment was before the second.
    public static func < (a: EventTime, b: EventTime) -> Bool { a.microseconds < b.microseconds }
}
