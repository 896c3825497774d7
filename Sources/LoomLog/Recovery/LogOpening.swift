internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Opens a log for writing. Every step may be cut by a crash and is then done again from the start.
///
///   1. create    when there is none: in a folder of another name, made durable, then renamed
///   2. lock      in the directory itself, which is held on to; held for the life of the writer
///   3. manifest  the highest generation that has a valid copy
///   4. sync      the active file and the folders, before anything is judged by what can be read
///   5. check     every listed segment is there, with its length and its header; of an archive
///                also its seal
///   6. orphans   unlisted segments without a unit, and unlisted archives, are removed; a segment
///                with a unit stops the opening
///   7. scan      the active segment: facts, then the decision of ``RecoveryDecision``
///   8. apply     go on in place, or begin a new segment named by a new manifest
///   9. give back superseded files, and blank space behind the ends of segments that will not grow
struct LogOpening {
    let directory: LogDirectory
    let options: LogOptions
    /// Holds on to the directory: see ``AnchoredStorage``.
    let storage: any AnchoredStorage
    /// The storage that the log's own folder is in.
    private let surroundings: any Storage
    private let isNew: Bool
    let manifests: ManifestStore
    let maker: SegmentMaker
    /// Who opens, in words for others: the process, and a number of this opening's own. Process
    /// numbers come again: in a container, at every start.
    let holder: String

    /// What a writer starts from.
    struct Opened {
        let lock: any StorageLock
        let active: ActiveSegment
        let manifests: ManifestEditor
        let mark: MarkFile
        let nextSequence: UInt64
        let report: RecoveryReport
    }

    init(path: FilePath, options: LogOptions, storage: any Storage) throws(LogError) {
        let options = try options.checked()
        self.options = options
        directory = LogDirectory(root: path)
        isNew = try LogCreation(directory: directory, options: options, storage: storage).run()
        surroundings = storage
        let storage = try directory.anchored(in: storage)
        self.storage = storage
        manifests = ManifestStore(directory: directory, storage: storage)
        maker = SegmentMaker(directory: directory, storage: storage)
        let number = UInt32(truncatingIfNeeded: storage.machine.random())
        holder = "\(storage.machine.processDescription) (\(String(number, radix: 16)))"
    }

    func run() throws(LogError) -> Opened {
        // Before LOCK is made: somebody else's folder stays as it is.
        guard try manifests.exists() else { throw ManifestStore.noManifest(directory) }
        let lock = try takeLock()
        do throws(LogError) {
            // The directory may have gone while the lock was waited for, and LOCK itself, which is
            // then no lock for those who come later.
            try storing("locking the log") { () throws(StorageError) in
                try storage.checkInPlace([lock.place])
            }
            return try open(lock, isNew: isNew)
        } catch {
            lock.release()
            throw error
        }
    }

    private func takeLock() throws(LogError) -> any StorageLock {
        let deadline = storage.machine.monotonicNanoseconds()
            .addingSaturating(options.lockWaitNanoseconds)
        while true {
            do throws(StorageError) {
                return try storage.lock(directory.lock, holder: holder)
            } catch {
                guard error.isHeld, storage.machine.monotonicNanoseconds() < deadline else {
                    throw LogError(error, doing: "locking the log")
                }
                storage.machine.sleep(nanoseconds: 20_000_000)
            }
        }
    }

    private func open(_ lock: any StorageLock, isNew: Bool) throws(LogError) -> Opened {
        let loaded = try manifests.load()
        let segments = loaded.manifest.segments
        guard let last = segments.last else {
            throw LogError(.corrupt, "a manifest without a segment", path: directory.root)
        }
        try syncBeforeReading(last, loaded.manifest)
        let sizes = try checkSegments(loaded.manifest)
        try removeOrphans(loaded.manifest)
        try removeTornManifests(loaded)
        let words = try markWords()
        let scan = try scanTail(loaded.manifest, words)
        let editor = ManifestEditor(loaded, store: manifests)
        let opened = try apply(scan, last, editor, lock, isNew: isNew)
        try removeSuperseded(editor)
        giveBlankSpaceBack(editor.manifest, sizes, justRead: last.segmentID)
        return opened
    }

    private func syncBeforeReading(
        _ last: ManifestSegment, _ manifest: Manifest
    ) throws(LogError) {
        try storing("syncing what was left") { () throws(StorageError) in
            do throws(StorageError) {
                let file = try storage.open(directory.segment(last.segmentID), for: .writing)
                defer { try? file.close() }
                try file.sync()
            } catch {
                // As for a writer: what the disk has is not known now, and no later sync tells.
                if error.operation == .sync { MarkFile.disown(in: directory, storage: storage) }
                // That the segment is missing is told by the check that follows.
                guard error.isNotFound else { throw error }
                return
            }
            try storage.syncDirectory(directory.segments)
            try storage.syncDirectory(directory.root)
            // A process that was killed while it created the log may not have synced its name.
            if manifest.generation == 1 { try surroundings.syncDirectory(directory.parent) }
        }
    }

    /// Costs one small read a segment; their blocks are checked by whoever reads them.
    ///
    /// - Returns: The size of each file.
    private func checkSegments(_ manifest: Manifest) throws(LogError) -> [UInt64: Int] {
        var sizes: [UInt64: Int] = [:]
        for (index, segment) in manifest.segments.enumerated() {
            let file: any StorageFile
            if segment.role == .archive {
                // Its seal is derived, as its tables are: the archiver makes them anew.
                file = try directory.openArchiveBody(
                    segment, storeID: manifest.storeID, storage
                ).file
            } else {
                (file, _) = try directory.openSegment(index, of: manifest, storage)
            }
            defer { try? file.close() }
            let size = try storing("checking the segments") { () throws(StorageError) in
                try file.size()
            }
            if segment.role == .archive { try segment.checkSize(size, of: file.path) }
            sizes[segment.segmentID] = size
        }
        return sizes
    }

    /// Files that no manifest names: prepared ones, and those of a roll that a crash cut, hold no
    /// unit.
    private func removeOrphans(_ manifest: Manifest) throws(LogError) {
        for unlisted in try manifests.unlistedSegments(manifest) {
            let path = directory.segment(unlisted.id)
            guard !unlisted.hasUnits else {
                throw manifests.lostManifest(path)
            }
            try storing("removing an unlisted segment") { () throws(StorageError) in
                try storage.remove(path)
            }
        }
        try removeUnlistedArchives(manifest)
    }

    /// An archive that no manifest lists is an unfinished copy of what is listed, and all of that
    /// is there.
    private func removeUnlistedArchives(_ manifest: Manifest) throws(LogError) {
        let known = Set(manifest.segments.map(\.segmentID))
            .union(manifest.superseded.map(\.segmentID))
        try storing("removing an unlisted archive") { () throws(StorageError) in
            for id in try storage.list(directory.segments).compactMap(FileName.archiveID)
            where !known.contains(id) {
                try storage.remove(directory.archive(id))
            }
        }
    }

    /// Without room for a manifest the files stay for another time.
    private func removeSuperseded(_ editor: ManifestEditor) throws(LogError) {
        guard let newest = editor.removable.map(\.generation).max() else { return }
        let least = ReaderPins(directory: directory, storage: storage).least(below: newest)
        do throws(LogError) {
            try SupersededFiles(directory: directory, storage: storage, manifests: editor)
                .remove { least >= $0.generation }
        } catch {
            guard error.code == .outOfSpace || error.code == .limitExceeded else { throw error }
        }
    }

    /// A manifest that a crash cut is set aside, under its own name: its number is not used again.
    private func removeTornManifests(_ loaded: ManifestStore.Loaded) throws(LogError) {
        guard !loaded.tornGenerations.isEmpty else { return }
        try storing("setting a torn manifest aside") { () throws(StorageError) in
            do throws(StorageError) {
                try storage.createDirectory(directory.quarantine)
            } catch {
                guard error.isFileExists else { throw error }
            }
            for generation in loaded.tornGenerations {
                let name = FileName.manifest(generation)
                try storage.rename(
                    directory.manifest(generation),
                    to: directory.quarantine.appending(
                        "\(name).torn-\(storage.machine.random().paddedHex)"))
            }
            try storage.syncDirectory(directory.quarantine)
            try storage.syncDirectory(directory.root)
        }
    }

    private func markWords() throws(LogError) -> MarkFile.Words? {
        guard let mark = try MarkFile.open(reading: directory, storage: storage) else {
            return nil
        }
        defer { mark.close() }
        return try mark.load()
    }

    private func scanTail(
        _ manifest: Manifest, _ words: MarkFile.Words?
    ) throws(LogError) -> TailScan {
        let last = manifest.segments.count - 1
        let entry = manifest.segments[last]
        let (file, _) = try directory.openSegment(last, of: manifest, storage)
        defer { try? file.close() }
        func scan() throws(LogError) -> TailScan {
            try TailScan(
                file: file, entry: entry,
                before: last > 0 ? manifest.segments[last - 1] : nil, storeID: manifest.storeID,
                mark: words)
        }
        // Judge the disk, not what the page cache still holds of it: after a failed sync that may
        // be more, and no later sync brings it there. MARK does not tell that there was none: its
        // writer may have been killed before it took the mark back. A manifest names an end after a
        // good sync of it: of a log that was closed there the cache is as good.
        let behind = try storing("reading a segment") { () throws(StorageError) in
            try file.readBytes(count: BlockHeader.byteCount, at: Int(entry.validEnd))
        }
        if behind.usedByteCount == 0 {
            let cached = try scan()
            if cached.end.rule == .closed { return cached }
        }
        file.dropCache()
        return try scan()
    }
}
