internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

// Step 1: a log appears whole or not at all. It is made in a folder of another name, synced from
// the inside out, and renamed; a crash leaves at most a folder `NAME.tmp-…`, which nothing reads.

struct LogCreation {
    let directory: LogDirectory
    let options: LogOptions
    let storage: any Storage

    /// Creates the log when there is nothing of its name.
    ///
    /// - Returns: Whether this call created it.
    func run() throws(LogError) -> Bool {
        do throws(StorageError) {
            _ = try storage.list(directory.root)
            return false
        } catch {
            guard error.isNotFound else {
                if error.errno == .notDirectory {
                    throw LogError(.notALog, "this is a file, not a log", path: directory.root)
                }
                throw LogError(error, doing: "opening the log")
            }
            guard options.createsIfMissing else {
                throw LogError(.notFound, "there is no log here", path: directory.root)
            }
            return try create()
        }
    }

    private func create() throws(LogError) -> Bool {
        guard let name = directory.root.lastComponent else {
            throw LogError(.notALog, "this path has no name", path: directory.root)
        }
        let temporary = LogDirectory(
            root: directory.root.removingLastComponent()
                .appending("\(name.string).tmp-\(storage.machine.random().paddedHex)"))
        do throws(LogError) {
            try storing("creating the log") { () throws(StorageError) in
                try storage.createDirectory(temporary.root)
                try storage.createDirectory(temporary.segments)
            }
            try fill(temporary)
            try storing("creating the log") { () throws(StorageError) in
                try storage.syncDirectory(temporary.segments)
                try storage.syncDirectory(temporary.root)
                try storage.rename(temporary.root, to: directory.root)
                do throws(StorageError) {
                    try storage.syncDirectory(directory.parent)
                } catch {
                    // A name that may not be durable is not left for others to build on.
                    try? storage.rename(directory.root, to: temporary.root)
                    throw error
                }
            }
            return true
        } catch {
            discard(temporary)
            // Another process created it in the meantime: that log is as good as ours.
            if let cause = error.cause as? StorageError, cause.isFileExists { return false }
            throw error
        }
    }

    /// The first segment, ended by a close block as after a clean exit, and the first manifest.
    private func fill(_ temporary: LogDirectory) throws(LogError) {
        let machine = storage.machine
        let storeID = StoreID(low: machine.random(), high: machine.random())
        let header = SegmentHeader(
            storeID: storeID, segmentID: 1, writerID: 1, writerEpoch: 1, firstSequence: 1,
            salt: machine.random(), predecessor: .none, created: machine.wallMicroseconds())
        let maker = SegmentMaker(directory: temporary, storage: storage)
        let active = try storing("creating the log") { () throws(StorageError) in
            let prepared = try maker.prepare(1, capacity: options.firstSegmentBytes)
            var active = try maker.begin(prepared, header: header, isFirstAfterOpen: false)
            try active.appendMark(.close, sequence: 1)
            try prepared.file.sync()
            try prepared.file.close()
            return active
        }
        let manifest = Manifest(
            generation: 1, storeID: storeID, writerID: 1, writerEpoch: 1, nextSegmentID: 2,
            previousHash: 0, created: header.created,
            segments: [active.manifestEntry(state: .active, sequence: 1)])
        _ = try ManifestStore(directory: temporary, storage: storage).write(manifest)
    }

    /// Best effort: what stays is a folder that nothing reads.
    private func discard(_ temporary: LogDirectory) {
        try? storage.remove(temporary.segment(1))
        try? storage.remove(temporary.manifest(1))
        try? storage.removeDirectory(temporary.segments)
        try? storage.removeDirectory(temporary.root)
    }
}
