import LoomFormat
import SystemPackage

@testable import LoomLog
@testable import LoomStorage

/// A log that lives at random: appended to, rolled, closed, left, archived; and its backup.
struct BackupWork {
    var log: ArchivedLog
    let target: FilePath = "/b.loom"
    var writer: LogWriter?
    var count = 0
    private var random: SplitMix

    init(_ storage: any Storage, seed: UInt64) {
        log = ArchivedLog(storage)
        random = SplitMix(seed: seed)
    }

    mutating func upTo(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }

    mutating func append(_ number: Int) throws {
        let writer = if let open = self.writer { open } else { try log.open() }
        self.writer = writer
        try log.append(count..<(count + number), to: writer)
        count += number
    }

    /// Archives some ended segments as the process of the writer does.
    mutating func archive() throws {
        guard let editor = writer?.core.manifests else { return }
        let segments = editor.manifest.segments
        let first = segments.firstIndex { $0.role == .live } ?? 0
        let ended = segments.count - 1 - first
        guard ended > 0 else { return }
        try log.archive(first..<(first + 1 + upTo(ended)), editor)
        guard upTo(2) == 0 else { return }
        try SupersededFiles(
            directory: log.directory, storage: log.storage, manifests: editor
        ).remove { _ in true }
    }

    /// Does one thing at random.
    mutating func act() throws {
        switch upTo(8) {
        case 0:
            try writer?.close()
            writer = nil
        case 1:
            // Goes away without closing.
            writer = nil
        case 2, 3: try archive()
        default: try append(1 + upTo(60))
        }
    }

    func backup(links: Bool = true) throws -> LogBackup {
        try LogBackup(
            of: log.directory.root, to: target, linksFiles: links, storage: log.storage)
    }

    /// One round of a backup that is opened for it.
    @discardableResult
    func backUp(links: Bool = true) throws -> BackupRound {
        var backup = try backup(links: links)
        return try backup.run()
    }

    /// What is wrong with the backup, if it has not the events before `count`.
    func problem(count: Int, in storage: any Storage, at path: FilePath? = nil) throws -> String? {
        try ArchivedLog(storage, path: path ?? target).problem(count: count)
    }
}

/// `cp -r` of a log.
func copyLog(_ log: FilePath, to target: FilePath, in storage: any Storage) throws {
    try storage.createDirectory(target)
    for name in try storage.list(log) {
        let (path, copy) = (log.appending(name), target.appending(name))
        if (try? storage.list(path)) != nil {
            try copyLog(path, to: copy, in: storage)
            continue
        }
        let file = try storage.open(path, for: .reading)
        let made = try storage.create(copy)
        try made.writeBytes(file.readBytes(count: file.size(), at: 0), at: 0)
        try file.close()
        try made.close()
    }
}
