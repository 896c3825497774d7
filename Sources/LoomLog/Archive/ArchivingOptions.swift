/// How a writer archives the segments that it ends. Without it a log keeps its segments.
package struct ArchivingOptions: Sendable {
    /// What the events mean, as far as archives have to know it.
    package var semantics: any ArchiveSemantics
    /// Bytes of ended segments above which appends that need a new one wait for the archiver, those
    /// not counted that were found at opening; `nil` for four segments of the greatest size.
    package var waitingBytesMax: Int?
    /// Whether archives are merged.
    package var merges = true
    /// How long a superseded file stays for a reader that still holds its generation. 10 minutes.
    package var pinNanosecondsMax: UInt64 = 600_000_000_000
    /// How long ``LogWriter/close()`` archives, together with the archive that is being made then.
    /// 1 second.
    package var closeNanosecondsMax: UInt64 = 1_000_000_000
    /// Bytes that a close leaves live: above them it ends the segment and archives what has ended,
    /// so that the next opening has less to read. 8 MiB.
    package var liveBytesKept = 8 << 20
    /// Told behind each archive that was made of ended segments, by the thread that made it. Must
    /// be short.
    package var onArchive: @Sendable () -> Void = {}

    /// Creates the defaults.
    package init(_ semantics: any ArchiveSemantics) { self.semantics = semantics }
}
