internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Where the files of one log are. See FORMAT.md, The directory.
struct LogDirectory: Sendable {
    let root: FilePath

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
}
