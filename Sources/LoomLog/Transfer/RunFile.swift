package import LoomFormat
package import LoomStorage
package import SystemPackage

/// Reads a file of runs, as ``RunFileWriter`` makes it: every hash is checked on the way.
package struct RunFile {
    private var sequence: ArchiveSequence
    /// The store that the runs come from.
    package let storeID: StoreID
    /// How many runs it has.
    package let runCount: UInt64
    /// How many events it has.
    package let eventCount: UInt64

    /// One event of a run, in order of position.
    package struct Event {
        /// The run.
        package let run: RunID
        /// The epoch of whoever wrote it.
        package let epoch: UInt64
        /// Its number in the run.
        package let position: UInt64
        /// Its bytes.
        package let body: [UInt8]
    }

    /// Opens a file and checks both of its ends.
    ///
    /// - Throws: ``LogError`` with code `notFound`, `corrupt`, `unsupportedVersion`, `io`.
    package init(
        _ path: FilePath, storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        let file: any StorageFile
        do throws(StorageError) {
            file = try storage.open(path, for: .reading)
        } catch {
            guard error.isNotFound else { throw LogError(error, doing: "opening the file") }
            throw LogError(
                .notFound, "there is no such file", path: path, cause: error,
                advice: "check the file's name")
        }
        let header = try Self.header(file)
        let archive = try ArchiveFile(file, Self.entry(file, header), storeID: header.storeID)
        sequence = ArchiveSequence(archive.body, from: 1, checksRest: true)
        storeID = header.storeID
        (runCount, eventCount) = (archive.seal.runCount, archive.seal.eventCount)
    }

    private static func header(_ file: any StorageFile) throws(LogError) -> SegmentHeader {
        let bytes = try storing("reading the file") { () throws(StorageError) in
            try file.readBytes(count: SegmentHeader.byteCount, at: 0)
        }
        return try refusing(file.path, at: 0, "this is no file of runs") {
            () throws(FormatError) -> SegmentHeader in
            let (header, _) = try SegmentHeader.decode(bytes.rawSpan)
            guard header.role == .archive else { throw .invalid("a segment of another role") }
            return header
        }
    }

    /// What a manifest would say of it: an export has its end from its own size and seal.
    private static func entry(
        _ file: any StorageFile, _ header: SegmentHeader
    ) throws(LogError) -> ManifestSegment {
        let size = try storing("reading the file") { () throws(StorageError) in try file.size() }
        let seal = try ArchiveBlocks(file: file, salt: header.salt)
            .read(at: size - ArchiveFile.sealBytes, kind: .seal, end: size)
        let told = try refusing(file.path, at: size - ArchiveFile.sealBytes, "seal refused") {
            () throws(FormatError) in try ArchiveSeal(decoding: seal.payload.rawSpan)
        }
        return ManifestSegment(
            segmentID: header.segmentID, role: .archive, state: .sealed,
            firstSequence: told.firstSequence, endSequence: told.endSequence,
            validEnd: UInt64(size), lastHash: seal.header.headerHash, salt: header.salt,
            eventCount: told.eventCount)
    }

    /// The next event; `nil` behind the last.
    package mutating func next() throws(LogError) -> Event? {
        try sequence.next().map {
            Event(run: $0.run, epoch: $0.epoch, position: $0.position, body: $0.body)
        }
    }
}
