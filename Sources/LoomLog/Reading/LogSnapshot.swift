internal import LoomFormat
internal import LoomStorage

/// A generation of the log that stays readable while this value lives: its manifest, with its
/// archives open.
///
/// An archive whose file was unlinked since is read all the same. A live segment is opened when it
/// is needed: one that is gone by then was archived, and whoever reads goes on with a newer
/// snapshot. So the generation is pinned only while its archives are opened: a snapshot that is
/// kept would keep everything that is superseded meanwhile on the disk.
final class LogSnapshot: Sendable {
    let manifest: Manifest
    let archives: ArchiveSet
    var generation: UInt64 { manifest.generation }
    /// The segments that are not archives.
    var live: ArraySlice<ManifestSegment> { manifest.segments[archives.archives.count...] }

    /// The sequence that the live segments begin with.
    var firstLiveSequence: UInt64 { live.first?.firstSequence ?? 1 }

    /// Opens the newest generation.
    ///
    /// - Parameter older: A snapshot of before, whose open archives are taken over.
    convenience init(
        of log: LogReader, after older: LogSnapshot?, leaves: LeafCache
    ) throws(LogError) {
        let manifests = ManifestStore(directory: log.directory, storage: log.storage)
        let pins = ReaderPins(directory: log.directory, storage: log.storage)
        var triesLeft = 10
        while true {
            let manifest = try manifests.load().manifest
            let pin = pins.pin(manifest.generation)
            defer { pin?.release() }
            do throws(LogError) {
                try self.init(manifest, of: log, after: older, leaves: leaves)
                return
            } catch {
                // Merged and unlinked before the pin was seen: there is a newer generation.
                triesLeft -= 1
                guard error.isMissingFile, triesLeft > 0,
                    try manifests.newestGeneration() > manifest.generation
                else { throw error }
            }
        }
    }

    private init(
        _ manifest: Manifest, of log: LogReader, after older: LogSnapshot?, leaves: LeafCache
    ) throws(LogError) {
        self.manifest = manifest
        var known: [UInt64: ArchiveReader] = [:]
        for archive in older?.archives.archives ?? [] { known[archive.entry.segmentID] = archive }
        var archives: [ArchiveReader] = []
        for entry in manifest.segments where entry.role == .archive {
            if let archive = known[entry.segmentID] {
                archives.append(archive)
            } else {
                let file = try log.directory.openArchive(
                    entry, storeID: manifest.storeID, log.storage)
                archives.append(try ArchiveReader(file, cache: leaves))
            }
        }
        self.archives = ArchiveSet(archives: archives)
    }
}

extension ManifestStore {
    /// The highest generation of which there is a file, good or bad; 0 when there is none.
    func newestGeneration() throws(LogError) -> UInt64 {
        let (storage, root) = (self.storage, directory.root)
        let names = try storing("looking at the log") { () throws(StorageError) in
            try storage.list(root)
        }
        return names.compactMap(FileName.manifestGeneration).max() ?? 0
    }
}

extension LogError {
    /// Whether a file that a manifest lists was not there.
    var isMissingFile: Bool { (cause as? StorageError)?.isNotFound == true }
}
