internal import LoomFormat
internal import LoomStorage

/// The log that a backup is made of, read as any reader reads it: also while it is written.
struct BackupSource {
    let directory: LogDirectory
    let storage: any AnchoredStorage
    /// Stands at the end that was seen last, so that a next look reads only what came since.
    private var cursor: LogCursor?

    /// What a backup is made of: the ended files of a manifest, and the active segment as far as it
    /// was published.
    struct View {
        let manifest: Manifest
        /// The active segment's entry, ended where it was read to.
        let tail: ManifestSegment
        let file: any StorageFile

        var position: LogPosition { LogPosition(nextSequence: tail.endSequence) }
    }

    init(_ directory: LogDirectory, _ storage: any AnchoredStorage) {
        (self.directory, self.storage) = (directory, storage)
    }

    private var manifests: ManifestStore { ManifestStore(directory: directory, storage: storage) }

    /// Reads on to the present end, with every hash on the way checked.
    mutating func look() throws(LogError) -> View {
        guard cursor != nil else { return try readOn() }
        do throws(LogError) {
            return try readOn()
        } catch {
            // A failed sync may have taken back what was read: then a new look decides.
            cursor = nil
            return try readOn()
        }
    }

    /// Forgets what was read: files of that manifest are gone.
    mutating func lookAnew() { cursor = nil }

    private mutating func readOn() throws(LogError) -> View {
        var triesLeft = 20
        while true {
            var cursor = if let known = self.cursor { known } else { try fresh() }
            while try cursor.nextUnit(of: Self.nobody) != nil {}
            self.cursor = cursor
            // A writer has the log.
            if cursor.endRule == nil { return cursor.backupView }
            let view = cursor.backupView
            // Nobody tells a reader that stands at an unclean end of a writer that came and went.
            let newest = try manifests.load().manifest.generation
            if newest == view.manifest.generation || triesLeft == 0 { return view }
            triesLeft -= 1
            if triesLeft % 2 == 0 { self.cursor = nil }
        }
    }

    private func fresh() throws(LogError) -> LogCursor {
        var cursor = try LogCursor(directory: directory, storage: storage)
        cursor.stopsAtPublished = true
        try cursor.skipToLastSegment()
        return cursor
    }

    /// No event is copied out for it; a run that has the name costs some copies.
    private static let nobody = try? RunID("-")
}
