internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Brings files of a log into a backup.
struct BackupCopying {
    private let view: BackupSource.View
    private let directory: LogDirectory
    private let log: any AnchoredStorage
    /// Knows both folders: a link has two ends.
    private let storage: any Storage
    private let links: Bool

    private static let stepBytes = 1 << 20

    init(
        _ view: BackupSource.View, from directory: LogDirectory, _ log: any AnchoredStorage,
        through storage: any Storage, links: Bool
    ) {
        (self.view, self.directory, self.log) = (view, directory, log)
        (self.storage, self.links) = (storage, links)
    }

    /// Brings an ended file in, by a link or a copy; its bytes are durable, its name is not yet.
    ///
    /// - Returns: Its entry for the backup's manifest.
    /// - Throws: ``LogError`` whose cause is that the file was not found, when it is gone since the
    ///   manifest was read.
    func bring(
        _ index: Int, into target: LogDirectory, _ files: any Storage, _ round: inout BackupRound
    ) throws(LogError) -> ManifestSegment {
        let entry = view.manifest.segments[index]
        // Opened first: what is open can be copied whatever becomes of its name.
        let file = try open(index)
        defer { try? file.close() }
        let path = target.path(of: entry)
        if links, try link(entry, file, to: path, files) {
            round.linkedFileCount += 1
            return entry
        }
        try storing("copying a file") { () throws(StorageError) in
            let copy = try files.create(path)
            defer { try? copy.close() }
            try copyBytes(of: file, to: copy, 0..<Int(entry.validEnd))
            try copy.sync()
        }
        round.copiedFileCount += 1
        round.copiedByteCount += Int(entry.validEnd)
        return entry.withoutDiscarded
    }

    /// Completes the copy of a segment that has ended since it was copied.
    func complete(
        _ index: Int, from start: UInt64, in target: LogDirectory, _ files: any Storage,
        _ round: inout BackupRound
    ) throws(LogError) -> ManifestSegment {
        let entry = view.manifest.segments[index]
        let file = try open(index)
        defer { try? file.close() }
        try append(entry, file, from: start, in: target, files, &round)
        return entry.withoutDiscarded
    }

    /// Copies what the active segment has beyond `start`; with 0, the copy is made.
    func bringTail(
        from start: UInt64, into target: LogDirectory, _ files: any Storage,
        _ round: inout BackupRound
    ) throws(LogError) -> ManifestSegment {
        try append(view.tail, view.file, from: start, in: target, files, &round)
        return view.tail
    }

    /// The header hash of the block before an offset inside a live segment of the log.
    func hash(before offset: UInt64, of entry: ManifestSegment) throws(LogError) -> UInt64? {
        if entry.segmentID == view.tail.segmentID {
            return try view.file.hash(before: offset, salt: entry.salt)
        }
        let path = directory.path(of: entry)
        do throws(StorageError) {
            let file = try log.open(path, for: .reading)
            defer { try? file.close() }
            return try file.blockHash(before: offset, salt: entry.salt)
        } catch {
            throw LogError(error, doing: "reading a segment")
        }
    }

    private func append(
        _ entry: ManifestSegment, _ file: any StorageFile, from start: UInt64,
        in target: LogDirectory, _ files: any Storage, _ round: inout BackupRound
    ) throws(LogError) {
        // A failed sync may have taken back what a backup has already: then it has enough.
        let (start, end) = (Int(start), max(Int(start), Int(entry.validEnd)))
        let path = target.path(of: entry)
        try storing("copying the active segment") { () throws(StorageError) in
            let copy =
                start == 0 ? try files.create(path) : try files.open(path, for: .writing)
            defer { try? copy.close() }
            try copyBytes(of: file, to: copy, start..<end)
            try copy.sync()
        }
        round.copiedByteCount += end - start
    }

    private func open(_ index: Int) throws(LogError) -> any StorageFile {
        let manifest = view.manifest
        guard manifest.segments[index].role == .archive else {
            return try directory.openSegment(index, of: manifest, log).0
        }
        return try directory.openArchive(
            manifest.segments[index], storeID: manifest.storeID, log
        ).file
    }

    /// - Returns: Whether the file has a second name now. If not, there is none.
    private func link(
        _ entry: ManifestSegment, _ file: any StorageFile, to path: FilePath, _ files: any Storage
    ) throws(LogError) -> Bool {
        do throws(StorageError) {
            try storage.link(directory.path(of: entry), to: path)
        } catch {
            // Whatever is the reason: another device, no such right, a name that is gone.
            return false
        }
        // The log may have been moved meanwhile: its path then led to something else.
        if let linked = try? files.open(path, for: .reading) {
            defer { try? linked.close() }
            if linked.identity == file.identity { return true }
        }
        try storing("linking a file") { () throws(StorageError) in try files.remove(path) }
        return false
    }

    private func copyBytes(
        of file: any StorageFile, to copy: any StorageFile, _ range: Range<Int>
    ) throws(StorageError) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            let count = min(Self.stepBytes, range.upperBound - offset)
            let bytes = try file.readBytes(count: count, at: offset)
            guard bytes.count == count else { throw StorageError(.read, file.path, .ioError) }
            try copy.writeBytes(bytes, at: offset)
            offset += count
        }
    }
}

extension StorageFile {
    /// The header hash of the block before an offset, as the block there tells it; `nil` where none
    /// stands.
    func hash(before offset: UInt64, salt: UInt64) throws(LogError) -> UInt64? {
        try storing("reading a segment") { () throws(StorageError) in
            try blockHash(before: offset, salt: salt)
        }
    }

    fileprivate func blockHash(
        before offset: UInt64, salt: UInt64
    ) throws(StorageError) -> UInt64? {
        let offset = Int(offset)
        let bytes = try readBytes(count: BlockHeader.byteCount, at: offset)
        let seed = BlockHeader.seed(salt: salt, offset: offset)
        return try? BlockHeader(decoding: bytes.rawSpan, seed: seed).previousHash
    }
}

extension ManifestSegment {
    /// What recovery set aside behind the valid end is not copied.
    fileprivate var withoutDiscarded: ManifestSegment {
        guard role == .live else { return self }
        var entry = self
        (entry.discardedBytes, entry.discardedHash) = (0, 0)
        return entry
    }
}

extension Manifest {
    /// When the backup was made that this log is, before its runs were paused.
    var unsettledCopy: UInt64? { copy.flatMap { $0.isSettled ? nil : $0.time } }
}

extension BackupSource.View {
    /// The backup's manifest. Of a backup that nobody has gone on with, the time stays.
    func manifest(
        _ segments: [ManifestSegment], generation: UInt64, previousHash: UInt64, time: UInt64
    ) -> Manifest {
        Manifest(
            generation: generation, storeID: manifest.storeID, writerID: manifest.writerID,
            writerEpoch: manifest.writerEpoch, nextSegmentID: manifest.nextSegmentID,
            previousHash: previousHash, created: time, segments: segments,
            copy: ManifestCopy(time: manifest.unsettledCopy ?? time))
    }
}
