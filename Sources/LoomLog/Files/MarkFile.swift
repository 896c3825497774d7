internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// The writer's watermark on disk: two words that readers and recovery may load at any time.
struct MarkFile: Sendable {
    private let file: any StorageFile

    /// What a mark says, when it counts on this machine and boot.
    struct Words: Hashable, Sendable {
        var published: MarkWord
        var durable: MarkWord
    }

    /// Opens the mark for a writer, creating it when needed. The words are set before the identity,
    /// so that an identity never vouches for words of another life.
    init(
        writing directory: LogDirectory, storage: any Storage, epoch: UInt64, words: Words
    ) throws(LogError) {
        file = try storing("opening MARK") { () throws(StorageError) in
            do throws(StorageError) {
                return try storage.open(directory.mark, for: .writing)
            } catch {
                guard error.isNotFound else { throw error }
                return try storage.create(directory.mark)
            }
        }
        try prepare(machine: storage.machine, epoch: epoch, words: words)
    }

    private func prepare(
        machine: any Machine, epoch: UInt64, words: Words
    ) throws(LogError) {
        try storing("preparing MARK") { () throws(StorageError) in
            let size = try file.size()
            if size < Mark.byteCount {
                try file.fillZeros(from: size, to: Mark.byteCount)
                try file.sync()
            }
            _ = try file.mapForAppending(length: Mark.byteCount)
            try file.storeWord(words.published.rawValue, at: Mark.publishedOffset)
            try file.storeWord(words.durable.rawValue, at: Mark.durableOffset)
            // A machine that cannot name its boot gets no mark that counts.
            let boot = machine.boot.map { ContentHash(low: $0.0, high: $0.1) }
            let identity = boot.map {
                Mark(
                    boot: $0, device: file.identity.device, inode: file.identity.inode,
                    writerEpoch: epoch
                ).encoded()
            }
            try file.writeBytes(identity ?? [UInt8](repeating: 0, count: 64), at: 0)
        }
    }

    /// Opens the mark for reading; `nil` when there is none or it does not count here.
    ///
    /// - Throws: ``LogError`` with code `corrupt` when MARK is no regular file.
    static func open(
        reading directory: LogDirectory, storage: any Storage
    ) throws(LogError) -> MarkFile? {
        let file: any StorageFile
        do throws(StorageError) {
            file = try storage.open(directory.mark, for: .reading)
        } catch {
            guard !error.isNoFile else { throw LogError(error, doing: "opening MARK") }
            return nil
        }
        let mark = MarkFile(file: file)
        return mark.counts(on: storage.machine) ? mark : nil
    }

    /// Whether the directory is a copy of another: its MARK names another file than itself.
    static func tellsOfCopy(_ directory: LogDirectory, _ storage: any Storage) -> Bool {
        guard let file = try? storage.open(directory.mark, for: .reading) else { return false }
        defer { try? file.close() }
        guard let bytes = try? file.readBytes(count: 64, at: 0), bytes.count == 64,
            let mark = try? Mark(decoding: bytes.rawSpan)
        else { return false }
        return mark.device != file.identity.device || mark.inode != file.identity.inode
    }

    /// Where the file should be found.
    var place: FilePlace {
        FilePlace(path: file.path, identity: file.identity, leastSize: Mark.byteCount)
    }

    private init(file: any StorageFile) { self.file = file }

    /// The bytes that say whose mark it is; `nil` when they cannot be read.
    private var identity: [UInt8]? {
        guard let bytes = try? file.readBytes(count: 64, at: 0), bytes.count == 64 else {
            return nil
        }
        return bytes
    }

    /// Whether the mark was written on this boot, into this very file.
    func counts(on machine: any Machine) -> Bool {
        guard let bytes = self.identity, let identity = try? Mark(decoding: bytes.rawSpan),
            let boot = machine.boot
        else { return false }
        return identity.boot == ContentHash(low: boot.0, high: boot.1)
            && identity.device == file.identity.device && identity.inode == file.identity.inode
    }

    /// Makes loads of its words cost no system call, where that is possible.
    func map() { _ = try? file.mapForLoading(length: Mark.byteCount) }

    /// The word that tells whose mark it is: the hash of its identity.
    func loadIdentity() throws(LogError) -> UInt64 {
        try storing("reading MARK") { () throws(StorageError) in
            try file.loadWord(at: Mark.hashOffset)
        }
    }

    /// Both words now. The durable one is loaded first, as it never passes the published one.
    func load() throws(LogError) -> Words {
        try storing("reading MARK") { () throws(StorageError) in
            let durable = try file.loadWord(at: Mark.durableOffset)
            let published = try file.loadWord(at: Mark.publishedOffset)
            return Words(
                published: MarkWord(rawValue: published), durable: MarkWord(rawValue: durable))
        }
    }

    /// Throws when another than this writer has set the published word.
    func check(_ word: MarkWord) throws(StorageError) {
        guard try file.loadWord(at: Mark.publishedOffset) == word.rawValue else {
            throw .displaced(file.path)
        }
    }

    func publish(_ word: MarkWord) throws(StorageError) {
        try file.storeWord(word.rawValue, at: Mark.publishedOffset)
    }

    func setDurable(_ word: MarkWord) throws(StorageError) {
        try file.storeWord(word.rawValue, at: Mark.durableOffset)
    }

    /// Makes the mark vouch for nothing: after a failed sync the system may show older bytes, which
    /// are then no damage.
    func disown() { try? file.writeBytes([UInt8](repeating: 0, count: 64), at: 0) }

    /// The same for a mark that no writer has open.
    static func disown(in directory: LogDirectory, storage: any Storage) {
        guard let file = try? storage.open(directory.mark, for: .writing) else { return }
        MarkFile(file: file).disown()
        try? file.close()
    }

    func close() { try? file.close() }
}
