public import LoomFormat
public import LoomStorage
public import SystemPackage

/// One event as it was appended, with its place.
public struct LogEvent: Hashable, Sendable {
    /// Its number in the log, dense from 1 on.
    public let sequence: UInt64
    /// The run that it belongs to.
    public let run: RunID
    /// The epoch of the run's holder that wrote it.
    public let epoch: UInt64
    /// Its number in the run.
    public let position: UInt64
    /// What was appended.
    public let body: [UInt8]
    /// The segment that holds it.
    public let segmentID: UInt64
    /// Where its unit starts in that segment.
    public let offset: Int
}

/// Reads a log, also while another process writes it: takes no lock, changes no byte.
///
/// What it sees is a prefix of the log: everything that was published when it looked. A reader that
/// looks again sees the same and what came after. It holds on to the directory: one reader sees one
/// log, also when the directory is renamed and another takes its name.
///
/// ```swift
/// let reader = try LogReader(path: "runs.loom")
/// try reader.scan(run: RunID("demo")) { event in print(event.sequence, event.body.count) }
/// ```
public final class LogReader: Sendable {
    let directory: LogDirectory
    let storage: any AnchoredStorage
    /// The store's identity.
    public let storeID: StoreID

    /// Looks at the log's manifest; costs as much whatever the log holds.
    ///
    /// - Throws: ``LogError`` with code `notFound`, `notALog`, `corrupt`, `unsupportedVersion`,
    /// `io`.
    public convenience init(
        path: FilePath, storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        let directory = LogDirectory(root: path)
        try self.init(directory, try directory.anchored(in: storage))
    }

    /// Reads in a directory that is held on to.
    init(_ directory: LogDirectory, _ storage: any AnchoredStorage) throws(LogError) {
        self.directory = directory
        self.storage = storage
        storeID = try ManifestStore(directory: directory, storage: storage).load()
            .manifest.storeID
    }

    /// A cursor before the first event.
    public func cursor() throws(LogError) -> LogCursor {
        try LogCursor(directory: directory, storage: storage)
    }

    /// A cursor before the first event that has this sequence or a later one; what lies before it
    /// is read only as far as it stands in the same file.
    package func cursor(from sequence: UInt64) throws(LogError) -> LogCursor {
        try LogCursor(directory: directory, storage: storage, from: sequence)
    }

    /// Calls `body` with every event so far, of one run or of all, in order of sequence.
    ///
    /// Reads the whole log: its cost grows with it.
    public func scan(
        run: RunID? = nil, _ body: (LogEvent) throws -> Void
    ) throws {
        var cursor = try cursor()
        while let events = try cursor.nextUnit(of: run) {
            for event in events { try body(event) }
        }
    }

    /// The text that the writer left, when one has the log open; `nil` when none has.
    public func writer() throws(LogError) -> String? {
        try storing("looking at the lock") { () throws(StorageError) in
            try storage.lockHolder(directory.lock)
        }
    }
}

/// The size of a log.
public struct LogOverview: Sendable {
    /// Segments that the manifest lists, archives included.
    public let segmentCount: Int
    /// Archives among them.
    public let archiveCount: Int
    /// Bytes that their valid parts take; the filled space of the active one is not counted.
    public let byteCount: Int
    /// The place after the last event.
    public let position: LogPosition
    /// The rule by which the next writer will judge the end; `nil` while one has the log open.
    public let endRule: EndOfLog.Rule?
    /// Every unclean end that a writer found and recovered from, oldest first; not of segments
    /// that were archived together with others.
    public let recoveries: [LogRecovery]
    /// Bytes of the segment files, filled space included.
    public let fileByteCount: Int
    /// Bytes of the last segment that are filled and not used yet.
    public let spareByteCount: Int
    /// Bytes of segments that have ended and are not archived.
    public let waitingByteCount: Int
    /// Why they are not, where archiving them fails: known to the writer alone, see
    /// ``LogWriter/overview()``.
    public var archivingFailure: LogError?
    /// Bytes that the disk of the log has left; `nil` where the system does not say.
    public let availableByteCount: Int?

    /// Whether the disk has less left than twice what the last segment takes.
    ///
    /// A writer then fills no space ahead of need, or little, and its appends fail when the disk is
    /// full.
    public var isShortOfSpace: Bool {
        guard let availableByteCount else { return false }
        return availableByteCount < 2 * max(Self.leastSegmentBytes, lastSegmentByteCount)
    }

    /// When the backup was made that this log is, or was restored from, in microseconds since
    /// 1970-01-01 UTC; `nil` for any other log.
    public let copyTime: UInt64?

    let lastSegmentByteCount: Int
    private static let leastSegmentBytes = 1 << 20
}

/// An unclean end of the log that a writer recovered from, as the manifest keeps it.
public struct LogRecovery: Hashable, Sendable {
    /// The segment that ended there, or the archive that has taken its place.
    public let segmentID: UInt64
    /// Offset of its valid end; `nil` once it is archived.
    public let offset: Int?
    /// Bytes behind the valid end that were set aside in place.
    public let discardedBytes: Int
    /// The place where the log went on.
    public let position: LogPosition
    /// Whether it is proven that no acknowledged event is missing; `nil` when the manifest does not
    /// tell, as older versions wrote it.
    public let isProven: Bool?
    /// Whether it is no unclean end but that of a backup, which the log was restored from.
    public let isCopy: Bool
}

extension LogReader {
    /// Measures the log; reads the active segment alone.
    public func overview() throws(LogError) -> LogOverview {
        var cursor = try cursor()
        try cursor.skipToLastSegment()
        while try cursor.nextUnit(of: nil) != nil {}
        let sizes = try cursor.segments.map { segment throws(LogError) in
            try fileSize(of: segment)
        }
        let available = try? storage.availableBytes(at: directory.root)
        return LogOverview(
            segmentCount: cursor.segments.count,
            archiveCount: cursor.segments.count { $0.role == .archive },
            byteCount: cursor.bytesRead,
            position: cursor.position, endRule: cursor.endRule,
            recoveries: cursor.segments.filter(\.tellsOfRecovery).map(LogRecovery.init),
            fileByteCount: sizes.reduce(0, +),
            spareByteCount: max(0, (sizes.last ?? 0) - cursor.segmentEnd),
            waitingByteCount: ArchivePlan.waiting(cursor.segments).reduce(0) {
                $0 + Int($1.validEnd)
            },
            availableByteCount: available == .max ? nil : available,
            copyTime: cursor.copyTime,
            lastSegmentByteCount: sizes.last ?? 0)
    }

    /// Of one that was archived since the manifest was read: what it had at least.
    private func fileSize(of entry: ManifestSegment) throws(LogError) -> Int {
        try storing("measuring the segments") { () throws(StorageError) in
            let file: any StorageFile
            do throws(StorageError) {
                file = try storage.open(directory.path(of: entry), for: .reading)
            } catch {
                guard error.isNotFound else { throw error }
                return Int(entry.validEnd)
            }
            defer { try? file.close() }
            return try file.size()
        }
    }
}

extension ManifestSegment {
    /// Whether it ended uncleanly, or is an archive of one segment that did.
    fileprivate var tellsOfRecovery: Bool {
        state == .recovered || (role == .archive && ending != .untold)
    }
}

extension LogRecovery {
    init(_ entry: ManifestSegment) {
        segmentID = entry.segmentID
        offset = entry.role == .live ? Int(entry.validEnd) : nil
        discardedBytes = Int(clamping: entry.discardedBytes)
        position = LogPosition(nextSequence: entry.endSequence)
        isCopy = entry.ending == .copied
        isProven =
            switch entry.ending {
            case .tornProven: true
            case .tornUnproven: false
            default: nil
            }
    }
}
