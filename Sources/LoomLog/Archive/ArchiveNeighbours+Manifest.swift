internal import LoomFormat
internal import LoomStorage

extension ArchiveNeighbours {
    /// What the archives of a manifest hold before and behind those that are made or rewritten.
    init(
        of range: Range<Int>, in manifest: Manifest, _ directory: LogDirectory,
        _ storage: any Storage
    ) throws(LogError) {
        let leaves = LeafCache()
        func open(_ entries: some Sequence<ManifestSegment>) throws(LogError) -> ArchiveSet {
            var archives: [ArchiveReader] = []
            for entry in entries where entry.role == .archive {
                archives.append(
                    try ArchiveReader(
                        try directory.openArchive(entry, storeID: manifest.storeID, storage),
                        cache: leaves))
            }
            return ArchiveSet(archives: archives)
        }
        let older = try open(manifest.segments[..<range.lowerBound])
        let newer = try open(manifest.segments[range.upperBound...])
        self.init(
            past: { (run) throws(LogError) in
                try older.row(of: run).map { RunPast(row: $0.row, archives: older) }
            },
            newest: { (run) throws(LogError) in try newer.row(of: run)?.row.summary })
    }
}

/// What some archives hold of a run.
private struct RunPast: ArchivedPast {
    let row: RunTableRow
    let archives: ArchiveSet

    func events(
        _ positions: Range<UInt64>,
        _ body: (_ epoch: UInt64, _ position: UInt64, RawSpan) throws(LogError) -> Bool
    ) throws(LogError) {
        var events = try archives.events(of: row.name, at: positions)
        while let (event, _) = try events.next() {
            // What no runner writes may stand before its time.
            guard event.position >= positions.lowerBound else { continue }
            guard try body(event.epoch, event.position, event.body.rawSpan) else { return }
        }
    }

    func calls(of key: KeyFingerprint) throws(LogError) -> [ArchivedRun.Call] {
        try archives.calls(of: key, in: row.name)
    }
}
