internal import LoomFormat
internal import LoomStorage
internal import Synchronization
internal import SystemPackage

/// An archive whose tables cannot be read, for readers: its events as they stand in the file, and
/// tables in memory that are made anew from them. Nothing is written: the next writer reindexes.
///
/// Costs a pass over the archive, and the memory of its tables.
struct MendedArchive {
    let directory: LogDirectory
    let storage: any Storage
    let semantics: any ArchiveSemantics

    /// Opens the archive of an entry.
    ///
    /// - Parameter neighbours: What archives before and behind it hold.
    /// - Throws: ``LogError`` with code `corrupt` when its events are damaged, too.
    func open(
        _ entry: ManifestSegment, of manifest: Manifest, beside neighbours: ArchiveNeighbours
    ) throws(LogError) -> ArchiveReader {
        let file = try directory.openArchiveFile(entry.segmentID, storage)
        let overlay = OverlayFile(file)
        let end = try ArchiveReindexing(
            directory: directory, storage: storage, semantics: semantics
        ).write(entry, of: manifest, from: file, to: overlay, beside: neighbours)
        var mended = entry
        (mended.validEnd, mended.lastHash) = (UInt64(end.byteCount), end.lastHash)
        // Its leaves stand elsewhere than those that may be kept of the file's.
        return try ArchiveReader(
            try ArchiveFile(overlay, mended, storeID: manifest.storeID), cache: nil)
    }
}

/// A file whose end was written anew, in memory: what is written is compared with what it has, and
/// kept from the first byte on that is another.
final class OverlayFile: StorageFile {
    private struct State {
        /// Where the bytes in memory begin.
        var start = 0
        var tail: [UInt8] = []
    }
    private let file: any StorageFile
    private let state = Mutex(State())

    /// Tables of a log are at most so large; more would not be what the file's events tell.
    private static let tailBytesMax = 512 << 20

    init(_ file: any StorageFile) { self.file = file }

    var path: FilePath { file.path }
    var identity: FileIdentity { file.identity }
    func size() throws(StorageError) -> Int { state.withLock { $0.start + $0.tail.count } }
    func owner() throws(StorageError) -> UInt32? { try file.owner() }

    func read(
        into target: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(StorageError) -> Int {
        let (start, end) = state.withLock { ($0.start, $0.start + $0.tail.count) }
        let count = max(0, min(target.count, end - offset))
        var done = 0
        if offset < start {
            let part = unsafe UnsafeMutableRawBufferPointer(
                rebasing: target[..<min(count, start - offset)])
            done = try unsafe file.read(into: part, at: offset)
            guard done == part.count else { return done }
        }
        guard done < count else { return done }
        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: target[done..<count])
        state.withLock { state in
            let from = offset + done - state.start
            unsafe rest.copyBytes(from: state.tail[from..<(from + rest.count)])
        }
        return count
    }

    /// Takes the bytes that follow those written so far.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
        var bytes = unsafe bytes
        let (start, isCopy) = state.withLock { ($0.start, $0.tail.isEmpty) }
        if isCopy, offset == start {
            let known = try file.readBytes(count: bytes.count, at: offset)
            let same = unsafe zip(known, bytes).prefix { $0 == $1 }.count
            state.withLock { $0.start += same }
            unsafe bytes = UnsafeRawBufferPointer(rebasing: bytes[same...])
        }
        let hasRoom = state.withLock { state in
            guard state.tail.count + bytes.count <= Self.tailBytesMax else { return false }
            unsafe state.tail.append(contentsOf: bytes)
            return true
        }
        guard hasRoom else { throw StorageError(.write, path, .noMemory) }
    }

    func close() throws(StorageError) { try file.close() }

    // What nobody asks of a file that is only read.
    private var readOnly: StorageError { StorageError(.write, path, .readOnlyFileSystem) }
    func fillZeros(from offset: Int, to end: Int) throws(StorageError) { throw readOnly }
    func truncate(to size: Int) throws(StorageError) { throw readOnly }
    func mapForAppending(length: Int) throws(StorageError) -> Bool { false }
    func store(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, surface: AppendSurface
    ) throws(StorageError) { throw readOnly }
    func storeWord(_ word: UInt64, at offset: Int) throws(StorageError) { throw readOnly }
    func loadWord(at offset: Int) throws(StorageError) -> UInt64 { throw readOnly }
    func syncData() throws(StorageError) {}
    func sync() throws(StorageError) {}
    func dropCache() {}
}
