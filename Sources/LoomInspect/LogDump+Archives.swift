internal import LoomFormat
internal import LoomModel
internal import LoomStorage
internal import SystemPackage

extension LogDump {
    /// Dumps one archive, block by block: its events stand by run, not by sequence.
    mutating func dumpArchive(
        _ entry: ManifestSegment, of manifest: Manifest
    ) throws(Refusal) -> UInt64 {
        let path = root.appending(FileName.segments).appending(FileName.archive(entry.segmentID))
        let bytes = try readFile(path)
        let header: SegmentHeader
        let hash: UInt64
        do throws(FormatError) {
            (header, hash) = try SegmentHeader.decode(bytes.rawSpan)
        } catch {
            throw Self.refusal(error, "archive \(entry.segmentID)")
        }
        guard header.segmentID == entry.segmentID, header.storeID == manifest.storeID,
            header.role == .archive, header.salt == entry.salt,
            header.firstSequence == entry.firstSequence, header.predecessor == .none,
            bytes.count == Int(entry.validEnd)
        else {
            throw Refusal(code: "corrupt", description: "\(path): not the archive that is listed")
        }
        line(
            "archive",
            [
                "segment": number(entry.segmentID), "tier": number(UInt64(entry.tier)),
                "first_sequence": number(entry.firstSequence),
                "end_sequence": number(entry.endSequence), "events": number(entry.eventCount),
                "writer_epoch": number(header.writerEpoch), "salt": .string(header.salt.paddedHex),
            ])
        var walk = ArchiveDumpWalk(entry, header, hash)
        while walk.parser.offset < bytes.count { try archiveBlock(bytes, &walk) }
        try walk.checkEnd()
        line(
            "end",
            [
                "segment": number(entry.segmentID), "offset": number(entry.validEnd),
                "reason": .string("archive"),
            ])
        return entry.endSequence
    }

    private mutating func archiveBlock(
        _ bytes: [UInt8], _ walk: inout ArchiveDumpWalk
    ) throws(Refusal) {
        let offset = walk.parser.offset
        let place = "archive \(walk.entry.segmentID) at \(offset)"
        let window = bytes.rawSpan.extracting(offset..<bytes.count)
        switch walk.parser.next(in: window) {
        case .blank, .truncated:
            throw Refusal(code: "corrupt", description: "\(place): it ends too early")
        case .bad(let fault, _):
            let isNewer = if case .header(.unsupported) = fault { true } else { false }
            throw Refusal(
                code: isNewer ? "unsupported" : "corrupt", description: "\(place): \(fault)")
        case .block(let block):
            walk.waiting.append(row(block, at: offset, walk.entry.segmentID))
            walk.lastHash = block.headerHash
            do throws(FormatError) {
                let stored = window.extracting(BlockHeader.byteCount..<block.totalLength)
                switch block.kind {
                case .events:
                    guard walk.payload.count + block.rawLength <= Self.archiveUnitMax else {
                        throw .invalid("a unit that is too large")
                    }
                    try block.decodePayload(stored, into: &walk.payload)
                case .seal: walk.seal = try ArchiveSeal(decoding: stored)
                default:
                    var payload: [UInt8] = []
                    try block.decodePayload(stored, into: &payload)
                }
                if block.flags.contains(.continues) { return }
                for row in walk.waiting { emit(row) }
                walk.waiting = []
                if block.kind == .events { try archiveUnit(block, &walk) }
            } catch {
                throw Self.refusal(error, place)
            }
        }
    }

    /// An archive says more of an event than a live segment.
    private static var archiveUnitMax: Int {
        FormatLimits.unitBytesMax + FormatLimits.archiveBlockRows
    }

    private mutating func archiveUnit(
        _ block: BlockHeader, _ walk: inout ArchiveDumpWalk
    ) throws(FormatError) {
        units += 1
        let payload = walk.payload
        walk.payload = []
        var (runs, least, count): ([UInt64: String], UInt64, UInt64) = ([:], .max, 0)
        var reader = RecordReader(payload.rawSpan, in: .archive)
        while let record = try reader.next() {
            switch record {
            case .declaration(let number, let id):
                let run = try RunID(decoding: id)
                runs[number] = run.rawValue
                line(
                    "run",
                    [
                        "segment": self.number(walk.entry.segmentID),
                        "number": self.number(number), "run": .string(run.rawValue),
                    ])
            case .event(let number, let epoch, let position, let body):
                guard let run = runs[number] else {
                    throw .invalid("run number \(number) was never declared")
                }
                let sequence = reader.sequence
                try walk.take(sequence)
                eventLine(sequence, run, epoch, position, body)
                (least, count) = (min(least, sequence), count + 1)
            }
        }
        guard count == UInt64(block.eventCount), least == block.firstSequence else {
            throw .invalid("another number of events than the block says")
        }
    }
}

/// Where a walk over the blocks of an archive stands.
private struct ArchiveDumpWalk {
    let entry: ManifestSegment
    var parser: BlockParser
    var waiting: [JSONValue] = []
    var payload: [UInt8] = []
    var lastHash: UInt64
    var seal: ArchiveSeal?
    private var events: UInt64 = 0

    init(_ entry: ManifestSegment, _ header: SegmentHeader, _ hash: UInt64) {
        self.entry = entry
        lastHash = hash
        parser = BlockParser(
            salt: header.salt, offset: SegmentHeader.byteCount, previousHash: hash,
            nextSequence: header.firstSequence, in: .archive)
    }

    /// Counts an event, which is to be one that the archive covers.
    mutating func take(_ sequence: UInt64) throws(FormatError) {
        guard sequence >= entry.firstSequence, sequence < entry.endSequence else {
            throw .invalid("an event of sequence \(sequence), which the archive does not cover")
        }
        events += 1
    }

    func checkEnd() throws(LogDump.Refusal) {
        guard let seal, lastHash == entry.lastHash, seal.firstSequence == entry.firstSequence,
            seal.endSequence == entry.endSequence, seal.eventCount == entry.eventCount,
            events == entry.eventCount
        else {
            throw LogDump.Refusal(
                code: "corrupt",
                description: "archive \(entry.segmentID): not the end that the manifest names")
        }
    }
}
