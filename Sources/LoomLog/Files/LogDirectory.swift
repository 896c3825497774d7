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
    /// Opens a segment that the manifest lists, for reading.
    ///
    /// - Throws: ``LogError`` with code `corrupt` when the file is missing or is not that segment.
    func openSegment(
        _ index: Int, of manifest: Manifest, _ storage: any Storage
    ) throws(LogError) -> (any StorageFile, SegmentReader) {
        let entry = manifest.segments[index]
        let path = segment(entry.segmentID)
        let file: any StorageFile
        do throws(StorageError) {
            file = try storage.open(path, for: .reading)
        } catch {
            guard error.isNotFound || error.errno == .isDirectory else {
                throw LogError(error, doing: "opening a segment")
            }
            let events = manifest.segments[index].endSequence - entry.firstSequence
            throw LogError(
                .corrupt,
                "this segment is missing: the manifest lists it with \(events) events or more",
                path: path, cause: error)
        }
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
}
