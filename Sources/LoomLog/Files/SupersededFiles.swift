internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Unlinks files whose events stand in an archive, once nobody reads them.
struct SupersededFiles {
    let directory: LogDirectory
    let storage: any Storage
    let manifests: ManifestEditor

    /// Unlinks those superseded files that may go. The next manifest leaves their rows out.
    ///
    /// A file that cannot be removed stays listed. A crash at any point leaves files that are
    /// listed as superseded, or rows of files that are gone.
    ///
    /// - Returns: Those that are gone for good.
    /// - Throws: What ``ManifestEditor/edit(_:)`` throws.
    @discardableResult
    func remove(
        where mayGo: (SupersededSegment) -> Bool
    ) throws(LogError) -> [SupersededSegment] {
        let files = manifests.removable.filter(mayGo)
        guard !files.isEmpty else { return [] }
        try manifests.ensureOwn()
        let gone = files.filter(isRemoved)
        guard !gone.isEmpty else { return [] }
        do throws(StorageError) {
            try storage.syncDirectory(directory.segments)
        } catch {
            // Whether the names are gone is not known: the next opening looks again.
            return []
        }
        manifests.noteRemoved(gone.map(\.segmentID))
        return gone
    }

    private func isRemoved(_ file: SupersededSegment) -> Bool {
        let name = FileName.segment(file.segmentID, role: file.role)
        do throws(StorageError) {
            try storage.remove(directory.segments.appending(name))
            return true
        } catch {
            return error.isNotFound
        }
    }
}
