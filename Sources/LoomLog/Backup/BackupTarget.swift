internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// A backup that is there, held for an update.
///
/// At every instant the directory is a whole backup, the old one or the new one:
///
///   1. a manifest that names the new segment files as superseded, so that they may be there
///   2. the new files, and more bytes behind the recorded end of the active segment
///   3. the new manifest, with what it no longer lists as superseded: the commit point
///   4. the superseded files go
final class BackupTarget {
    private let directory: LogDirectory
    private let storage: any AnchoredStorage
    private let lock: any StorageLock
    private var loaded: ManifestStore.Loaded

    deinit { lock.release() }

    /// Opens a backup and removes what a cut round left.
    ///
    /// - Throws: ``LogError`` with code `notALog` when it is no backup, `locked` when another
    ///   process has it.
    init(_ directory: LogDirectory, in storage: any Storage) throws(LogError) {
        self.directory = directory
        self.storage = try directory.anchored(in: storage)
        let manifests = ManifestStore(directory: directory, storage: self.storage)
        // Before LOCK is made: somebody else's folder stays as it is.
        try Self.checkIsCopy(try manifests.load().manifest, directory)
        do throws(StorageError) {
            lock = try self.storage.lock(
                directory.lock, holder: "\(storage.machine.processDescription), for a backup")
        } catch {
            throw LogError(error, doing: "locking the backup")
        }
        do throws(LogError) {
            loaded = try manifests.load()
            try Self.checkIsCopy(loaded.manifest, directory)
            try removeUnlisted()
        } catch {
            lock.release()
            throw error
        }
    }

    private static func checkIsCopy(
        _ manifest: Manifest, _ directory: LogDirectory
    ) throws(LogError) {
        guard manifest.copy != nil, manifest.segments.last?.ending == .copied else {
            throw LogError(
                .notALog, "this is no backup, or a log that was written to since it was one",
                path: directory.root, advice: Self.advice)
        }
    }

    private static let advice = "make the backup in another directory: nothing was changed here"

    private var manifests: ManifestStore { ManifestStore(directory: directory, storage: storage) }

    /// Brings the backup up to date. What is written is durable when this returns.
    func update(
        to view: BackupSource.View, time: UInt64, _ copying: BackupCopying
    ) throws(LogError) -> BackupRound {
        try checkHistory(view)
        try checkTail(view, copying)
        var round = BackupRound(view, time: time, isNew: false)
        let present = loaded.manifest.segments
        if let last = present.last, last.segmentID == view.tail.segmentID,
            last.validEnd >= view.tail.validEnd, hasAll(of: view.manifest)
        {
            round.position = LogPosition(nextSequence: last.endSequence)
            return round
        }
        try announce(view.manifest, time: time)
        var entries: [ManifestSegment] = []
        for index in view.manifest.segments.indices.dropLast() {
            entries.append(try bring(index, of: view.manifest, copying, &round))
        }
        entries.append(try bringTail(view.tail, copying, &round))
        try storing("syncing the backup") { () throws(StorageError) in
            try storage.syncDirectory(directory.segments)
        }
        var manifest = view.manifest(
            entries, generation: nextGeneration, previousHash: loaded.hash, time: time)
        manifest.nextSegmentID = max(manifest.nextSegmentID, loaded.manifest.nextSegmentID)
        try supersede(loaded.manifest, by: &manifest)
        loaded = try manifests.write(manifest)
        round.removedFileCount = try removeUnlisted()
        round.position = LogPosition(
            nextSequence: entries.last?.endSequence ?? view.tail.endSequence)
        return round
    }

    private func hasAll(of manifest: Manifest) -> Bool {
        loaded.manifest.segments.map(\.segmentID) == manifest.segments.map(\.segmentID)
    }

    private var nextGeneration: UInt64 {
        max(loaded.manifest.generation, loaded.tornGenerations.max() ?? 0) + 1
    }

    /// Refuses a log whose past is not that of the backup, or that is behind it.
    private func checkHistory(_ view: BackupSource.View) throws(LogError) {
        let (old, new) = (loaded.manifest, view.manifest)
        guard old.storeID == new.storeID else {
            throw LogError(
                .notALog, "this is a backup of another log", path: directory.root,
                advice: Self.advice)
        }
        let known = Dictionary(
            new.segments.map { ($0.segmentID, $0) }, uniquingKeysWith: { first, _ in first })
        for (index, entry) in old.segments.enumerated() {
            let isAhead = entry.segmentID >= new.nextSegmentID
            let now = known[entry.segmentID]
            let isOther = now.map { $0.salt != entry.salt } ?? false
            let wasEnded = index < old.segments.count - 1 && now?.state == .active
            // Where a restored log began, its original went on: the backup may have that.
            let isPast = now?.ending == .copied && now?.state != .active
            let isCut = isPast && entry.validEnd > now?.validEnd ?? 0
            guard !isAhead, !isOther, !wasEnded, !isCut else {
                throw LogError(
                    .notALog, "the backup has events that this log does not have",
                    path: directory.root, advice: Self.advice)
            }
        }
    }

    /// Refuses a log whose segment is not what was copied of it: a power loss took events back, and
    /// the log went on in their place.
    private func checkTail(
        _ view: BackupSource.View, _ copying: BackupCopying
    ) throws(LogError) {
        guard let last = loaded.manifest.segments.last else { return }
        let now: ManifestSegment
        if last.segmentID == view.tail.segmentID {
            now = view.tail
        } else if let entry = view.manifest.segments.first(where: {
            $0.segmentID == last.segmentID
        }) {
            now = entry
        } else {
            return
        }
        let isSame: Bool
        if now.validEnd > last.validEnd {
            isSame = try copying.hash(before: last.validEnd, of: now) == last.lastHash
        } else if now.validEnd < last.validEnd {
            let file = try storing("reading the backup") { () throws(StorageError) in
                try storage.open(directory.path(of: last), for: .reading)
            }
            defer { try? file.close() }
            isSame = try file.hash(before: now.validEnd, salt: last.salt) == now.lastHash
        } else {
            isSame = now.lastHash == last.lastHash
        }
        guard isSame else {
            throw LogError(
                .notALog, "the backup has events that a power loss took from the log",
                path: directory.root, advice: Self.advice)
        }
    }

    /// Names the segment files that will come, so that they are no sign of a lost manifest.
    private func announce(_ new: Manifest, time: UInt64) throws(LogError) {
        let known = Set(loaded.manifest.segments.map(\.segmentID))
        let coming = new.segments.filter { $0.role == .live && !known.contains($0.segmentID) }
        guard !coming.isEmpty else { return }
        var manifest = loaded.manifest
        manifest.generation = nextGeneration
        manifest.previousHash = loaded.hash
        manifest.nextSegmentID = max(manifest.nextSegmentID, new.nextSegmentID)
        manifest.superseded = coming.map {
            SupersededSegment(
                segmentID: $0.segmentID, generation: manifest.generation, role: .live)
        }
        try checkSuperseded(manifest)
        loaded = try manifests.write(manifest)
    }

    private func checkSuperseded(_ manifest: Manifest) throws(LogError) {
        guard manifest.superseded.count <= FormatLimits.manifestSupersededCountMax else {
            throw LogError(
                .limitExceeded, "the backup is too far behind: \(manifest.superseded.count) files",
                path: directory.root, advice: Self.advice)
        }
    }

    private func bring(
        _ index: Int, of manifest: Manifest, _ copying: BackupCopying, _ round: inout BackupRound
    ) throws(LogError) -> ManifestSegment {
        let entry = manifest.segments[index]
        guard
            let place = loaded.manifest.segments.firstIndex(where: {
                $0.segmentID == entry.segmentID
            })
        else {
            return try copying.bring(index, into: directory, storage, &round)
        }
        let present = loaded.manifest.segments[place]
        guard place == loaded.manifest.segments.count - 1 else { return present }
        return try copying.complete(
            index, from: present.validEnd, in: directory, storage, &round)
    }

    private func bringTail(
        _ tail: ManifestSegment, _ copying: BackupCopying, _ round: inout BackupRound
    ) throws(LogError) -> ManifestSegment {
        guard let last = loaded.manifest.segments.last, last.segmentID == tail.segmentID else {
            return try copying.bringTail(from: 0, into: directory, storage, &round)
        }
        // What a failed sync took back from the log stays here until the log goes on elsewhere.
        if last.validEnd >= tail.validEnd { return last }
        return try copying.bringTail(from: last.validEnd, into: directory, storage, &round)
    }

    /// Names the files that go: until they are gone they must not stand there unlisted.
    private func supersede(_ old: Manifest, by new: inout Manifest) throws(LogError) {
        let kept = Set(new.segments.map(\.segmentID))
        let generation = new.generation
        new.superseded = old.segments.filter { !kept.contains($0.segmentID) }.map {
            SupersededSegment(segmentID: $0.segmentID, generation: generation, role: $0.role)
        }
        let named = kept.union(new.superseded.map(\.segmentID))
        new.superseded += old.superseded.filter { !named.contains($0.segmentID) }
        try checkSuperseded(new)
    }

    /// Removes every segment file and archive that the manifest does not list as one.
    @discardableResult
    private func removeUnlisted() throws(LogError) -> Int {
        let listed = Set(
            loaded.manifest.segments.map { FileName.segment($0.segmentID, role: $0.role) })
        return try storing("removing what archives replaced") { () throws(StorageError) in
            var count = 0
            for name in try storage.list(directory.segments) where !listed.contains(name) {
                guard FileName.segmentID(name) != nil || FileName.archiveID(name) != nil else {
                    continue
                }
                try storage.remove(directory.segments.appending(name))
                count += 1
            }
            if count > 0 { try storage.syncDirectory(directory.segments) }
            // They are gone: the next manifest leaves them out.
            loaded.manifest.superseded = []
            return count
        }
    }
}
