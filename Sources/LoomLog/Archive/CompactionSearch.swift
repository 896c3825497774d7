package import LoomFormat
internal import LoomStorage

/// Finds the archives that a rewrite makes smaller, and what it would do to them.
struct CompactionSearch {
    let directory: LogDirectory
    let storage: any Storage
    let semantics: any ArchiveSemantics
    /// Interrupts the work now and then.
    var pace = ArchivePace()
    /// What is known of a run beside what archives tell; `nil` where nothing is.
    var newest: (RunID) throws(LogError) -> [UInt8]? = { (_) throws(LogError) in nil }

    /// Whether a rewrite of an archive of the manifest would change an event.
    func isDue(_ index: Int, of manifest: Manifest) throws(LogError) -> Bool {
        let neighbours = try neighbours(of: index, manifest)
        guard try mayBeDue(manifest.segments[index], manifest, neighbours) else { return false }
        let tally = RewriteTally()
        _ = try merging(tally).measure(
            manifest.segments[index], of: manifest, beside: neighbours,
            until: { !tally.isEmpty })
        return !tally.isEmpty
    }

    /// What a rewrite of every archive of the manifest would do.
    func measure(_ manifest: Manifest) throws(LogError) -> CompactionMeasure {
        var measure = CompactionMeasure()
        for (index, entry) in manifest.segments.enumerated() {
            guard entry.role == .archive else {
                measure.liveBytes += entry.validEnd
                continue
            }
            measure.archiveCount += 1
            measure.bytesBefore += entry.validEnd
            measure.bytesAfter += entry.validEnd
            let neighbours = try neighbours(of: index, manifest)
            guard try mayBeDue(entry, manifest, neighbours) else { continue }
            let tally = RewriteTally()
            let size = try merging(tally).measure(
                entry, of: manifest, beside: neighbours, until: { false })
            guard !tally.isEmpty else { continue }
            measure.rewritten += 1
            measure.bytesAfter += UInt64(size ?? Int(entry.validEnd))
            measure.bytesAfter -= entry.validEnd
            for (run, rewritten) in tally.changed {
                measure.runs[run, default: RewrittenRun()].add(rewritten)
            }
        }
        return measure
    }

    private func neighbours(
        of index: Int, _ manifest: Manifest
    ) throws(LogError) -> ArchiveNeighbours {
        var neighbours = try ArchiveNeighbours(
            of: index..<(index + 1), in: manifest, directory, storage)
        let archived = neighbours.newest
        let known = newest
        neighbours.newest = { (run) throws(LogError) in
            if let summary = try known(run) { return summary }
            return try archived(run)
        }
        return neighbours
    }

    private func merging(_ tally: RewriteTally) -> ArchiveMerging {
        ArchiveMerging(
            directory: directory, storage: storage,
            semantics: MeasuringSemantics(base: semantics, tally: tally), pace: pace)
    }

    /// Whether the rows of an archive say that something of it may be hidden: costs its tables.
    private func mayBeDue(
        _ entry: ManifestSegment, _ manifest: Manifest, _ neighbours: ArchiveNeighbours
    ) throws(LogError) -> Bool {
        let reader = try ArchiveReader(
            try directory.openArchive(entry, storeID: manifest.storeID, storage))
        guard reader.directory.summaryVersion == semantics.summaryVersion else { return true }
        var rows = ArchiveRows<RunTableRow>(reader)
        while let row = try rows.next() {
            guard row.hasEvents else { continue }
            if !semantics.movesWhole(row, newest: try neighbours.newest(row.name)) { return true }
        }
        return false
    }
}

extension LogReader {
    /// Measures what a compaction would do to what is archived, and changes nothing.
    ///
    /// Reads all archives that may change.
    ///
    /// - Parameter newest: A summary of a run that is newer than what archives have, as if its
    ///   events were archived; `nil` where there is none.
    package func measureCompaction(
        _ semantics: any ArchiveSemantics,
        newest: @escaping (RunID) throws(LogError) -> [UInt8]? = { (_) throws(LogError) in nil }
    ) throws(LogError) -> CompactionMeasure {
        let search = CompactionSearch(
            directory: directory, storage: storage, semantics: semantics, newest: newest)
        // What was rewritten and unlinked between the two looks stands in a newer generation.
        return try ManifestStore(directory: directory, storage: storage)
            .withNewest(tries: 5) { manifest throws(LogError) in try search.measure(manifest) }
    }
}
