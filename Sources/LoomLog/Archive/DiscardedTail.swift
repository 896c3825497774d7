internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// What recovery set aside in place, behind the end of a segment: kept as a file of its own before
/// the segment goes.
struct DiscardedTail {
    let directory: LogDirectory
    let storage: any Storage

    private static let stepBytes = 256 << 10

    /// Copies the discarded bytes of a segment to `quarantine/`, durably; those of a segment that
    /// has none are nothing.
    func keep(_ entry: ManifestSegment) throws(StorageError) {
        guard entry.role == .live, entry.discardedBytes > 0 else { return }
        let source = try storage.open(directory.segment(entry.segmentID), for: .reading)
        defer { try? source.close() }
        do throws(StorageError) {
            try storage.createDirectory(directory.quarantine)
        } catch {
            guard error.isFileExists else { throw error }
        }
        let name = FileName.segment(entry.segmentID)
        let path = directory.quarantine.appending(
            "\(name).discarded-\(storage.machine.random().paddedHex)")
        let file = try storage.create(path)
        defer { try? file.close() }
        do throws(StorageError) {
            try copy(from: source, entry, to: file)
            try file.sync()
            try storage.syncDirectory(directory.quarantine)
            try storage.syncDirectory(directory.root)
        } catch {
            // This one is made anew when the archive is.
            try? storage.remove(path)
            throw error
        }
    }

    private func copy(
        from source: any StorageFile, _ entry: ManifestSegment, to file: any StorageFile
    ) throws(StorageError) {
        let (start, count) = (Int(entry.validEnd), Int(clamping: entry.discardedBytes))
        var offset = 0
        while offset < count {
            let bytes = try source.readBytes(
                count: min(Self.stepBytes, count - offset), at: start + offset)
            guard !bytes.isEmpty else { return }
            try file.writeBytes(bytes, at: offset)
            offset += bytes.count
        }
    }
}
