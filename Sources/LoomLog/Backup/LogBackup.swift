internal import LoomFormat
public import LoomStorage
public import SystemPackage

/// Makes a backup of a log, and keeps it up to date: a directory that is a log itself.
///
/// It reads as any reader does, also while a program writes, archives and merges: it takes no lock
/// of the log and changes nothing in it. Files that never change again are linked where the file
/// system allows that, and copied elsewhere; the active segment is copied up to the last unit that
/// was published. To restore, copy the directory: the next writer goes on in a new segment.
///
/// A backup appears whole or not at all, and a later round that is cut leaves the backup before it.
///
/// ```swift
/// var backup = try LogBackup(of: "runs.loom", to: "/backups/runs.loom")
/// print(try backup.run().position)
/// ```
public struct LogBackup {
    private var source: BackupSource
    private let target: LogDirectory
    private let storage: any Storage
    private let linksFiles: Bool
    private var open: BackupTarget?

    /// How often a round starts anew, because files were archived or merged while it copied them.
    private static let triesMax = 100

    /// Opens the log. The backup is looked at by the first ``run()``.
    ///
    /// - Parameter linksFiles: Whether files that never change again are linked. Damage to a file
    ///   is damage to all its links: copies survive it.
    public init(
        of log: FilePath, to target: FilePath, linksFiles: Bool = true,
        storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        let directory = LogDirectory(root: log)
        source = BackupSource(directory, try directory.anchored(in: storage))
        self.target = LogDirectory(root: target)
        self.storage = storage
        self.linksFiles = linksFiles
    }

    /// Makes the backup, or brings one of the same log up to date. Durable when it returns.
    ///
    /// - Throws: ``LogError`` with code `notALog` when something else is there, or a log that was
    ///   written to or that is of another history; `locked` while another process updates it.
    public mutating func run() throws(LogError) -> BackupRound {
        var triesLeft = Self.triesMax
        while true {
            // Before the look: what happens from here on may be missing.
            let time = max(1, storage.machine.wallMicroseconds())
            let view = try source.look()
            do throws(LogError) {
                return try write(view, time: time)
            } catch {
                let cause = error.cause as? StorageError
                guard cause?.isNotFound == true, cause?.operation == .open, triesLeft > 0 else {
                    throw error
                }
                triesLeft -= 1
                source.lookAnew()
            }
        }
    }

    private mutating func write(
        _ view: BackupSource.View, time: UInt64
    ) throws(LogError) -> BackupRound {
        let copying = BackupCopying(
            view, from: source.directory, source.storage, through: storage, links: linksFiles)
        if open == nil, try isThere() { open = try BackupTarget(target, in: storage) }
        if let target = open {
            // After an error nobody knows what stands there: the next round looks.
            open = nil
            let round = try target.update(to: view, time: time, copying)
            open = target
            return round
        }
        return try BackupCreation(target: target, storage: storage)
            .run(view, time: time, copying)
    }

    private func isThere() throws(LogError) -> Bool {
        do throws(StorageError) {
            _ = try storage.list(target.root)
            return true
        } catch {
            if error.isNotFound { return false }
            if error.errno == .notDirectory {
                throw LogError(.notALog, "this is a file, not a backup", path: target.root)
            }
            throw LogError(error, doing: "looking at the backup")
        }
    }
}

/// What a round of a backup did.
public struct BackupRound: Hashable, Sendable {
    /// The place after the last event that the backup has.
    public var position: LogPosition
    /// When the log was looked at, in microseconds since 1970-01-01 UTC.
    public var time: UInt64
    /// Whether there was no backup before.
    public var isNew: Bool
    /// Files that were linked.
    public var linkedFileCount = 0
    /// Files that were copied, the active segment not counted.
    public var copiedFileCount = 0
    /// Bytes that were copied, those of the active segment included.
    public var copiedByteCount = 0
    /// Files that were removed, as archives took their place.
    public var removedFileCount = 0

    init(_ view: BackupSource.View, time: UInt64, isNew: Bool) {
        (position, self.time, self.isNew) = (view.position, time, isNew)
    }

    /// Whether the backup was up to date already.
    public var changedNothing: Bool {
        !isNew && linkedFileCount + copiedFileCount + copiedByteCount + removedFileCount == 0
    }
}
