internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Looks at what lies behind the valid end of a segment, in constant memory.
struct SpaceBehind {
    /// Bytes from the valid end up to the last that is not zero.
    private(set) var usedBytes = 0
    /// The largest durable offset that a header there tells; 0 when there is none.
    private(set) var durableUpTo = 0
    /// Offsets of the headers that verify, as many as a message can use.
    private(set) var headers: [Int] = []

    private static let stepBytes = 256 << 10
    private static let headersMax = 64

    /// Searches from `start` to `limit`.
    init(
        _ file: any StorageFile, salt: UInt64, from start: Int, to limit: Int
    ) throws(LogError) {
        var offset = start
        while offset < limit {
            // A header that crosses the step is found from its first byte.
            let wanted = min(Self.stepBytes + BlockHeader.byteCount, limit - offset)
            let bytes = try storing("reading a segment") { () throws(StorageError) in
                try file.readBytes(count: wanted, at: offset)
            }
            let used = bytes.usedByteCount
            if used > 0 {
                usedBytes = offset - start + used
                findHeaders(bytes, used: used, at: offset, salt: salt)
            }
            if bytes.count < wanted { return }
            offset += Self.stepBytes
        }
    }

    private mutating func findHeaders(_ bytes: [UInt8], used: Int, at offset: Int, salt: UInt64) {
        let span = bytes.rawSpan
        for index in stride(
            from: 0, to: min(used, Self.stepBytes), by: FormatLimits.alignment)
        where span.byteCount - index >= BlockHeader.byteCount {
            let magic = unsafe span.unsafeLoadUnaligned(fromByteOffset: index, as: UInt32.self)
            guard magic == BlockHeader.magic.littleEndian else { continue }
            let seed = BlockHeader.seed(salt: salt, offset: offset + index)
            let header = span.extracting(droppingFirst: index)
            guard let durable = BlockHeader.durableUpTo(toldBy: header, seed: seed) else {
                continue
            }
            durableUpTo = max(durableUpTo, durable)
            if headers.count < Self.headersMax { headers.append(offset + index) }
        }
    }

    /// The hash of the used bytes, 0 when there are none.
    func hash(_ file: any StorageFile, from start: Int) throws(LogError) -> UInt64 {
        guard usedBytes > 0 else { return 0 }
        guard var hashing = BlockHashing() else {
            throw LogError(.io, "no memory for a hash", path: file.path)
        }
        var offset = 0
        while offset < usedBytes {
            let count = min(Self.stepBytes, usedBytes - offset)
            let bytes = try storing("reading a segment") { () throws(StorageError) in
                try file.readBytes(count: count, at: start + offset)
            }
            guard !bytes.isEmpty else { break }
            hashing.add(bytes.rawSpan)
            offset += bytes.count
        }
        return hashing.value
    }

    /// The runs of units behind the end that verify by themselves: what is missing before them
    /// concerns these runs.
    func runs(_ file: any StorageFile, _ segment: SegmentReader) -> [RunID] {
        var (found, names): ([RunID], [UInt64: RunID]) = ([], segment.runs)
        for offset in headers {
            let seed = BlockHeader.seed(salt: segment.header.salt, offset: offset)
            guard let head = try? file.readBytes(count: BlockHeader.byteCount, at: offset),
                let header = try? BlockHeader(decoding: head.rawSpan, seed: seed),
                header.kind == .events, !header.flags.contains(.continues),
                let stored = try? file.readBytes(
                    count: header.totalLength - BlockHeader.byteCount,
                    at: offset + BlockHeader.byteCount),
                BlockHash.hash(stored.rawSpan, seed: seed) == header.payloadHash
            else { continue }
            var payload: [UInt8] = []
            do throws(FormatError) {
                try header.decodePayload(stored.rawSpan, into: &payload)
                var reader = RecordReader(payload.rawSpan)
                while let record = try reader.next() {
                    switch record {
                    case .declaration(let number, let id): names[number] = try RunID(decoding: id)
                    case .event(let number, _, _, _):
                        if let run = names[number], !found.contains(run) { found.append(run) }
                    }
                }
            } catch { continue }
        }
        return found
    }
}

/// Reads the active segment to its end, judges it, and keeps what a writer needs to go on there.
struct TailScan {
    let end: EndOfLog
    /// The reader at the end: chain, runs and counts.
    let segment: SegmentReader
    /// The hash of the discarded bytes.
    let discardedHash: UInt64

    /// Scans the file from its first block to its end.
    init(
        file: any StorageFile, entry: ManifestSegment, before: ManifestSegment?, storeID: StoreID,
        mark: MarkFile.Words?
    ) throws(LogError) {
        var segment = try SegmentReader(
            file: file, entry: entry, before: before, storeID: storeID)
        let limit = try segmentLimit(file)
        var stop = SegmentReader.Stop.end
        scanning: while true {
            switch try segment.next(limit: limit) {
            case .unit: continue
            case .stop(let reason):
                stop = reason
                break scanning
            }
        }
        end = try EndOfLog(segment, stop, file: file, mark: mark)
        discardedHash = try end.behind.hash(file, from: segment.validEnd)
        self.segment = segment
    }
}

/// The offset up to which a segment file may hold blocks.
func segmentLimit(_ file: any StorageFile) throws(LogError) -> Int {
    let size = try storing("reading a segment") { () throws(StorageError) in try file.size() }
    return min(size, FormatLimits.segmentBytesMax)
}
