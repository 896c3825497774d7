internal import LoomFormat
internal import LoomStorage

/// What a cursor reads from a sequence on: an archive and the first live segment behind it, or a
/// live segment; and the manifest that lists them.
struct CursorPlace {
    private(set) var manifest: Manifest
    /// The index of the archive, or of the segment where there is none.
    let index: Int
    let archive: ArchiveSequence?
    let segment: SegmentReader
    let file: any StorageFile

    /// Opens what has a sequence.
    ///
    /// A file that is missing may have been archived, or its archive merged, since the manifest was
    /// read: then a newer one says what holds its events.
    ///
    /// - Parameters:
    ///   - before: The entry that was read to its end, where one was.
    ///   - known: The manifest that was read last.
    init(
        at sequence: UInt64, behind before: ManifestSegment? = nil, in known: Manifest?,
        _ manifests: ManifestStore
    ) throws(LogError) {
        var manifest = if let known { known } else { try manifests.load().manifest }
        while true {
            do throws(LogError) {
                try self.init(at: sequence, behind: before, listedBy: manifest, manifests)
                return
            } catch {
                guard (error.cause as? StorageError)?.isNotFound == true else { throw error }
                let newer = try manifests.load().manifest
                guard newer.generation > manifest.generation else { throw error }
                manifest = newer
            }
        }
    }

    private init(
        at sequence: UInt64, behind before: ManifestSegment?, listedBy manifest: Manifest,
        _ manifests: ManifestStore
    ) throws(LogError) {
        self.manifest = manifest
        let (directory, storage) = (manifests.directory, manifests.storage)
        let segments = manifest.segments
        if let before, let place = segments.firstIndex(where: { $0.segmentID == before.segmentID }),
            place + 1 < segments.count
        {
            index = place + 1
        } else {
            index = segments.lastIndex { $0.firstSequence <= sequence } ?? 0
        }
        guard segments[index].role == .archive else {
            archive = nil
            (file, segment) = try directory.openSegment(index, of: manifest, storage)
            return
        }
        let opened = try directory.openArchiveBody(
            segments[index], storeID: manifest.storeID, storage)
        archive = ArchiveSequence(opened, from: sequence)
        // A manifest without a live segment is refused.
        let live = segments.firstIndex { $0.role == .live } ?? segments.count - 1
        (file, segment) = try directory.openSegment(live, of: manifest, storage)
    }
}

extension LogEvent {
    /// An event of an archive: its place is that of the block which has it.
    init(_ event: ArchivedEvent, in id: UInt64) {
        self.init(
            sequence: event.sequence, run: event.run, epoch: event.epoch,
            position: event.position, body: event.body, segmentID: id, offset: event.offset)
    }
}
