package import LoomFormat
package import LoomStorage
package import SystemPackage

/// Writes some runs into one file: an archive of FORMAT.md 18 that stands by itself, whose
/// sequences count its own events. It appears whole or not at all.
package struct RunFileWriter {
    private let path: FilePath
    private let temporary: FilePath
    private let storage: any Storage
    private let semantics: any ArchiveSemantics
    private let file: any StorageFile
    /// Taken out while a run is written, so that its memory is not shared.
    private var writer: ArchiveWriter?
    private var sequence: UInt64 = 1

    /// Begins a file.
    ///
    /// - Parameter storeID: The store that the runs come from.
    /// - Throws: ``LogError`` with code `notALog` when something has that name.
    package init(
        _ path: FilePath, storeID: StoreID, semantics: any ArchiveSemantics,
        storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        let name = path.lastComponent?.string ?? ""
        let parent = path.removingLastComponent()
        (self.path, self.storage, self.semantics) = (path, storage, semantics)
        temporary = parent.appending("\(name).tmp-\(storage.machine.random().paddedHex)")
        let made = temporary
        file = try storing("making the file") { () throws(StorageError) in
            try storage.create(made)
        }
        let header = SegmentHeader(
            role: .archive, storeID: storeID, segmentID: 1, writerID: 1, writerEpoch: 1,
            firstSequence: 1, salt: storage.machine.random(), predecessor: .none,
            created: storage.machine.wallMicroseconds())
        writer = try ArchiveWriter(file, header, summaryVersion: semantics.summaryVersion)
    }

    /// Writes a run; runs come in order of the bytes of their names.
    ///
    /// - Parameter next: The run's next event; `nil` behind the last.
    package mutating func write(
        _ run: RunID, _ next: () throws -> (epoch: UInt64, position: UInt64, body: [UInt8])?
    ) throws {
        guard var writer = self.writer.take() else { return }
        defer { self.writer = writer }
        var slice = try semantics.begin(run, after: nil, newest: nil)
        // How long it is comes out on the way.
        try writer.begin(run, byteCount: FormatLimits.archiveBlockRows, after: nil)
        let give: ArchiveSlice.Give = {
            (epoch, position, sequence, body, progress) throws(LogError) in
            try writer.append(
                epoch: epoch, position: position, sequence: sequence, body, progress)
        }
        while let event = try next() {
            try slice.take(
                epoch: event.epoch, position: event.position, sequence: sequence,
                event.body.rawSpan, give: give)
            sequence += 1
        }
        if let row = try slice.finish(give: give) { try writer.end(row) }
    }

    /// Ends the file and gives it its name; both are durable when this returns.
    ///
    /// - Returns: Its events and its bytes.
    package mutating func finish() throws(LogError) -> (eventCount: UInt64, byteCount: Int) {
        guard let end = try writer?.finish(covering: 1..<sequence) else {
            throw LogError(.closed, "the file was ended", path: path)
        }
        let (file, temporary, path, storage) = (self.file, self.temporary, self.path, self.storage)
        let parent = path.removingLastComponent()
        try storing("writing the file") { () throws(StorageError) in
            try file.sync()
            try file.close()
            try storage.rename(temporary, to: path)
            try storage.syncDirectory(parent.isEmpty ? "." : parent)
        }
        return (end.seal.eventCount, end.byteCount)
    }

    /// Takes back what was begun.
    package func discard() {
        try? file.close()
        try? storage.remove(temporary)
    }
}
