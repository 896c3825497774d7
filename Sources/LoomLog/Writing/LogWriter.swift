public import LoomFormat
public import LoomStorage
public import SystemPackage

/// The one writer of a log: appends units, syncs them, rolls to new segments.
///
/// Thread-safe and synchronous. A unit is in the kernel when ``append(_:)`` returns and so survives
/// the end of the process by any signal; what a power loss can take is decided by the
/// ``Durability`` that the writer was opened with. Syncs run on a thread of the writer's own, or on
/// the thread of a caller that chose to block in ``commit(_:)``; never inside `append`.
///
/// Before a barrier, a new file and a close, the writer checks that the log is still where it was
/// opened. Once the directory, LOCK or the active segment was moved, deleted or replaced, the
/// writer is poisoned. In a child that the process forks, the writer is closed.
///
/// ```swift
/// let writer = try LogWriter(path: "runs.loom", options: LogOptions(durability: .full))
/// var unit = RecordUnit(run: try RunID("demo"), epoch: 1, position: 0)
/// unit.append(Array("hello".utf8))
/// try writer.commit(unit)      // durable when it returns
/// try writer.close()
/// ```
///
/// ## Topics
/// - ``append(_:)``
/// - ``commit(_:)``
/// - ``whenDurable(_:_:)``
/// - ``waitUntilDurable(_:)``
/// - ``close()``
public final class LogWriter: Sendable {
    /// Told once: `nil` when the position is durable, else why it may never be.
    ///
    /// Runs on the thread that synced, or on one that closes or ends the writer, and must be short:
    /// the next sync waits for it. It may call the writer: append, commit, wait, close it, or let
    /// go of the last reference to it.
    public typealias DurableCallback = @Sendable (LogError?) -> Void

    let core: WriterCore
    /// What opening found at the end of the log.
    public let recovery: RecoveryReport

    /// Opens the log at `path`, recovering what an unclean exit left; creates it when there is
    /// none.
    ///
    /// Costs a scan of the active segment, at most 32 MiB by default, whatever the log holds.
    ///
    /// - Throws: ``LogError`` with code `locked` when another writer has it, `corrupt` when durable
    ///   bytes are damaged, `unsupportedVersion`, `notALog`, `outOfSpace`, `io`.
    public init(
        path: FilePath, options: LogOptions = LogOptions(),
        storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        let opening = try LogOpening(path: path, options: options, storage: storage)
        let opened = try opening.run()
        recovery = opened.report
        core = WriterCore(opening: opening, opened: opened)
        try core.start()
    }

    deinit { core.abandon() }

    /// Who holds the log, in the words that ``LogReader/writer()`` gives others.
    public var holder: String { core.holder }

    /// A reader of this writer's own log, whatever the path leads to by now.
    ///
    /// It may be used after the writer was closed.
    public func reader() throws(LogError) -> LogReader {
        try LogReader(core.maker.directory, core.storage)
    }

    /// When the backup was made that this log was restored from, in microseconds since 1970-01-01
    /// UTC, until ``settleCopy()``; `nil` for any other log.
    ///
    /// Runs that were driven then went on in the original, and what they did is not known here.
    public var unsettledCopy: UInt64? { core.manifests.manifest.unsettledCopy }

    /// When the backup was made that this log was restored from, however long ago.
    public var copyTime: UInt64? { core.manifests.manifest.copy?.time }

    /// Records that the runs which were driven when the backup was made are paused.
    public func settleCopy() throws(LogError) {
        try core.manifests.edit { $0.copy?.isSettled = true }
    }

    /// The place after the last unit appended.
    public var position: LogPosition { core.monitor.withLock { $0.position } }

    /// The place before which every event is durable.
    public var durablePosition: LogPosition {
        core.monitor.withLock { LogPosition(nextSequence: $0.durableSequence) }
    }

    /// Measures the log, and says why segments that have ended are not archived, where that fails:
    /// appends go on, and it is tried again.
    public func overview() throws(LogError) -> LogOverview {
        var overview = try reader().overview()
        overview.archivingFailure = core.monitor.withLock { $0.archiving.failure }
        return overview
    }

    /// Appends a unit; its bytes are in the kernel and visible to readers when this returns.
    ///
    /// Never waits for a sync of the unit. It waits for a new segment when the active one is full
    /// and the next is not ready: a few milliseconds, once in 32 MiB.
    ///
    /// - Returns: The place after the unit, and whether it counts as acknowledged only once
    /// durable.
    /// - Throws: ``LogError``: `outOfSpace` and nothing was appended; `poisoned`; `closed`;
    ///   `limitExceeded` for an empty unit or one above 256 MiB.
    @discardableResult
    public func append(_ unit: RecordUnit) throws(LogError) -> Appended {
        try core.append(unit)
    }

    /// Calls back once everything before `position` is durable, or will never be by this writer.
    ///
    /// Asks for a sync at once. May call back before it returns. When it calls back, the sync is
    /// over, whether it failed or not.
    public func whenDurable(_ position: LogPosition, _ callback: @escaping DurableCallback) {
        core.whenDurable(position, callback)
    }

    /// Blocks until everything before `position` is durable. Not for Swift's cooperative threads.
    public func waitUntilDurable(_ position: LogPosition) throws(LogError) {
        try core.waitUntilDurable(position)
    }

    /// Appends a unit and blocks until it is acknowledged as the durability mode has it.
    @discardableResult
    public func commit(_ unit: RecordUnit) throws(LogError) -> LogPosition {
        let appended = try append(unit)
        if appended.needsSync { try waitUntilDurable(appended.position) }
        return appended.position
    }

    /// Ends in good order: syncs, writes the close block, gives the lock up.
    ///
    /// Everything appended is durable when this returns, in every mode. The writer cannot be used
    /// afterwards. Calling it twice is allowed.
    public func close() throws(LogError) {
        try core.close()
    }

    /// Rewrites now what a rewrite makes smaller, so that nothing is stored that no read shows, and
    /// nothing of runs that were deleted. Not for Swift's cooperative threads.
    ///
    /// - Parameter progress: Called behind each archive. What it throws ends the work; what was
    ///   rewritten stays so, as if it had been asked for that much.
    /// - Throws: ``LogError``: `outOfSpace` before anything was changed, when the disk has no room
    ///   for the largest file that may be rewritten; `corrupt` with the file that is damaged.
    package func compact(
        _ order: CompactionOrder = CompactionOrder(),
        progress: (CompactionProgress) throws(LogError) -> Void = { (_) throws(LogError) in }
    ) throws(LogError) -> CompactionProgress {
        try core.compact(order, progress)
    }

    /// Makes the tables of archives anew from their events. Not for Swift's cooperative threads.
    ///
    /// - Parameter onlyDamaged: Whether tables stay that can be read and are of this version.
    /// - Throws: As ``compact(_:progress:)`` does.
    package func reindex(
        onlyDamaged: Bool,
        progress: (CompactionProgress) throws(LogError) -> Void = { (_) throws(LogError) in }
    ) throws(LogError) -> CompactionProgress {
        try core.reindex(onlyDamaged: onlyDamaged, progress)
    }

    /// Throws when a compaction would be refused for want of space.
    package func checkCompactionSpace() throws(LogError) { try core.checkCompactionSpace() }

    /// Does what the timers have made due, with ``LogOptions/Driver/inline``.
    public func runTimers() {
        core.runDueTasks()
        if core.options.driver == .inline { core.archiveIfDue() }
    }
}

/// What opening a log found and did. Printed to people as it is.
public struct RecoveryReport: Hashable, Sendable, CustomStringConvertible {
    /// How the log ended.
    public enum Ending: String, Hashable, Sendable {
        /// There was none: it was created.
        case created
        /// In good order.
        case clean
        /// By an unclean exit; no acknowledged event is missing.
        case tornProven = "torn, proven"
        /// By a loss of power while bytes were unsynced: the last sync group, at most, may be
        /// missing.
        case tornUnproven = "torn, unproven"
        /// As a backup: what its original did later is not in it.
        case copied = "a backup"
    }

    /// How the log ended.
    public let ending: Ending
    /// Bytes behind the valid end that were set aside where they are.
    public let discardedBytes: Int
    /// The place that appending goes on from.
    public let position: LogPosition
    /// The segment that was active when the log was left.
    public let segmentID: UInt64
    /// Offset of the log's end in that segment.
    public let offset: Int

    /// What people must know: the end is unproven and something acknowledged may be missing.
    public var warning: String? {
        guard ending == .tornUnproven else { return nil }
        return "the log ended torn, unproven, at offset \(offset) of segment \(segmentID): "
            + "at most what was not yet synced may be missing (full: nothing; normal: the last "
            + "200 ms of steps; off: more); \(discardedBytes) bytes were set aside"
    }

    /// One line.
    public var description: String {
        var text = "\(ending.rawValue), next sequence \(position.nextSequence)"
        if discardedBytes > 0 { text += ", \(discardedBytes) bytes set aside" }
        return text
    }
}

extension RecoveryReport.Ending {
    /// What the manifest keeps of it.
    var recorded: SegmentEnding {
        switch self {
        case .created, .clean: .untold
        case .tornProven: .tornProven
        case .tornUnproven: .tornUnproven
        case .copied: .copied
        }
    }
}
