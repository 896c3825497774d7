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

    /// Writes the archive of some adjacent segments, syncs it, and compares it with what they hold.
    ///
    /// - Parameters:
    ///   - segments: Ended live segments of the manifest, in order.
    ///   - id: The archive's number, that of no other segment.
    /// - Returns: The archive's entry for a manifest.
    /// - Throws: ``LogError`` when a segment is damaged, or when the file does not read back to
    ///   what was gathered. The file is removed then, as far as the system lets go of it.
    func build(
        _ segments: Range<Int>, of manifest: Manifest, as id: UInt64
    ) throws(LogError) -> ManifestSegment {
        var gathering = LiveGathering()
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
                    storeID: manifest.storeID))
        }
        let path = directory.archive(id)
        let file = try storing("creating an archive") { () throws(StorageError) in
            try storage.create(path)
        }
        do throws(LogError) {
            defer { try? file.close() }
            let entry = try write(gathering, segments, manifest, id, file)
            try ArchiveVerification.verify(file, entry, manifest.storeID, against: gathering)
            return entry
        } catch {
            try? storage.remove(path)
            throw error
        }
    }

    private func write(
        _ gathering: borrowing LiveGathering, _ segments: Range<Int>, _ manifest: Manifest,
        _ id: UInt64, _ file: any StorageFile
    ) throws(LogError) -> ManifestSegment {
        let first = manifest.segments[segments.lowerBound].firstSequence
        let end = manifest.segments[segments.upperBound - 1].endSequence
        let machine = storage.machine
        let header = SegmentHeader(
            role: .archive, storeID: manifest.storeID, segmentID: id, writerID: manifest.writerID,
            writerEpoch: manifest.writerEpoch, firstSequence: first, salt: machine.random(),
            predecessor: .none, created: machine.wallMicroseconds())
        var writer = try ArchiveWriter(file, header, summaryVersion: semantics.summaryVersion)
        var times = ArchiveTimes()
        for run in gathering.runs {
            let spans = gathering.events(of: run)
            var slice = try semantics.begin(run, after: nil, newest: nil)
            try writer.begin(run, byteCount: spans.reduce(0) { $0 + $1.recordByteCount })
            let give: ArchiveSlice.Give = {
                (epoch, position, sequence, body, progress) throws(LogError) in
                try writer.append(
                    epoch: epoch, position: position, sequence: sequence, body, progress)
            }
            for span in spans {
                let body = gathering.body(span)
                times.see(body)
                try slice.take(
                    epoch: span.epoch, position: span.position, sequence: span.sequence, body,
                    give: give)
            }
            if let row = try slice.finish(give: give) { try writer.end(row) }
        }
        let written = try writer.finish(covering: first..<end, times: times.range)
        try storing("syncing an archive") { () throws(StorageError) in
            try file.sync()
            try storage.syncDirectory(directory.segments)
        }
        file.dropCache()
        var entry = ManifestSegment(
            segmentID: id, role: .archive, state: .sealed, firstSequence: first, endSequence: end,
            validEnd: UInt64(written.byteCount), lastHash: written.lastHash, salt: header.salt,
            eventCount: written.seal.eventCount)
        // What one recovery found is told on; of several there is no place to tell it.
        let recovered = manifest.segments[segments].filter { $0.state == .recovered }
        if let only = recovered.first, recovered.count == 1 {
            (entry.ending, entry.discardedBytes) = (only.ending, only.discardedBytes)
            entry.discardedHash = only.discardedHash
        }
        return entry
    }
}

/// The least and the greatest time of events whose heads are as the format has them.
private struct ArchiveTimes {
    private var least = UInt64.max
    private var greatest: UInt64 = 0

    mutating func see(_ body: RawSpan) {
        guard let time = EventHead(body)?.time else { return }
        (least, greatest) = (min(least, time), max(greatest, time))
    }

    var range: ClosedRange<UInt64> { least <= greatest ? least...greatest : 0...0 }
}
