internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Where the files of one log are. See FORMAT.md, The directory.
struct LogDirectory: Sendable {
    let root: FilePath

    /// The file of an archive.
    func archive(_ id: UInt64) -> FilePath {
        segments.appending(FileName.archive(id))
    }

    /// The folder that holds the log's own.
    var parent: FilePath {
        let parent = root.removingLastComponent()
        return parent.isEmpty ? FilePath(".") : parent
    }
    var lock: FilePath { root.appending(FileName.lock) }
    var mark: FilePath { root.appending(FileName.mark) }
    var segments: FilePath { root.appending(FileName.segments) }
    var inbox: FilePath { root.appending(FileName.inbox) }
    var quarantine: FilePath { root.appending(FileName.quarantine) }

    func manifest(_ generation: UInt64) -> FilePath {
        root.appending(FileName.manifest(generation))
    }

    func segment(_ id: UInt64) -> FilePath {
        segments.appending(FileName.segment(id))
    }

    /// Holds on to the directory itself: from here on all files are found in it, whatever its name
    /// leads to in the meantime.
    func anchored(in storage: any Storage) throws(LogError) -> any AnchoredStorage {
        do throws(StorageError) {
            return try storage.anchored(at: root)
        } catch {
            if error.isNotFound {
                throw LogError(.notFound, "there is no log here", path: root)
            }
            if error.errno == .notDirectory {
                throw LogError(.notALog, "this is a file, not a log", path: root)
            }
            throw LogError(error, doing: "opening the log")
        }
    }
}

extension LogDirectory {
    /// Opens a live segment that the manifest lists, for reading.
    ///
    /// - Throws: ``LogError`` with code `corrupt` when the file is missing or is not that segment.
    func openSegment(
        _ index: Int, of manifest: Manifest, _ storage: any Storage
    ) throws(LogError) -> (any StorageFile, SegmentReader) {
        let entry = manifest.segments[index]
        let file = try openListed(entry, storage)
        do throws(LogError) {
            let reader = try SegmentReader(
                file: file, entry: entry, before: index > 0 ? manifest.segments[index - 1] : nil,
                storeID: manifest.storeID)
            return (file, reader)
        } catch {
            try? file.close()
            throw error
        }
    }

    /// Opens an archive that the manifest lists, and checks both of its ends.
    ///
    /// - Throws: ``LogError`` with code `corrupt` when the file is missing or is not that archive.
    func openArchive(
        _ entry: ManifestSegment, storeID: StoreID, _ storage: any Storage
    ) throws(LogError) -> ArchiveFile {
        try opening(entry, storage) { (file) throws(LogError) in
            try ArchiveFile(file, entry, storeID: storeID)
        }
    }

    /// The same for its events alone: of its ends only the beginning is checked.
    func openArchiveBody(
        _ entry: ManifestSegment, storeID: StoreID, _ storage: any Storage
    ) throws(LogError) -> ArchiveBody {
        try opening(entry, storage) { (file) throws(LogError) in
            try ArchiveBody(file, entry, storeID: storeID)
        }
    }

    private func opening<Opened>(
        _ entry: ManifestSegment, _ storage: any Storage,
        _ body: (any StorageFile) throws(LogError) -> Opened
    ) throws(LogError) -> Opened {
        let file = try openListed(entry, storage)
        do throws(LogError) {
            return try body(file)
        } catch {
            try? file.close()
            throw error
        }
    }

    /// Opens the file of an archive of which nothing is checked, for whoever makes another of it.
    func openArchiveFile(_ id: UInt64, _ storage: any Storage) throws(LogError) -> any StorageFile {
        let path = archive(id)
        return try storing("opening an archive") { () throws(StorageError) in
            try storage.open(path, for: .reading)
        }
    }

    /// The file of a segment or archive.
    func path(of entry: ManifestSegment) -> FilePath {
        segments.appending(FileName.segment(entry.segmentID, role: entry.role))
    }

    private func openListed(
        _ entry: ManifestSegment, _ storage: any Storage
    ) throws(LogError) -> any StorageFile {
        let path = path(of: entry)
        do throws(StorageError) {
            return try storage.open(path, for: .reading)
        } catch {
            guard error.isNotFound || error.errno == .isDirectory else {
                throw LogError(error, doing: "opening a segment")
            }
            let message = entry.missingWords
            if error.isNotFound, MarkFile.tellsOfCopy(self, storage) {
                throw .copiedWhileLive(message, path, cause: error)
            }
            throw LogError(.corrupt, message, path: path, cause: error)
        }
    }
}

extension ManifestSegment {
    /// What is said when its file is not there.
    var missingWords: String {
        let (what, events) =
            role == .archive
            ? ("archive", "\(eventCount) events")
            : ("segment", "\(endSequence - firstSequence) events or more")
        return "this \(what) is missing: the manifest lists it with \(events)"
    }
}
