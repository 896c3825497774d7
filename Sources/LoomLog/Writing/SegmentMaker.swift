internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// A segment file whose space is its own, durable in its folder, with no header yet.
///
/// Until a manifest names it, it is nothing: its name may be reused after a crash.
struct PreparedSegment: Sendable {
    let file: any StorageFile
    let segmentID: UInt64
    let capacity: Int
    let isMapped: Bool
}

/// Makes segment files.
struct SegmentMaker: Sendable {
    let directory: LogDirectory
    let storage: any Storage

    /// Creates and fills a file ahead of need: the one place where the log can run out of space.
    ///
    /// When this returns, the file, its size and its name are durable. When it throws, the file is
    /// gone again, as far as the system lets go of it.
    func prepare(
        _ segmentID: UInt64, capacity: Int
    ) throws(StorageError) -> PreparedSegment {
        let path = directory.segment(segmentID)
        let file = try storage.create(path)
        do throws(StorageError) {
            try file.fillZeros(from: 0, to: capacity)
            try file.sync()
            try storage.syncDirectory(directory.segments)
            let isMapped = try file.mapForAppending(length: capacity)
            return PreparedSegment(
                file: file, segmentID: segmentID, capacity: capacity, isMapped: isMapped)
        } catch {
            try? file.close()
            try? storage.remove(path)
            throw error
        }
    }

    /// Fills more space of a segment in use. It may be used once the file is synced.
    ///
    /// When this throws, the space is given back, as far as the system lets go of it.
    func grow(_ file: any StorageFile, from capacity: Int, to end: Int) throws(StorageError) {
        do throws(StorageError) {
            try file.fillZeros(from: capacity, to: end)
        } catch {
            try? file.truncate(to: capacity)
            throw error
        }
    }

    /// Writes the header and makes it durable: the segment can be named in a manifest.
    func begin(
        _ prepared: PreparedSegment, header: SegmentHeader, isFirstAfterOpen: Bool
    ) throws(StorageError) -> ActiveSegment {
        let (bytes, hash) = header.encoded()
        try prepared.file.writeBytes(bytes, at: 0)
        try prepared.file.syncData()
        return ActiveSegment(
            file: prepared.file, segmentID: prepared.segmentID,
            firstSequence: header.firstSequence, salt: header.salt, capacity: prepared.capacity,
            goal: prepared.capacity, isMapped: prepared.isMapped,
            isFirstAfterOpen: isFirstAfterOpen,
            tail: .init(offset: SegmentHeader.byteCount, previousHash: hash))
    }

    /// Removes a prepared file that will not be used. Failing to is harmless: the next opening
    /// does.
    func discard(_ prepared: PreparedSegment) {
        try? prepared.file.close()
        try? storage.remove(directory.segment(prepared.segmentID))
    }
}
