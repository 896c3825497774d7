internal import LoomFormat
internal import LoomModel
internal import LoomStorage
internal import SystemPackage

extension LogDump {
    /// Dumps one segment; returns the sequence after its last event.
    mutating func dump(
        _ index: Int, of manifest: Manifest
    ) throws(Refusal) -> UInt64 {
        let entry = manifest.segments[index]
        if entry.role == .archive { return try dumpArchive(entry, of: manifest) }
        let path = root.appending(FileName.segments).appending(FileName.segment(entry.segmentID))
        let bytes = try readFile(path)
        let header: SegmentHeader
        let hash: UInt64
        do throws(FormatError) {
            (header, hash) = try SegmentHeader.decode(bytes.rawSpan)
        } catch {
            throw Self.refusal(error, "segment \(entry.segmentID)")
        }
        let before = index > 0 ? manifest.segments[index - 1] : nil
        guard header.segmentID == entry.segmentID, header.storeID == manifest.storeID,
            header.role == entry.role, header.salt == entry.salt,
            header.firstSequence == entry.firstSequence,
            Self.isPredecessor(before, of: header)
        else {
            throw Refusal(code: "corrupt", description: "\(path): not the segment that is listed")
        }
        let states: [SegmentState: String] = [
            .active: "active", .sealed: "sealed", .recovered: "recovered",
        ]
        let state = states[entry.state] ?? "unknown"
        line(
            "segment",
            [
                "segment": number(entry.segmentID), "state": .string(state),
                "first_sequence": number(header.firstSequence),
                "writer_epoch": number(header.writerEpoch),
                "predecessor": number(header.predecessor.segmentID),
                "predecessor_length": number(header.predecessor.byteLength),
                "salt": .string(header.salt.paddedHex),
            ])
        var walk = SegmentWalk(header: header, hash: hash)
        walk.pass(entry)
        let limit = entry.state == .active ? bytes.count : Int(entry.validEnd)
        try blocks(bytes, limit: limit, entry, &walk)
        try checkEnd(walk, entry, bytes)
        line(
            "end",
            [
                "segment": number(entry.segmentID), "offset": number(UInt64(walk.validEnd)),
                "reason": .string(state),
            ])
        return walk.nextSequence
    }

    /// An archive has taken the place of the segment that the header names.
    private static func isPredecessor(
        _ before: ManifestSegment?, of header: SegmentHeader
    ) -> Bool {
        guard let before else { return header.predecessor == .none }
        return before.role == .archive
            || header.predecessor
                == Predecessor(
                    segmentID: before.segmentID, byteLength: before.validEnd,
                    lastHash: before.lastHash)
    }

    /// Where a walk over the blocks of a segment stands.
    private struct SegmentWalk {
        let header: SegmentHeader
        var parser: BlockParser
        var validEnd = SegmentHeader.byteCount
        var lastHash: UInt64
        var nextSequence: UInt64
        var durableUpTo = 0
        var fault: BlockFault?
        var lastKind: BlockKind?
        var runs: [UInt64: String] = [:]
        var counts = SegmentSeal()
        /// Whether the chain met the end that the manifest records.
        var meetsManifest = false

        init(header: SegmentHeader, hash: UInt64) {
            self.header = header
            parser = BlockParser(
                salt: header.salt, offset: SegmentHeader.byteCount, previousHash: hash,
                nextSequence: header.firstSequence)
            lastHash = hash
            nextSequence = header.firstSequence
        }

        mutating func pass(_ entry: ManifestSegment) {
            guard validEnd == Int(entry.validEnd) else { return }
            meetsManifest = lastHash == entry.lastHash && nextSequence == entry.endSequence
        }
    }

    private mutating func blocks(
        _ bytes: [UInt8], limit: Int, _ entry: ManifestSegment, _ walk: inout SegmentWalk
    ) throws(Refusal) {
        var (payload, waiting): ([UInt8], [JSONValue]) = ([], [])
        while walk.parser.offset < min(limit, bytes.count) {
            let offset = walk.parser.offset
            let window = bytes.rawSpan.extracting(offset..<min(limit, bytes.count))
            switch walk.parser.next(in: window) {
            case .blank, .truncated: return
            case .bad(let fault, _):
                walk.fault = fault
                return
            case .block(let block):
                walk.durableUpTo = max(walk.durableUpTo, Int(block.durableUpTo))
                waiting.append(row(block, at: offset, walk.header.segmentID))
                do throws(FormatError) {
                    let stored = window.extracting(BlockHeader.byteCount..<block.totalLength)
                    if block.kind == .events {
                        guard payload.count + block.rawLength <= FormatLimits.unitBytesMax else {
                            throw FormatError.invalid("a unit that is too large")
                        }
                        try block.decodePayload(stored, into: &payload)
                    }
                    if block.kind == .seal, try SegmentSeal(decoding: stored) != walk.counts {
                        throw FormatError.invalid("a seal that counts something else")
                    }
                } catch {
                    throw Self.refusal(error, "block at \(offset)")
                }
                if block.flags.contains(.continues) { continue }
                for row in waiting { emit(row) }
                waiting = []
                if block.kind == .events { try records(payload, block, &walk) }
                payload = []
                walk.validEnd = walk.parser.offset
                walk.lastHash = block.headerHash
                walk.lastKind = block.kind
                walk.nextSequence = walk.parser.nextSequence
                walk.pass(entry)
            }
        }
    }

    func row(_ block: BlockHeader, at offset: Int, _ segment: UInt64) -> JSONValue {
        let kinds: [BlockKind: String] = [
            .events: "events", .filler: "filler", .syncMark: "sync-mark", .close: "close",
            .seal: "seal", .table: "table", .directory: "directory",
        ]
        let codecs: [BlockCodec: String] = [.raw: "raw", .lz4: "lz4"]
        return .object([
            "type": .string("block"), "segment": number(segment),
            "offset": number(UInt64(offset)), "kind": .string(kinds[block.kind] ?? "unknown"),
            "codec": .string(codecs[block.codec] ?? "packed"),
            "flags": number(UInt64(block.flags.rawValue)),
            "stored": number(UInt64(block.storedLength)),
            "raw": number(UInt64(block.rawLength)),
            "first_sequence": number(block.firstSequence),
            "events": number(UInt64(block.eventCount)),
            "durable_up_to": number(UInt64(block.durableUpTo)),
            "hash": .string(block.headerHash.paddedHex),
        ])
    }

    mutating func eventLine(
        _ sequence: UInt64, _ run: String, _ epoch: UInt64, _ position: UInt64, _ body: RawSpan
    ) {
        line(
            "event",
            [
                "sequence": number(sequence), "run": .string(run), "epoch": number(epoch),
                "position": number(position), "bytes": number(UInt64(body.byteCount)),
                "xxh3_128": .string(ContentHash(of: body).description),
            ])
        events += 1
    }

    private mutating func records(
        _ payload: [UInt8], _ block: BlockHeader, _ walk: inout SegmentWalk
    ) throws(Refusal) {
        units += 1
        var sequence = block.firstSequence
        do throws(FormatError) {
            var reader = RecordReader(payload.rawSpan)
            while let record = try reader.next() {
                switch record {
                case .declaration(let number, let id):
                    let run = try RunID(decoding: id)
                    walk.runs[number] = run.rawValue
                    line(
                        "run",
                        [
                            "segment": self.number(walk.header.segmentID),
                            "number": self.number(number), "run": .string(run.rawValue),
                        ])
                case .event(let number, let epoch, let position, let body):
                    guard let run = walk.runs[number] else {
                        throw FormatError.invalid("run number \(number) was never declared")
                    }
                    eventLine(sequence, run, epoch, position, body)
                    sequence &+= 1
                }
            }
            guard sequence - block.firstSequence == UInt64(block.eventCount) else {
                throw FormatError.invalid("another number of events than the block says")
            }
            walk.counts.eventCount += UInt64(block.eventCount)
            walk.counts.unitCount += 1
            walk.counts.runCount = UInt64(walk.runs.count)
        } catch {
            throw Self.refusal(error, "unit before \(walk.parser.offset)")
        }
    }

    /// A segment that was ended must end where the manifest says; the active one must not show that
    /// something durable is missing.
    private func checkEnd(
        _ walk: SegmentWalk, _ entry: ManifestSegment, _ bytes: [UInt8]
    ) throws(Refusal) {
        let place = "segment \(entry.segmentID) at \(walk.parser.offset)"
        if case .header(.unsupported(let field, let found))? = walk.fault {
            throw Refusal(code: "unsupported", description: "\(place): \(field) \(found)")
        }
        if entry.state != .active {
            let isEnded = entry.state != .sealed || walk.lastKind == .seal
            guard walk.validEnd == Int(entry.validEnd), walk.meetsManifest, isEnded else {
                let reason = walk.fault.map { "\($0)" } ?? "it ends too early"
                throw Refusal(code: "corrupt", description: "\(place): \(reason)")
            }
            return
        }
        guard walk.meetsManifest || walk.validEnd < Int(entry.validEnd) else {
            throw Refusal(
                code: "corrupt", description: "\(place): not the block that the manifest names")
        }
        if walk.lastKind == .seal, bytes.usedByteCount > walk.validEnd {
            throw Refusal(code: "corrupt", description: "\(place): bytes behind the seal")
        }
        switch walk.fault {
        case .chain?, .order?:
            throw Refusal(code: "corrupt", description: "\(place): a block out of place")
        default: break
        }
        // In a backup the blocks say what was durable where the original stood.
        let isCopy = entry.ending == .copied
        let told = isCopy ? 0 : max(walk.durableUpTo, durableBehind(walk, bytes))
        let proven = max(told, Int(entry.validEnd))
        guard proven <= walk.validEnd else {
            throw Refusal(
                code: "corrupt", description: "\(place): \(proven) bytes were durable")
        }
        try checkMark(walk.validEnd, UInt32(truncatingIfNeeded: entry.segmentID), place)
    }

    /// A mark that counts vouches for bytes of the segment that it names, and for that segment.
    private func checkMark(_ end: Int, _ segment: UInt32, _ place: String) throws(Refusal) {
        guard let mark else { return }
        for word in [mark.published, mark.durable] {
            guard word.segmentLow <= segment else {
                throw Refusal(
                    code: "corrupt",
                    description: "MARK names segment \(word.segmentLow), which is not listed")
            }
            guard word.segmentLow < segment || word.offset <= end else {
                throw Refusal(
                    code: "corrupt", description: "\(place): MARK proves \(word.offset) bytes")
            }
        }
    }

    /// The largest durable offset that a whole header behind the valid end tells.
    private func durableBehind(_ walk: SegmentWalk, _ bytes: [UInt8]) -> Int {
        var durable = 0
        let used = bytes.usedByteCount
        let magic: [UInt8] = [0x42, 0x4C, 0x4B, 0x31]
        for offset in stride(
            from: walk.validEnd, to: min(used, bytes.count - BlockHeader.byteCount + 1),
            by: FormatLimits.alignment)
        where bytes[offset..<(offset + 4)].elementsEqual(magic) {
            let seed = BlockHeader.seed(salt: walk.header.salt, offset: offset)
            let rest = bytes.rawSpan.extracting(droppingFirst: offset)
            durable = max(durable, BlockHeader.durableUpTo(toldBy: rest, seed: seed) ?? 0)
        }
        return durable
    }
}
