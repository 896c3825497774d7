internal import LoomFormat
internal import LoomStorage

extension ArchiveNeighbours {
    /// What the archives of a manifest hold before and behind those that are made or rewritten.
    ///
    /// - Parameter forgivesNewer: Whether a newer archive whose tables are damaged, too, is as if
    ///   it told nothing: less is left out then, and no answer changes.
    init(
        of range: Range<Int>, in manifest: Manifest, _ directory: LogDirectory,
        _ storage: any Storage, forgivesNewer: Bool = false
    ) throws(LogError) {
        let leaves = LeafCache()
        func open(
            _ entries: some Sequence<ManifestSegment>, forgives: Bool = false
        ) throws(LogError) -> ArchiveSet {
            var archives: [ArchiveReader] = []
            for entry in entries where entry.role == .archive {
                let archive = try forgiving(forgives) { () throws(LogError) in
                    try ArchiveReader(
                        try directory.openArchive(entry, storeID: manifest.storeID, storage),
                        cache: leaves)
                }
                if let archive { archives.append(archive) }
            }
            return ArchiveSet(archives: archives)
        }
        let older = try open(manifest.segments[..<range.lowerBound])
        let newer = try open(
            manifest.segments[range.upperBound...], forgives: forgivesNewer)
        self.init(older: older, newer: newer, forgivesNewer: forgivesNewer)
    }

    /// What open archives hold before and behind others.
    init(older: ArchiveSet, newer: ArchiveSet, forgivesNewer: Bool) {
        self.init(
            past: { (run) throws(LogError) in
                try older.row(of: run).map { RunPast(row: $0.row, archives: older) }
            },
            newest: { (run) throws(LogError) in
                try forgiving(forgivesNewer) { () throws(LogError) in
                    try newer.row(of: run)?.row.summary
                } ?? nil
            })
    }
}

/// Runs `body`; damage is `nil` where it is forgiven.
private func forgiving<Result>(
    _ forgives: Bool, _ body: () throws(LogError) -> Result
) throws(LogError) -> Result? {
    do throws(LogError) {
        return try body()
    } catch {
        guard forgives, error.code == .corrupt else { throw error }
        return nil
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
