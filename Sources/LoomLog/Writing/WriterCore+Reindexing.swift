internal import LoomFormat
internal import LoomStorage

// Tables of archives are derived: those that are damaged, missing or of another version are made
// anew from the events. The archiver does it by itself when it begins, and again when a job failed
// for damage, before it does anything else.

extension WriterCore {
    func reindex(
        onlyDamaged: Bool, _ report: (CompactionProgress) throws(LogError) -> Void
    ) throws(LogError) -> CompactionProgress {
        try withArchiver { archiving throws(LogError) in
            try checkCompactionSpace()
            var progress = begunProgress { $0.role == .archive }
            let archives = manifests.manifest.segments.filter { $0.role == .archive }
            progress.archiveCount = archives.count
            for entry in archives {
                var isDue = !onlyDamaged
                if onlyDamaged { isDue = try !hasGoodTables(entry, archiving, reads: true) }
                if isDue { try replace(.reindex(entry.segmentID), archiving, &progress) }
                progress.archivesDone += 1
                try tell(progress, report)
            }
            return progress
        }
    }

    /// Which tables the archiver looks at before its next job.
    enum TableCheck: Sendable {
        case none
        /// Whether there is a directory of this version.
        case ends
        /// Every leaf.
        case all
    }

    /// The next archive whose tables are to be made anew; `nil` when none is known to be.
    func archiveToReindex(
        _ manifest: Manifest, _ archiving: ArchivingOptions
    ) throws(LogError) -> UInt64? {
        let (check, given) = monitor.withLock {
            ($0.archiving.tableCheck, $0.archiving.unmendable)
        }
        if check == .none { return nil }
        for entry in manifest.segments
        where entry.role == .archive && !given.contains(entry.segmentID) {
            try goOn()
            if try !hasGoodTables(entry, archiving, reads: check == .all) {
                return entry.segmentID
            }
        }
        monitor.withLock { $0.archiving.tableCheck = .none }
        return nil
    }

    /// Makes the tables of an archive anew. One whose events are damaged is left as it is: what can
    /// be read of it is read, and the rest of the log goes on.
    func reindex(
        _ id: UInt64, _ manifest: Manifest, _ archiving: ArchivingOptions
    ) throws(Ending) {
        do throws(Ending) {
            try perform(.reindex(id), manifest, archiving)
        } catch {
            guard case .putOff(let cause) = error, cause.code == .corrupt else { throw error }
            monitor.withLock { _ = $0.archiving.unmendable.insert(id) }
        }
    }

    private func hasGoodTables(
        _ entry: ManifestSegment, _ archiving: ArchivingOptions, reads: Bool
    ) throws(LogError) -> Bool {
        let file = try maker.directory.openArchiveFile(entry.segmentID, storage)
        defer { try? file.close() }
        do throws(LogError) {
            let reader = try ArchiveReader(
                file: file, entry: entry, storeID: manifests.manifest.storeID)
            guard reader.directory.summaryVersion == archiving.semantics.summaryVersion else {
                return false
            }
            if reads { try reader.checkTables() }
            return true
        } catch {
            guard error.code == .corrupt || error.code == .unsupportedVersion else { throw error }
            return false
        }
    }
}
