public import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Reads the units of a log in order, across its segments, and goes on when more are written.
///
/// At the end of the log ``nextUnit(of:)`` returns `nil`; called again later it returns what came
/// in the meantime. Memory is that of the largest unit. Every hash is checked on the way, also in
/// segments that were checked before.
public struct LogCursor {
    private let directory: LogDirectory
    private let storage: any Storage
    private let manifests: ManifestStore
    private var manifest: Manifest
    private var index = 0
    private var segment: SegmentReader
    private var file: any StorageFile
    private var runs: [UInt64: RunID] = [:]
    /// How far the current segment could be read when it was last looked at.
    private var end: End?

    init(directory: LogDirectory, storage: any Storage) throws(LogError) {
        self.directory = directory
        self.storage = storage
        manifests = ManifestStore(directory: directory, storage: storage)
        manifest = try manifests.load().manifest
        (file, segment) = try Self.open(manifest, 0, directory, storage)
    }

    /// The place behind what was read.
    public var position: LogPosition { LogPosition(nextSequence: segment.nextSequence) }

    /// Reads the next unit.
    ///
    /// - Parameter run: When given, only events of this run are copied out; other units come empty.
    /// - Returns: Its events, or `nil` at the present end of the log.
    /// - Throws: ``LogError`` with code `corrupt` where durable bytes are damaged. The cursor stays
    /// there.
    public mutating func nextUnit(of run: RunID? = nil) throws(LogError) -> [LogEvent]? {
        while true {
            let end = if let known = self.end { known } else { try currentEnd() }
            self.end = end
            switch try segment.next(limit: end.offset) {
            case .unit(let unit):
                return try events(of: unit, run)
            case .stop(let stop):
                if end.isFinal {
                    try checkEnd(stop)
                    guard index + 1 < manifest.segments.count else { return nil }
                    try openNext()
                } else {
                    // The log may have grown or rolled since the end was looked for.
                    let later = try currentEnd()
                    self.end = later
                    if later.offset > end.offset { continue }
                    try checkTail(stop, end)
                    guard try reload() else { return nil }
                }
            }
        }
    }

    /// Segments that the manifest listed when it was last read.
    var segmentCount: Int { manifest.segments.count }

    /// Bytes of the segments before the current one, and of it as far as it was read.
    var bytesRead: Int {
        manifest.segments[..<index].reduce(segment.validEnd) { $0 + Int($1.validEnd) }
    }

    /// Passes over everything before the last segment, unread.
    mutating func skipToLastSegment() throws(LogError) {
        guard manifest.segments.count > 1 else { return }
        index = manifest.segments.count - 2
        try openNext()
    }

    /// How far the current segment may be read.
    private struct End {
        var offset: Int
        /// The segment will not grow.
        var isFinal = false
        /// Somebody vouches for the offset: what lies below is not a tail.
        var isVouched = false
    }

    private func currentEnd() throws(LogError) -> End {
        let entry = manifest.segments[index]
        guard entry.state == .active else {
            return End(offset: Int(entry.validEnd), isFinal: true, isVouched: true)
        }
        if let mark = MarkFile.open(reading: directory, storage: storage) {
            defer { mark.close() }
            let published = try mark.load().published
            if published.segmentLow == UInt32(truncatingIfNeeded: entry.segmentID) {
                return End(offset: published.offset, isVouched: true)
            }
        }
        let file = self.file
        let size = try storing("reading a segment") { () throws(StorageError) in try file.size() }
        return End(offset: min(size, FormatLimits.segmentBytesMax))
    }

    /// A segment that does not grow must end where the manifest says, in the block that it says.
    private func checkEnd(_ stop: SegmentReader.Stop) throws(LogError) {
        let entry = manifest.segments[index]
        if case .fault(let fault, let offset) = stop {
            throw LogError(
                .corrupt, "damaged: \(fault)", path: segment.path, offset: offset)
        }
        guard segment.validEnd == Int(entry.validEnd), segment.lastHash == entry.lastHash else {
            throw LogError(
                .corrupt, "the segment ends before its recorded end", path: segment.path,
                offset: segment.validEnd)
        }
    }

    /// What was published and cannot be read is damaged; what was not is a tail, and the end.
    private func checkTail(_ stop: SegmentReader.Stop, _ end: End) throws(LogError) {
        guard end.isVouched, segment.validEnd < end.offset else { return }
        let reason = if case .fault(let fault, _) = stop { "\(fault)" } else { "blank space" }
        throw LogError(
            .corrupt, "damaged: \(reason)", path: segment.path, offset: segment.validEnd)
    }

    /// Reads the manifest again. Returns whether it is a newer one.
    private mutating func reload() throws(LogError) -> Bool {
        let newer = try manifests.load().manifest
        guard newer.generation > manifest.generation else { return false }
        let id = manifest.segments[index].segmentID
        guard let place = newer.segments.firstIndex(where: { $0.segmentID == id }) else {
            throw LogError(
                .notFound, "segment \(id) was compacted away while it was read",
                path: segment.path)
        }
        manifest = newer
        index = place
        end = nil
        return true
    }

    private mutating func openNext() throws(LogError) {
        let opened = try Self.open(manifest, index + 1, directory, storage)
        try? file.close()
        (file, segment) = opened
        index += 1
        end = nil
        runs.removeAll(keepingCapacity: true)
    }

    private static func open(
        _ manifest: Manifest, _ index: Int, _ directory: LogDirectory, _ storage: any Storage
    ) throws(LogError) -> (any StorageFile, SegmentReader) {
        let entry = manifest.segments[index]
        let file = try storing("opening a segment") { () throws(StorageError) in
            try storage.open(directory.segment(entry.segmentID), for: .reading)
        }
        let reader = try SegmentReader(
            file: file, segmentID: entry.segmentID, storeID: manifest.storeID)
        guard reader.header.salt == entry.salt,
            reader.header.firstSequence == entry.firstSequence
        else {
            throw LogError(.corrupt, "this is not the segment that was listed", path: file.path)
        }
        return (file, reader)
    }

    private mutating func events(
        of unit: SegmentReader.Unit, _ wanted: RunID?
    ) throws(LogError) -> [LogEvent] {
        var events: [LogEvent] = []
        var sequence = unit.firstSequence
        let segmentID = segment.header.segmentID
        // Taken out and put back: the payload is borrowed from self meanwhile.
        var runs = self.runs
        self.runs = [:]
        defer { self.runs = runs }
        do throws(FormatError) {
            var reader = RecordReader(segment.payload.rawSpan)
            while let record = try reader.next() {
                switch record {
                case .declaration(let number, let id):
                    runs[number] = try RunID(String(decoding: [UInt8](copying: id), as: UTF8.self))
                case .event(let number, let epoch, let position, let body):
                    defer { sequence &+= 1 }
                    guard let run = runs[number] else {
                        throw FormatError.invalid("run number \(number) was never declared")
                    }
                    if let wanted, wanted != run { continue }
                    events.append(
                        LogEvent(
                            sequence: sequence, run: run, epoch: epoch, position: position,
                            body: [UInt8](copying: body), segmentID: segmentID,
                            offset: unit.offset))
                }
            }
            guard sequence - unit.firstSequence == UInt64(unit.eventCount) else {
                throw FormatError.invalid("a unit with another number of events than it says")
            }
        } catch {
            throw LogError(error, in: segment.path, at: unit.offset, what: "unit refused")
        }
        return events
    }
}
