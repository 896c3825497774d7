internal import LoomFormat
internal import LoomStorage
internal import SystemPackage

/// Reads the active segment and gathers ``TailFacts``, with what a writer needs to go on behind it.
struct TailScan {
    var facts: TailFacts
    let header: SegmentHeader
    let lastHash: UInt64
    let nextSequence: UInt64
    /// Numbers given to runs in this segment.
    let runs: [RunID: UInt64]
    let counts: SegmentSeal
    /// Bytes behind the valid end up to the last that is not zero, and their hash.
    let discarded: (byteCount: Int, hash: UInt64)
    /// Why the chain stopped, for messages.
    let fault: BlockFault?

    /// Scans the file from its first block to its end.
    init(
        file: any StorageFile, segment: ManifestSegment, storeID: StoreID,
        mark: MarkFile.Words?
    ) throws(LogError) {
        let size = try storing("reading a segment") { () throws(StorageError) in try file.size() }
        let limit = min(size, FormatLimits.segmentBytesMax)
        var reader = try SegmentReader(
            file: file, segmentID: segment.segmentID, storeID: storeID)
        var runs: [RunID: UInt64] = [:]
        var counts = SegmentSeal()
        var stop = SegmentReader.Stop.end
        scanning: while true {
            switch try reader.next(limit: limit) {
            case .unit(let unit):
                counts.unitCount += 1
                counts.eventCount += UInt64(unit.eventCount)
                try Self.collectRuns(reader.payload, path: file.path, at: unit.offset, into: &runs)
            case .stop(let reason):
                stop = reason
                break scanning
            }
        }
        counts.runCount = UInt64(runs.count)
        header = reader.header
        lastHash = reader.lastHash
        nextSequence = reader.nextSequence
        self.runs = runs
        self.counts = counts
        let behind = try Self.look(behind: reader, file: file, limit: limit)
        discarded = behind.discarded
        if case .fault(let fault, _) = stop { self.fault = fault } else { fault = nil }
        facts = TailFacts(
            stop: Self.classify(stop), validEnd: reader.validEnd, lastKind: reader.lastKind,
            isBlankBehind: behind.discarded.byteCount == 0,
            durableUpTo: max(reader.durableUpTo, behind.durableUpTo),
            manifestEnd: Int(segment.validEnd),
            mark: Self.markFact(mark, segmentID: segment.segmentID))
    }

    private static func collectRuns(
        _ payload: [UInt8], path: FilePath, at offset: Int, into runs: inout [RunID: UInt64]
    ) throws(LogError) {
        do throws(FormatError) {
            var reader = RecordReader(payload.rawSpan)
            while let record = try reader.next() {
                guard case .declaration(let number, let id) = record else { continue }
                let name = String(decoding: [UInt8](copying: id), as: UTF8.self)
                runs[try RunID(name)] = number
            }
        } catch {
            throw LogError(error, in: path, at: offset, what: "unit refused")
        }
    }

    private static func classify(_ stop: SegmentReader.Stop) -> TailFacts.Stop {
        guard case .fault(let fault, _) = stop else { return .blank }
        switch fault {
        case .header(.unsupported): return .unknown
        case .header, .payload: return .partial
        case .chain, .order: return .misplaced
        }
    }

    private static func markFact(
        _ words: MarkFile.Words?, segmentID: UInt64
    ) -> TailFacts.MarkFact {
        guard let words else { return .none }
        let low = UInt32(truncatingIfNeeded: segmentID)
        func offset(_ word: MarkWord) -> Int? {
            if word.segmentLow == low { return word.offset }
            return word.segmentLow < low ? 0 : nil
        }
        guard let published = offset(words.published), let durable = offset(words.durable) else {
            return .ahead
        }
        return .upTo(published: published, durable: durable)
    }

    /// Searches what lies behind the valid end: for its last byte, and for whole headers that prove
    /// by their durable offset that something before them was once durable.
    private static func look(
        behind reader: SegmentReader, file: any StorageFile, limit: Int
    ) throws(LogError) -> (discarded: (byteCount: Int, hash: UInt64), durableUpTo: Int) {
        let start = reader.validEnd
        let bytes = try storing("reading a segment") { () throws(StorageError) in
            try file.readBytes(count: max(0, limit - start), at: start)
        }
        guard let last = bytes.lastIndex(where: { $0 != 0 }) else { return ((0, 0), 0) }
        let hash = BlockHash.hash(bytes.rawSpan.extracting(first: last + 1))
        var durableUpTo = 0
        for index in stride(from: 0, through: last, by: FormatLimits.alignment) {
            let rest = bytes.rawSpan.extracting(droppingFirst: index)
            guard rest.byteCount >= BlockHeader.byteCount,
                unsafe rest.unsafeLoadUnaligned(as: UInt32.self) == BlockHeader.magic.littleEndian
            else { continue }
            let seed = BlockHeader.seed(salt: reader.header.salt, offset: start + index)
            if let header = try? BlockHeader(decoding: rest, seed: seed) {
                durableUpTo = max(durableUpTo, Int(header.durableUpTo))
            }
        }
        return ((last + 1, hash), durableUpTo)
    }
}
