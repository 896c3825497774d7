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
    /// - Parameters:
    ///   - older: A snapshot of before, whose open archives are taken over.
    ///   - damaged: Archives whose tables cannot be read.
    ///   - semantics: Makes such tables anew; `nil` where nobody can.
    convenience init(
        of log: LogReader, after older: LogSnapshot?, leaves: LeafCache, damaged: Set<UInt64>,
        _ semantics: (any ArchiveSemantics)?
    ) throws(LogError) {
        let manifests = ManifestStore(directory: log.directory, storage: log.storage)
        let pins = ReaderPins(directory: log.directory, storage: log.storage)
        // Merged and unlinked before the pin was seen: there is a newer generation then.
        let (manifest, archives) = try manifests.withNewest(tries: 10) {
            manifest throws(LogError) in
            let pin = pins.pin(manifest.generation)
            defer { pin?.release() }
            let opening = ArchivesOpening(
                manifest: manifest, log: log, leaves: leaves, damaged: damaged,
                semantics: semantics)
            return (manifest, try opening.open(after: older))
        }
        self.init(manifest, archives)
    }

    private init(_ manifest: Manifest, _ archives: ArchiveSet) {
        (self.manifest, self.archives) = (manifest, archives)
    }
}

/// Opens the archives of a manifest, oldest first; those whose tables cannot be read with others in
/// their place.
private struct ArchivesOpening {
    let manifest: Manifest
    let log: LogReader
    let leaves: LeafCache
    let damaged: Set<UInt64>
    let semantics: (any ArchiveSemantics)?

    func open(after older: LogSnapshot?) throws(LogError) -> ArchiveSet {
        var known: [UInt64: ArchiveReader] = [:]
        for archive in older?.archives.archives ?? [] { known[archive.entry.segmentID] = archive }
        var archives: [ArchiveReader] = []
        for entry in manifest.segments where entry.role == .archive {
            var archive: ArchiveReader
            if let archived = known[entry.segmentID] {
                archive = archived
            } else {
                archive = try open(entry, behind: archives)
            }
            if damaged.contains(entry.segmentID), !archive.isMended {
                // Where its events are damaged, too, other runs are read as before.
                archive = try mended(entry, behind: archives) ?? archive
            }
            archives.append(archive)
        }
        return ArchiveSet(archives: archives)
    }

    private func open(
        _ entry: ManifestSegment, behind older: [ArchiveReader]
    ) throws(LogError) -> ArchiveReader {
        do throws(LogError) {
            let file = try log.directory.openArchive(
                entry, storeID: manifest.storeID, log.storage)
            return try ArchiveReader(file, cache: leaves)
        } catch {
            // Its end is where the tables are found from.
            guard error.code == .corrupt, !error.isMissingFile,
                let archive = try mended(entry, behind: older)
            else { throw error }
            return archive
        }
    }

    /// - Returns: `nil` where nobody can, as its events are damaged, too.
    private func mended(
        _ entry: ManifestSegment, behind older: [ArchiveReader]
    ) throws(LogError) -> ArchiveReader? {
        guard let semantics else { return nil }
        let neighbours = ArchiveNeighbours(
            older: ArchiveSet(archives: older), newer: ArchiveSet(archives: []),
            forgivesNewer: true)
        do throws(LogError) {
            return try MendedArchive(
                directory: log.directory, storage: log.storage, semantics: semantics
            ).open(entry, of: manifest, beside: neighbours)
        } catch {
            // What failed otherwise may work the next time.
            guard error.code == .corrupt, !error.isMissingFile else { throw error }
            return nil
        }
    }
}

extension ManifestStore {
    /// Reads the newest generation, and calls `body` with it; again with a newer one where a file
    /// that it lists is gone by then.
    func withNewest<Result>(
        tries: Int, _ body: (Manifest) throws(LogError) -> Result
    ) throws(LogError) -> Result {
        var triesLeft = tries
        while true {
            let manifest = try load().manifest
            do throws(LogError) {
                return try body(manifest)
            } catch {
                triesLeft -= 1
                guard error.isMissingFile, triesLeft > 0 else { throw error }
                let newest = try newestGeneration()
                guard newest > manifest.generation else { throw error }
            }
        }
    }

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
