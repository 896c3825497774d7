internal import LoomFormat

/// What an acknowledged append survives. The mode belongs to the open writer, not to the data.
public enum Durability: String, Hashable, Sendable, CaseIterable {
    /// Acknowledged when the bytes are in the kernel. Survives the end of the process by any
    /// signal; a power loss may take a suffix.
    case off
    /// As `off`, and units marked as barriers wait for a sync. A sync starts within 200 ms or 1
    /// MiB, so a power loss takes at most the last 200 ms of what is not a barrier.
    case normal
    /// Acknowledged when a sync covered it; concurrent appends share one. Nothing is lost.
    case full
}

/// Every tunable of a writer, with its default.
public struct LogOptions: Sendable {
    /// What an acknowledgement means.
    public var durability: Durability
    /// Whether the log is created when there is none.
    public var createsIfMissing = true
    /// Size of the first segment and of the first after an unclean exit; later ones double. 1 MiB.
    ///
    /// From 32,896 bytes to 1 GiB, rounded up to whole pages of 4096 bytes.
    public var firstSegmentBytes = 1 << 20
    /// Size at which segments stop doubling. 32 MiB.
    ///
    /// After a kill an opening reads the segment that was being written, and the first read all
    /// that is not archived: with 64 MiB both took twice as long, and appends were no faster.
    ///
    /// The same bounds; below ``firstSegmentBytes`` it means that segments do not double.
    public var segmentBytesMax = 32 << 20
    /// `normal`: longest time that bytes stay unsynced. 200 ms. `UInt64.max`: no limit.
    public var syncDelayNanoseconds: UInt64 = 200_000_000
    /// `normal`: unsynced bytes that start a sync. 1 MiB.
    public var syncBytes = 1 << 20
    /// `normal`: unsynced bytes above which every append waits for its sync. 16 MiB.
    public var unsyncedBytesMax = 16 << 20
    /// Quiet time after which a mark proves on disk that the end of the log is its end. 50 ms.
    /// `UInt64.max`: never.
    public var idleMarkNanoseconds: UInt64 = 50_000_000
    /// How long to wait for another writer to go away before giving up. 0: not at all.
    /// `UInt64.max`: for ever.
    public var lockWaitNanoseconds: UInt64 = 0
    /// Who does the work in the background.
    public var driver = Driver.threads
    /// Whether a store of runs archives segments that have ended: their events take a tenth of the
    /// space there, or less, and have an index. A log without runs never does.
    public var archivesSegments = true
    /// How segments that have ended are archived; `nil`: not at all.
    package var archiving: ArchivingOptions?
    /// Segments that a manifest may list; tests lower it.
    var segmentCountMax = FormatLimits.manifestSegmentCountMax

    /// Who does the work in the background.
    public enum Driver: Hashable, Sendable {
        /// Threads of the writer's own: one for syncs, one that prepares the next segment, and one
        /// that archives those that have ended.
        case threads
        /// The callers, inline and in order: for simulations. Timers run at
        /// ``LogWriter/runTimers()``.
        case inline
    }

    /// Creates the defaults with the given durability.
    public init(durability: Durability = .normal) {
        self.durability = durability
    }
}

extension LogOptions {
    /// These options with sizes in whole pages.
    ///
    /// - Throws: ``LogError`` with code `limitExceeded` that names the option and its bounds.
    func checked() throws(LogError) -> LogOptions {
        let least = SegmentHeader.byteCount + 4 * FormatLimits.sealReserveBytes
        let sizes = least...FormatLimits.segmentBytesMax
        try Self.check(firstSegmentBytes, "firstSegmentBytes", sizes)
        try Self.check(segmentBytesMax, "segmentBytesMax", sizes)
        try Self.check(syncBytes, "syncBytes", 0...Int.max)
        try Self.check(unsyncedBytesMax, "unsyncedBytesMax", 0...Int.max)
        var checked = self
        // A close block and a seal may come behind what units fill.
        let most = FormatLimits.segmentBytesMax - 2 * FormatLimits.sealReserveBytes
        checked.firstSegmentBytes = min(
            most, firstSegmentBytes.roundedUp(to: FormatLimits.pageBytes))
        checked.segmentBytesMax = min(most, segmentBytesMax.roundedUp(to: FormatLimits.pageBytes))
        return checked
    }

    private static func check(
        _ value: Int, _ name: String, _ bounds: ClosedRange<Int>
    ) throws(LogError) {
        guard !bounds.contains(value) else { return }
        let words =
            bounds.upperBound == .max
            ? "it must not be negative"
            : "it must lie between \(bounds.lowerBound) and \(bounds.upperBound)"
        throw LogError(.limitExceeded, "the option \(name) is \(value): \(words)")
    }
}

/// A place in the log: the sequence after the last event of a unit.
///
/// Positions of one log are ordered as its units are. A position is durable when every event before
/// it is.
public struct LogPosition: Hashable, Comparable, Sendable {
    /// The sequence of the event that comes next; the first event of a log has sequence 1.
    public let nextSequence: UInt64

    /// Creates a position.
    public init(nextSequence: UInt64) { self.nextSequence = nextSequence }

    /// The place before the first event.
    public static let start = LogPosition(nextSequence: 1)

    /// Whether the first comes before the second.
    public static func < (a: LogPosition, b: LogPosition) -> Bool {
        a.nextSequence < b.nextSequence
    }
}

/// What ``LogWriter/append(_:)`` did: the bytes are in the kernel, and this says what is still due.
public struct Appended: Hashable, Sendable {
    /// The place after the unit.
    public let position: LogPosition
    /// Whether the unit counts as acknowledged only once it is durable: a barrier in `normal`,
    /// every unit in `full`, every unit while too many bytes are unsynced.
    public let needsSync: Bool
    /// Where the unit begins.
    package let place: LogPlace
}
