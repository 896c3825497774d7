internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// An archive that a manifest lists, opened and checked at its beginning: what its events need.
///
/// What stands behind the events is not looked at: tables, directory and seal are derived, and
/// damage to them costs no event.
struct ArchiveBody: Sendable {
    let file: any StorageFile
    let entry: ManifestSegment
    let header: SegmentHeader
    private let headerHash: UInt64

    var path: FilePath { file.path }
    /// Reads single blocks.
    var blocks: ArchiveBlocks { ArchiveBlocks(file: file, salt: header.salt) }

    /// Checks the header of an open file.
    ///
    /// - Throws: ``LogError`` with code `corrupt` when it is not the archive that was meant.
    init(
        _ file: any StorageFile, _ entry: ManifestSegment, storeID: StoreID
    ) throws(LogError) {
        (self.file, self.entry) = (file, entry)
        (header, headerHash) = try Self.readHeader(file, entry, storeID: storeID)
    }

    /// Reads the header of the archive that an entry names, and its hash.
    private static func readHeader(
        _ file: any StorageFile, _ entry: ManifestSegment, storeID: StoreID
    ) throws(LogError) -> (SegmentHeader, hash: UInt64) {
        let bytes = try storing("reading an archive") { () throws(StorageError) in
            try file.readBytes(count: SegmentHeader.byteCount, at: 0)
        }
        let (header, hash) = try refusing(file.path, at: 0, "archive header refused") {
            () throws(FormatError) in try SegmentHeader.decode(bytes.rawSpan)
        }
        guard header.role == .archive, header.segmentID == entry.segmentID,
            header.storeID == storeID, header.salt == entry.salt,
            header.firstSequence == entry.firstSequence
        else {
            throw LogError(
                .corrupt, "this is not the archive that the manifest lists", path: file.path,
                offset: 0)
        }
        return (header, hash)
    }

    /// Every block of the archive from the first on, checked by its hashes and the chain.
    func walk() -> ArchiveWalk {
        ArchiveWalk(blocks, header, hash: headerHash, end: Int(entry.validEnd))
    }
}

/// An archive that a manifest lists, opened and checked at both of its ends: header and seal.
///
/// Its index is not looked at: that is derived, and damage to it costs no event.
struct ArchiveFile: Sendable {
    /// What its events need.
    let body: ArchiveBody
    let seal: ArchiveSeal

    /// Bytes of the seal's block.
    static let sealBytes = BlockHeader.byteCount + ArchiveSeal.byteCount

    var file: any StorageFile { body.file }
    var entry: ManifestSegment { body.entry }
    var header: SegmentHeader { body.header }
    var path: FilePath { body.path }
    /// Where the seal begins, and what the directory must end before.
    var sealOffset: Int { Int(entry.validEnd) - Self.sealBytes }
    /// Reads single blocks.
    var blocks: ArchiveBlocks { body.blocks }

    /// Checks the ends of an open file.
    ///
    /// - Throws: ``LogError`` with code `corrupt` and the offset when it is not the archive that
    ///   was meant, or one of its ends is damaged.
    init(
        _ file: any StorageFile, _ entry: ManifestSegment, storeID: StoreID
    ) throws(LogError) {
        body = try ArchiveBody(file, entry, storeID: storeID)
        let size = try storing("reading an archive") { () throws(StorageError) in
            try file.size()
        }
        try entry.checkSize(size, of: file.path)
        seal = try Self.readSeal(file, entry)
    }

    private static func readSeal(
        _ file: any StorageFile, _ entry: ManifestSegment
    ) throws(LogError) -> ArchiveSeal {
        let offset = Int(entry.validEnd) - sealBytes
        let block = try ArchiveBlocks(file: file, salt: entry.salt)
            .read(at: offset, kind: .seal, end: Int(entry.validEnd))
        guard block.header.headerHash == entry.lastHash else {
            throw LogError(
                .corrupt, "this is not the seal that the manifest names", path: file.path,
                offset: offset)
        }
        let seal = try refusing(file.path, at: offset, "seal refused") {
            () throws(FormatError) in try ArchiveSeal(decoding: block.payload.rawSpan)
        }
        guard seal.firstSequence == entry.firstSequence, seal.endSequence == entry.endSequence,
            seal.eventCount == entry.eventCount
        else {
            throw LogError(
                .corrupt, "the seal counts something else than the manifest", path: file.path,
                offset: offset)
        }
        return seal
    }
}

extension ManifestSegment {
    /// Refuses the file of an archive that has another size than the manifest says.
    func checkSize(_ size: Int, of path: FilePath) throws(LogError) {
        guard size == Int(validEnd) else {
            throw LogError(
                .corrupt, "the archive has \(size) bytes of \(validEnd)", path: path)
        }
    }
}
