internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Makes a backup where there is none: in a folder of another name, made durable, then renamed. A
/// crash leaves at most a folder `NAME.tmp-…`, which nothing reads.
struct BackupCreation {
    let target: LogDirectory
    let storage: any Storage

    func run(
        _ view: BackupSource.View, time: UInt64, _ copying: BackupCopying
    ) throws(LogError) -> BackupRound {
        guard let name = target.root.lastComponent else {
            throw LogError(.notALog, "this path has no name", path: target.root)
        }
        let temporary = LogDirectory(
            root: target.parent.appending(
                "\(name.string).tmp-\(storage.machine.random().paddedHex)"))
        do throws(LogError) {
            let round = try fill(temporary, view, time: time, copying)
            try storing("naming the backup") { () throws(StorageError) in
                try storage.rename(temporary.root, to: target.root)
                try storage.syncDirectory(target.parent)
            }
            return round
        } catch {
            discard(temporary)
            throw error
        }
    }

    private func fill(
        _ temporary: LogDirectory, _ view: BackupSource.View, time: UInt64,
        _ copying: BackupCopying
    ) throws(LogError) -> BackupRound {
        try storing("making the backup") { () throws(StorageError) in
            try storage.createDirectory(temporary.root)
            try storage.createDirectory(temporary.segments)
        }
        var round = BackupRound(view, time: time, isNew: true)
        var entries: [ManifestSegment] = []
        for index in view.manifest.segments.indices.dropLast() {
            entries.append(try copying.bring(index, into: temporary, storage, &round))
        }
        entries.append(try copying.bringTail(from: 0, into: temporary, storage, &round))
        try storing("making the backup") { () throws(StorageError) in
            try storage.syncDirectory(temporary.segments)
        }
        let manifest = view.manifest(
            entries, generation: view.manifest.generation + 1, previousHash: 0, time: time)
        _ = try ManifestStore(directory: temporary, storage: storage).write(manifest)
        return round
    }

    /// Best effort: what stays is a folder that nothing reads.
    private func discard(_ temporary: LogDirectory) {
        for folder in [temporary.segments, temporary.root] {
            for name in (try? storage.list(folder)) ?? [] {
                try? storage.remove(folder.appending(name))
            }
            try? storage.removeDirectory(folder)
        }
    }
}
