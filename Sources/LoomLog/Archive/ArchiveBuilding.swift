internal import LoomFormat
internal import LoomStorage

/// Makes one archive of sealed live segments: gathers their events by run, writes them with their
/// tables, and reads everything back.
///
/// The log is not changed: the archive is a file that no manifest lists.
struct ArchiveBuilding {
    let directory: LogDirectory
    let storage: any Storage
    let semantics: any ArchiveSemantics
    /// Interrupts the work now and then.
    var pace = ArchivePace()

    /// Writes the archive of some adjacent segments, syncs it, and compares it with what they hold.
    ///
    /// - Parameters:
    ///   - segments: Ended live segments of the manifest, in order.
    ///   - id: The archive's number, that of no other segment.
    ///   - neighbours: What the archives before these segments hold.
    /// - Returns: The archive's entry for a manifest.
    /// - Throws: ``LogError`` when a segment is damaged, or when the file does not read back to
    ///   what was gathered. The file is removed then, as far as the system lets go of it.
    func build(
        _ segments: Range<Int>, of manifest: Manifest, as id: UInt64,
        beside neighbours: ArchiveNeighbours = ArchiveNeighbours()
    ) throws(LogError) -> ManifestSegment {
        let gathering = try gather(segments, of: manifest)
        let place = ArchiveMaking.Place(id: id, sources: Array(manifest.segments[segments]))
        let making = ArchiveMaking(
            directory: directory, storage: storage, semantics: semantics, pace: pace)
        return try making.make(place, of: manifest) {
            (writer) throws(LogError) in
            for run in gathering.names {
                let past = try neighbours.past(run)
                let looksAhead =
                    past.map { semantics.leavesOut($0.row.summary) } ?? false
                    || gathering.mayLeaveOut(run)
                try making.writeSlice(
                    of: run, byteCount: gathering.byteCount(of: run),
                    after: past, newest: try neighbours.newest(run), looksAhead: looksAhead,
                    to: &writer
                ) { (take) throws(LogError) in
                    try gathering.forEachEvent(of: run, take)
                }
            }
        }
    }

    private func gather(
        _ segments: Range<Int>, of manifest: Manifest
    ) throws(LogError) -> LiveGathering {
        let bytes = manifest.segments[segments].reduce(0) { $0 + Int($1.validEnd) }
        var gathering = LiveGathering(semantics, byteCount: bytes)
        for index in segments {
            let entry = manifest.segments[index]
            let path = directory.segment(entry.segmentID)
            let file = try storing("opening a segment") { () throws(StorageError) in
                try storage.open(path, for: .reading)
            }
            defer { try? file.close() }
            try gathering.read(
                try SegmentReader(
                    file: file, entry: entry,
                    before: index > 0 ? manifest.segments[index - 1] : nil,
                    storeID: manifest.storeID), pace)
        }
        return gathering
    }
}
