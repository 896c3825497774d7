/// How a segment stands in the manifest.
public struct SegmentState: RawRepresentable, Hashable, Sendable {
    /// The byte in the manifest.
    public let rawValue: UInt8

    /// Creates a state from the byte in the manifest; any byte is accepted here.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Appended to; its end is found by reading it.
    public static let active = SegmentState(rawValue: 1)
    /// Full, ended by a seal block.
    public static let sealed = SegmentState(rawValue: 2)
    /// Ended by an unclean exit; what lies behind its valid end was set aside in place.
    public static let recovered = SegmentState(rawValue: 3)
}

/// What recovery could say about the end of a segment that an unclean exit left.
public struct SegmentEnding: RawRepresentable, Hashable, Sendable {
    /// The byte in the manifest.
    public let rawValue: UInt8

    /// Creates an ending from the byte in the manifest; any byte is accepted here.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Nothing is said: the segment is active or sealed, or an older version recovered it.
    public static let untold = SegmentEnding(rawValue: 0)
    /// Nothing that was acknowledged is missing.
    public static let tornProven = SegmentEnding(rawValue: 1)
    /// Power was lost while bytes were unsynced, or the last sync group is damaged: what that group
    /// held may be missing.
    public static let tornUnproven = SegmentEnding(rawValue: 2)
    /// A backup ends here: what its original did later is not in it. The active segment of a backup
    /// has it, too.
    public static let copied = SegmentEnding(rawValue: 3)
}

/// One segment in a manifest.
public struct ManifestSegment: Hashable, Sendable {
    /// Bytes of an entry on disk.
    public static let byteCount = 80

    /// Its number; also in its file name.
    public var segmentID: UInt64
    /// What it is for.
    public var role: SegmentRole
    /// Whether it may still grow.
    public var state: SegmentState
    /// What recovery found at its end.
    public var ending: SegmentEnding
    /// How often the events of an archive were merged, about; 0 for one that was live segments.
    public var tier: UInt8
    /// Sequence of its first event.
    public var firstSequence: UInt64
    /// Sequence after its last event; for the active one, when the manifest was written.
    public var endSequence: UInt64
    /// Offset after its last valid block; for the active one, when the manifest was written.
    public var validEnd: UInt64
    /// Header hash of that block: with it the chain proves every byte before.
    public var lastHash: UInt64
    /// The salt in its header.
    public var salt: UInt64
    /// Non-zero bytes behind the valid end that recovery set aside, counted to the last of them.
    public var discardedBytes: UInt64
    /// XXH3-64 of those bytes, 0 when there are none.
    public var discardedHash: UInt64
    /// Events in an archive: fewer than its sequences when runs were deleted. 0 in a live segment.
    public var eventCount: UInt64

    /// Creates an entry.
    public init(
        segmentID: UInt64, role: SegmentRole = .live, state: SegmentState,
        ending: SegmentEnding = .untold, tier: UInt8 = 0, firstSequence: UInt64,
        endSequence: UInt64, validEnd: UInt64, lastHash: UInt64, salt: UInt64,
        discardedBytes: UInt64 = 0, discardedHash: UInt64 = 0, eventCount: UInt64 = 0
    ) {
        self.segmentID = segmentID
        self.role = role
        self.state = state
        self.ending = ending
        self.tier = tier
        self.firstSequence = firstSequence
        self.endSequence = endSequence
        self.validEnd = validEnd
        self.lastHash = lastHash
        self.salt = salt
        self.discardedBytes = discardedBytes
        self.discardedHash = discardedHash
        self.eventCount = eventCount
    }
}

/// A file that the log no longer needs, as its events stand in an archive: it may be there still,
/// for readers of an older manifest, or be gone.
public struct SupersededSegment: Hashable, Sendable {
    /// Bytes of an entry on disk.
    public static let byteCount = 24

    /// Its number; also in its file name.
    public var segmentID: UInt64
    /// The first generation that does not list it as a segment.
    public var generation: UInt64
    /// What it was for; decides its file name.
    public var role: SegmentRole

    /// Creates an entry.
    public init(segmentID: UInt64, generation: UInt64, role: SegmentRole) {
        self.segmentID = segmentID
        self.generation = generation
        self.role = role
    }
}

/// That a log is a backup, or was restored from one.
public struct ManifestCopy: Hashable, Sendable {
    /// Bytes of it on disk.
    public static let byteCount = 16

    /// When the backup was made, in microseconds since 1970-01-01 UTC.
    public var time: UInt64
    /// Whether the runs that were driven then have been paused since.
    public var isSettled: Bool

    /// Creates it.
    public init(time: UInt64, isSettled: Bool = false) {
        self.time = time
        self.isSettled = isSettled
    }
}

/// Which segments make up the log: one immutable generation of it. See FORMAT.md, Manifest.
public struct Manifest: Hashable, Sendable {
    /// Counts from 1; the highest valid one holds.
    public var generation: UInt64
    /// The store that it belongs to.
    public var storeID: StoreID
    /// The writer that wrote it.
    public var writerID: UInt64
    /// That writer's epoch.
    public var writerEpoch: UInt64
    /// The number that the next segment gets; numbers are never used twice.
    public var nextSegmentID: UInt64
    /// Header hash of the generation before, 0 in the first.
    public var previousHash: UInt64
    /// Microseconds since 1970-01-01 UTC.
    public var created: UInt64
    /// Every segment, in order of sequence; the last one is active.
    public var segments: [ManifestSegment]
    /// Files that were segments and may still be there.
    public var superseded: [SupersededSegment]
    /// What the log was copied from, when it was.
    public var copy: ManifestCopy?

    /// Creates a manifest.
    public init(
        generation: UInt64, storeID: StoreID, writerID: UInt64, writerEpoch: UInt64,
        nextSegmentID: UInt64, previousHash: UInt64, created: UInt64, segments: [ManifestSegment],
        superseded: [SupersededSegment] = [], copy: ManifestCopy? = nil
    ) {
        self.generation = generation
        self.storeID = storeID
        self.writerID = writerID
        self.writerEpoch = writerEpoch
        self.nextSegmentID = nextSegmentID
        self.previousHash = previousHash
        self.created = created
        self.segments = segments
        self.superseded = superseded
        self.copy = copy
    }
}
