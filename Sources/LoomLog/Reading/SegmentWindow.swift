internal import LoomFormat
internal import LoomStorage

/// A moving view of a segment file, read by `pread` into private memory.
///
/// Nothing is decoded from a mapping: the bytes of a file that is being written may change under
/// it, and a bad sector there would be a signal instead of an error.
struct SegmentWindow {
    private let file: any StorageFile
    private var bytes: [UInt8] = []
    private var start = 0
    /// Bytes read at once: doubled up to the most while one read follows the other.
    private var step: Int
    private let firstStep: Int

    /// Large enough that the calls do not matter, small enough for a cache.
    private static let stepBytesMax = 256 << 10

    /// - Parameter step: Bytes that are read at first; fewer where one block may be all.
    init(file: any StorageFile, step: Int = stepBytesMax) {
        (self.file, self.step, firstStep) = (file, step, step)
    }

    /// Makes at least `count` bytes from `offset` available, if the file and `limit` hold as many.
    mutating func load(offset: Int, count: Int, limit: Int) throws(LogError) {
        let wanted = min(offset + count, limit)
        if offset >= start && wanted <= start + bytes.count { return }
        let follows = offset >= start && offset <= start + bytes.count + step
        step = follows && !bytes.isEmpty ? min(step * 2, Self.stepBytesMax) : firstStep
        let length = min(max(count, step), max(0, limit - offset))
        // Taken out, so that its memory is read into: fresh memory would cost as much as the bytes.
        var bytes: [UInt8] = []
        swap(&bytes, &self.bytes)
        defer { swap(&bytes, &self.bytes) }
        start = offset
        let file = self.file
        try storing("reading a segment") { () throws(StorageError) in
            try file.readBytes(count: length, at: offset, into: &bytes)
        }
    }

    /// The bytes available from `offset` on, up to `limit`.
    @_lifetime(borrow self)
    @inline(__always)
    borrowing func span(from offset: Int, limit: Int) -> RawSpan {
        let lower = min(max(0, offset - start), bytes.count)
        let upper = max(lower, min(bytes.count, limit - start))
        // Safe: both were held against the bytes.
        return unsafe bytes.rawSpan.extracting(unchecked: lower..<upper)
    }

    /// Forgets what was read, as the file may have grown.
    mutating func invalidate() {
        bytes.removeAll(keepingCapacity: true)
        start = 0
    }
}
