internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Reads the newest manifest and creates the next one; generations are immutable files.
struct ManifestStore: Sendable {
    let directory: LogDirectory
    let storage: any Storage

    /// How many generations stay on disk.
    private static let keptCount = 3

    /// A manifest and what is needed to write the next.
    struct Loaded: Sendable {
        var manifest: Manifest
        var hash: UInt64
        /// Newer files without one valid copy: creations that a crash cut.
        var tornGenerations: [UInt64]
    }

    /// Loads the highest generation that has a valid copy.
    ///
    /// A newer file without one is a creation cut by a crash, as nothing acts on a manifest before
    /// it is durable. A newer file may also be gone. In both cases a segment that holds units and
    /// is not listed shows that the newest manifest is lost: going on with an older one would
    /// silently shorten the log. A writer lists a segment before it stores units there, so a second
    /// look tells a writer at work from a loss.
    func load() throws(LogError) -> Loaded {
        var suspect: (generation: UInt64, segmentID: UInt64)?
        var triesLeft = 5
        while true {
            let loaded: Loaded
            do throws(LogError) {
                loaded = try loadOnce()
            } catch {
                // A writer that rolls fast removed the file between the listing and the opening.
                guard (error.cause as? StorageError)?.isNotFound == true, error.code == .io,
                    triesLeft > 0
                else { throw error }
                triesLeft -= 1
                continue
            }
            guard let lost = try unlistedSegments(loaded.manifest).first(where: \.hasUnits) else {
                try checkCopy(loaded.manifest)
                return loaded
            }
            let generation = loaded.manifest.generation
            if let suspect, suspect == (generation, lost.id) {
                throw lostManifest(directory.segment(lost.id))
            }
            suspect = (generation, lost.id)
        }
    }

    /// A segment that holds units is not listed.
    func lostManifest(_ segment: FilePath) -> LogError {
        let what = "this segment holds units and no manifest lists it"
        return MarkFile.tellsOfCopy(directory, storage)
            ? .copiedWhileLive(what, segment, offset: SegmentHeader.byteCount)
            : LogError(
                .corrupt, "the newest manifest is lost: \(what)", path: segment,
                offset: SegmentHeader.byteCount)
    }

    /// Of a copy that nobody has written to: its first missing file names the cause, before any
    /// file that is there and older than the manifest is called damaged.
    private func checkCopy(_ manifest: Manifest) throws(LogError) {
        guard MarkFile.tellsOfCopy(directory, storage),
            let names = try? storage.list(directory.segments)
        else { return }
        let there = Set(names)
        for entry in manifest.segments
        where !there.contains(FileName.segment(entry.segmentID, role: entry.role)) {
            throw .copiedWhileLive(entry.missingWords, directory.path(of: entry))
        }
    }

    /// A segment file that a manifest does not list, and whether it holds anything.
    struct Unlisted {
        let id: UInt64
        let hasUnits: Bool
    }

    /// Segment files that the manifest does not name: prepared ones, and those of a roll that a
    /// crash cut.
    func unlistedSegments(_ manifest: Manifest) throws(LogError) -> [Unlisted] {
        let listed = Set(manifest.segments.map(\.segmentID))
            .union(manifest.superseded.map(\.segmentID))
        return try storing("listing the segments") { () throws(StorageError) in
            var unlisted: [Unlisted] = []
            let names: [String]
            do throws(StorageError) {
                names = try storage.list(directory.segments)
            } catch {
                // Without its folder every listed segment is missing, which is told of the first.
                if error.isNotFound || error.errno == .notDirectory { return [] }
                throw error
            }
            for id in names.compactMap(FileName.segmentID) where !listed.contains(id) {
                let file: any StorageFile
                do throws(StorageError) {
                    file = try storage.open(directory.segment(id), for: .reading)
                } catch {
                    // A writer that went away took its prepared file with it.
                    if error.isNotFound { continue }
                    throw error
                }
                defer { try? file.close() }
                let start = try file.readBytes(
                    count: FormatLimits.pageBytes, at: SegmentHeader.byteCount)
                unlisted.append(Unlisted(id: id, hasUnits: start.usedByteCount > 0))
            }
            return unlisted
        }
    }

    static func noManifest(_ directory: LogDirectory) -> LogError {
        LogError(.notALog, "this is no log: there is no manifest in it", path: directory.root)
    }

    /// Whether there is any manifest, good or bad.
    func exists() throws(LogError) -> Bool {
        try listNames().contains { FileName.manifestGeneration($0) != nil }
    }

    private func loadOnce() throws(LogError) -> Loaded {
        let names = try listNames()
        let generations = names.compactMap(FileName.manifestGeneration).sorted(by: >)
        guard !generations.isEmpty else {
            throw Self.noManifest(directory)
        }
        var torn: [UInt64] = []
        var refusal: LogError?
        for generation in generations {
            do throws(LogError) {
                let (manifest, hash) = try read(generation)
                return Loaded(manifest: manifest, hash: hash, tornGenerations: torn)
            } catch {
                // What is no file was no creation that a crash cut.
                let isNoFile = (error.cause as? StorageError)?.isNoFile == true
                if error.code != .corrupt || isNoFile { throw error }
                refusal = refusal ?? error
                torn.append(generation)
            }
        }
        throw refusal ?? LogError(.corrupt, "no usable manifest", path: directory.root)
    }

    private func listNames() throws(LogError) -> [String] {
        do throws(StorageError) {
            return try storage.list(directory.root)
        } catch {
            if error.isNotFound {
                throw LogError(.notFound, "there is no log here", path: directory.root)
            }
            if error.errno == .notDirectory {
                throw LogError(.notALog, "this is a file, not a log", path: directory.root)
            }
            throw LogError(error, doing: "opening the log")
        }
    }

    private func read(
        _ generation: UInt64
    ) throws(LogError) -> (manifest: Manifest, hash: UInt64) {
        let path = directory.manifest(generation)
        let (bytes, size) = try storing("reading the manifest") { () throws(StorageError) in
            let file = try storage.open(path, for: .reading)
            defer { try? file.close() }
            let size = try file.size()
            return (
                try file.readBytes(count: min(size, FormatLimits.manifestBytesMax), at: 0), size
            )
        }
        guard size <= FormatLimits.manifestBytesMax else {
            throw LogError(.corrupt, "a manifest of \(size) bytes", path: path)
        }
        let decoded: (manifest: Manifest, hash: UInt64, hasDamagedCopy: Bool)
        do throws(FormatError) {
            decoded = try Manifest.decodeFile(bytes.rawSpan, generation: generation)
        } catch {
            throw LogError(error, in: path, what: "manifest refused")
        }
        return (decoded.manifest, decoded.hash)
    }

    /// Makes `manifest` the one that holds; it and its name are durable when this returns.
    ///
    /// Out of space leaves nothing behind and may be tried again.
    func write(_ manifest: Manifest) throws(LogError) -> Loaded {
        let path = directory.manifest(manifest.generation)
        let (bytes, hash) = manifest.encodedFile()
        do throws(StorageError) {
            let file = try storage.create(path)
            defer { try? file.close() }
            try file.writeBytes(bytes, at: 0)
            try file.sync()
            try storage.syncDirectory(directory.root)
        } catch {
            throw refusal(of: path, error)
        }
        removeOld(before: manifest.generation)
        return Loaded(manifest: manifest, hash: hash, tornGenerations: [])
    }

    /// Takes back a manifest that found no room.
    ///
    /// Nobody may act on the refusal, by removing what the manifest lists, before the removal is
    /// durable: a crash would bring the manifest back. After a failed sync, for want of space too,
    /// that is not to be had.
    private func refusal(of path: FilePath, _ error: StorageError) -> LogError {
        let what = "writing the manifest"
        let refusal = LogError(error, doing: what)
        guard error.isOutOfSpace else { return refusal }
        let isSync = [.sync, .syncDirectory].contains(error.operation)
        do throws(StorageError) {
            if isSync { throw error }
            // Only what this call created goes: a file of that name that was there stays.
            if error.operation != .create { try storage.remove(path) }
            try storage.syncDirectory(directory.root)
            return refusal
        } catch {
            return LogError(.io, refusal.message, path: refusal.path, cause: error)
        }
    }

    /// Superseded generations are of no use but to a person; failing to remove one harms nothing.
    private func removeOld(before generation: UInt64) {
        guard let names = try? storage.list(directory.root) else { return }
        for old in names.compactMap(FileName.manifestGeneration)
        where old + UInt64(Self.keptCount) <= generation {
            try? storage.remove(directory.manifest(old))
        }
    }
}
