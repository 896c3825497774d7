internal import LoomFormat
internal import LoomStorage

/// The archiver's part of what a writer changes.
struct ArchivingState {
    /// Whether a manifest has come that was not looked at yet.
    var hasWork = true
    /// Whether a thread makes an archive, or removes files, now.
    var isWorking = false
    /// Whether somebody else has the archiver's place, or waits for it.
    var isReserved = false
    /// The thread of whoever asked for the work, while it is told how far that is.
    var toldThread: UInt64?
    /// When the work must have ended, once the writer goes away.
    var stopsAt: UInt64?
    /// Whether appends that need a new segment wait until there is less to archive.
    var holdsRolls = false
    /// Why the last job was put off.
    var failure: LogError?
    /// When it is tried again, and how long the pause was.
    var retryAt: UInt64 = 0
    var pause: UInt64 = 0
    /// Which tables are looked at before the next job.
    var tableCheck = WriterCore.TableCheck.ends
    /// Archives whose tables could not be made anew: damage of their events.
    var unmendable: Set<UInt64> = []
    /// When superseded files are looked at again that readers held.
    var sweepAt: UInt64?
    /// Segments that had ended before this writer began: nobody waits for these.
    var found: Set<UInt64>
    /// When the superseded files were superseded, as far as this writer knows.
    var supersededSince: [UInt64: UInt64]

    /// The first pause and the longest one between two tries.
    private static let pauses: ClosedRange<UInt64> = 1_000_000_000...300_000_000_000

    init(_ manifest: Manifest, now: UInt64) {
        found = Set(ArchivePlan.waiting(manifest.segments).map(\.segmentID))
        supersededSince = Dictionary(
            manifest.superseded.map { ($0.segmentID, now) }, uniquingKeysWith: max)
    }

    /// Whether there is something to do now.
    func isDue(_ now: UInt64) -> Bool {
        guard stopsAt == nil, !isWorking, !isReserved else { return false }
        return (hasWork && retryAt <= now) || (sweepAt ?? .max) <= now
    }

    /// When there may be something to do, if nothing happens until then.
    var wakesAt: UInt64? {
        if isReserved { return nil }
        let times = [hasWork ? retryAt : nil, sweepAt].compactMap { $0 }
        return times.min()
    }

    /// Puts the job off: appends go on.
    mutating func fail(_ error: LogError, now: UInt64) {
        failure = error
        if error.code == .corrupt { tableCheck = .all }
        pause = min(max(pause * 2, Self.pauses.lowerBound), Self.pauses.upperBound)
        retryAt = now.addingSaturating(pause)
    }

    mutating func succeed() { (failure, pause, retryAt) = (nil, 0, 0) }
}
