package import LoomFormat

/// What a compaction is to do.
package struct CompactionOrder: Hashable, Sendable {
    /// Whether the active segment is ended first, so that everything appended so far is archived
    /// and looked at. Otherwise only what was archived before.
    package var endsSegment = true
    /// Whether files that were replaced go at once, whoever reads them: what was deleted is to be
    /// gone. Readers that hold one of them go on in the new one.
    package var removesAtOnce = false

    /// Creates the defaults.
    package init(endsSegment: Bool = true, removesAtOnce: Bool = false) {
        self.endsSegment = endsSegment
        self.removesAtOnce = removesAtOnce
    }
}

/// How far a compaction has come.
package struct CompactionProgress: Hashable, Sendable {
    /// Archives that were looked at.
    package var archivesDone = 0
    /// Archives that there are to be looked at.
    package var archiveCount = 0
    /// Archives that were written anew.
    package var rewritten = 0
    /// Bytes of all files of events as it began, but for the one that is written to.
    package var bytesBefore: UInt64 = 0
    /// Bytes of these and of what took their place by now; appends are not among them.
    package var bytesAfter: UInt64 = 0
    /// Paths below the log of the replaced files that are gone.
    package var removed: [String] = []

    /// Creates the beginning.
    package init() {}

    /// Notes that some files were replaced.
    mutating func replace(_ before: UInt64, by after: UInt64) {
        rewritten += 1
        bytesAfter = (bytesAfter + after) - min(before, bytesAfter + after)
    }
}

/// What a rewrite would do to the events of a run.
package struct RewrittenRun: Hashable, Sendable {
    /// Events that were gone through.
    package var eventCount: UInt64 = 0
    /// Bytes of them as they are.
    package var bytesBefore: UInt64 = 0
    /// Bytes of them as they would be.
    package var bytesAfter: UInt64 = 0
    /// How many would have other bytes, by the kind that each begins with; those of a deleted run
    /// would be gone.
    package var changed: [UInt8: UInt64] = [:]
    /// How many would be gone.
    package var goneCount: UInt64 = 0

    /// Creates a run of no events.
    package init() {}

    /// Adds what another archive has of the run.
    package mutating func add(_ other: RewrittenRun) {
        eventCount += other.eventCount
        bytesBefore += other.bytesBefore
        bytesAfter += other.bytesAfter
        goneCount += other.goneCount
        changed.merge(other.changed, uniquingKeysWith: +)
    }
}

/// What a compaction would do to what is archived.
package struct CompactionMeasure: Sendable {
    /// Archives that there are.
    package var archiveCount = 0
    /// Those that would be rewritten.
    package var rewritten = 0
    /// Bytes of all archives.
    package var bytesBefore: UInt64 = 0
    /// Bytes that they would have.
    package var bytesAfter: UInt64 = 0
    /// Bytes of segments that are not archived yet: of these nothing is known before they are.
    package var liveBytes: UInt64 = 0
    /// The runs that would change.
    package var runs: [RunID: RewrittenRun] = [:]

    /// Creates the measure of no archive.
    package init() {}
}
