internal import LoomFormat
public import LoomModel
public import LoomStorage
public import SystemPackage

/// Shows what a log's files hold, structure by structure: reads the bytes by itself, without the
/// engine.
///
/// One JSON object a line: the manifest, each segment, each block, each record, a summary. The
/// second reader in Tools prints the same lines from its own reading of FORMAT.md; the two are
/// compared. MARK is not used: the active segment is read to the last unit that verifies.
public struct LogDump {
    private let root: FilePath
    private let storage: any Storage
    private let emit: (JSONValue) -> Void
    private var events: UInt64 = 0
    private var units: UInt64 = 0

    /// Why a dump stopped: its last line says so too.
    public struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
        /// `corrupt`, `unsupported`, `not-a-log`, or `io` where it cannot be read.
        public let code: String
        /// What was found, and where.
        public let description: String
    }

    /// Prepares a dump of a log; each line is given to `emit`.
    public init(
        path: FilePath, storage: any Storage = POSIXStorage(), emit: @escaping (JSONValue) -> Void
    ) {
        root = path
        self.storage = storage
        self.emit = emit
    }

    /// Reads the whole log.
    public mutating func run() throws(Refusal) {
        let (manifest, isDamaged) = try loadManifest()
        line(
            "manifest",
            [
                "generation": number(manifest.generation),
                "store": .string(manifest.storeID.description),
                "writer_epoch": number(manifest.writerEpoch),
                "next_segment": number(manifest.nextSegmentID),
                "segments": number(UInt64(manifest.segments.count)),
                "damaged_copy": .bool(isDamaged),
            ])
        var next = manifest.segments.first?.firstSequence ?? 1
        for index in manifest.segments.indices { next = try dump(index, of: manifest) }
        line(
            "summary",
            ["events": number(events), "units": number(units), "next_sequence": number(next)])
    }

    private func line(_ type: String, _ fields: [String: JSONValue]) {
        emit(.object(fields.merging(["type": .string(type)]) { $1 }))
    }

    private func number(_ value: UInt64) -> JSONValue {
        Int64(exactly: value).map { .integer($0) } ?? .unsigned(value)
    }

    private func loadManifest() throws(Refusal) -> (Manifest, Bool) {
        let names: [String]
        do throws(StorageError) {
            names = try storage.list(root)
        } catch {
            let isNone = error.isNotFound || error.errno == .notDirectory
            throw Refusal(code: isNone ? "not-a-log" : "io", description: "\(error)")
        }
        let generations = names.compactMap(FileName.manifestGeneration).sorted(by: >)
        var refusal = Refusal(code: "not-a-log", description: "\(root): no manifest")
        for generation in generations {
            let bytes = try readFile(root.appending(FileName.manifest(generation)))
            let found: (manifest: Manifest, hash: UInt64, hasDamagedCopy: Bool)
            do throws(FormatError) {
                found = try Manifest.decodeFile(bytes.rawSpan, generation: generation)
            } catch {
                let found = Self.refusal(error, "manifest \(generation)")
                // What a newer version wrote is not passed over.
                if found.code == "unsupported" { throw found }
                if generation == generations.first { refusal = found }
                continue
            }
            try checkUnlisted(found.manifest)
            return (found.manifest, found.hasDamagedCopy)
        }
        throw refusal
    }

    /// A segment that holds units and is not listed was listed by a manifest that is lost.
    private func checkUnlisted(_ manifest: Manifest) throws(Refusal) {
        let listed = Set(manifest.segments.map { FileName.segment($0.segmentID) })
        let folder = root.appending(FileName.segments)
        for name in (try? storage.list(folder)) ?? [] where !listed.contains(name) {
            guard FileName.segmentID(name) != nil else { continue }
            let start = try readFile(folder.appending(name)).dropFirst(SegmentHeader.byteCount)
            guard start.prefix(FormatLimits.pageBytes).allSatisfy({ $0 == 0 }) else {
                throw Refusal(
                    code: "corrupt", description: "\(name) holds units and no manifest lists it")
            }
        }
    }

    private func readFile(_ path: FilePath) throws(Refusal) -> [UInt8] {
        do {
            let file = try storage.open(path, for: .reading)
            defer { try? file.close() }
            let size = try file.size()
            guard size <= FormatLimits.segmentBytesMax else {
                throw Refusal(code: "corrupt", description: "\(path): \(size) bytes")
            }
            return try file.readBytes(count: size, at: 0)
        } catch let error as Refusal {
            throw error
        } catch let error as StorageError {
            let isWrong = error.isNotFound || error.errno == .isDirectory
            throw Refusal(code: isWrong ? "corrupt" : "io", description: "\(error)")
        } catch {
            throw Refusal(code: "io", description: "\(error)")
        }
    }

    private static func refusal(_ error: FormatError, _ place: String) -> Refusal {
        if case .unsupported = error {
            return Refusal(code: "unsupported", description: "\(place): \(error)")
        }
        return Refusal(code: "corrupt", description: "\(place): \(error)")
    }
}

extension LogDump {
    /// Dumps one segment; returns the sequence after its last event.
    private mutating func dump(
        _ index: Int, of manifest: Manifest
    ) throws(Refusal) -> UInt64 {
        let entry = manifest.segments[index]
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
            header.salt == entry.salt, header.firstSequence == entry.firstSequence,
            header.predecessor.segmentID == before?.segmentID ?? 0,
            header.predecessor.byteLength == before?.validEnd ?? 0,
            header.predecessor.lastHash == before?.lastHash ?? 0
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

    private func row(_ block: BlockHeader, at offset: Int, _ segment: UInt64) -> JSONValue {
        let kinds: [BlockKind: String] = [
            .events: "events", .filler: "filler", .syncMark: "sync-mark", .close: "close",
            .seal: "seal",
        ]
        return .object([
            "type": .string("block"), "segment": number(segment),
            "offset": number(UInt64(offset)), "kind": .string(kinds[block.kind] ?? "unknown"),
            "codec": .string(block.codec == .raw ? "raw" : "lz4"),
            "flags": number(UInt64(block.flags.rawValue)),
            "stored": number(UInt64(block.storedLength)),
            "raw": number(UInt64(block.rawLength)),
            "first_sequence": number(block.firstSequence),
            "events": number(UInt64(block.eventCount)),
            "durable_up_to": number(UInt64(block.durableUpTo)),
            "hash": .string(block.headerHash.paddedHex),
        ])
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
                    line(
                        "event",
                        [
                            "sequence": self.number(sequence), "run": .string(run),
                            "epoch": self.number(epoch), "position": self.number(position),
                            "bytes": self.number(UInt64(body.byteCount)),
                            "xxh3_128": .string(ContentHash(of: body).description),
                        ])
                    sequence &+= 1
                    events += 1
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
        if walk.lastKind == .seal, bytes.dropFirst(walk.validEnd).contains(where: { $0 != 0 }) {
            throw Refusal(code: "corrupt", description: "\(place): bytes behind the seal")
        }
        switch walk.fault {
        case .chain?, .order?:
            throw Refusal(code: "corrupt", description: "\(place): a block out of place")
        default: break
        }
        let proven = max(
            walk.durableUpTo, Int(entry.validEnd), durableBehind(walk, bytes))
        guard proven <= walk.validEnd else {
            throw Refusal(
                code: "corrupt", description: "\(place): \(proven) bytes were durable")
        }
    }

    /// The largest durable offset that a whole header behind the valid end tells.
    private func durableBehind(_ walk: SegmentWalk, _ bytes: [UInt8]) -> Int {
        var durable = 0
        let magic: [UInt8] = [0x42, 0x4C, 0x4B, 0x31]
        for offset in stride(
            from: walk.validEnd, to: bytes.count - BlockHeader.byteCount + 1,
            by: FormatLimits.alignment)
        where bytes[offset..<(offset + 4)].elementsEqual(magic) {
            let seed = BlockHeader.seed(salt: walk.header.salt, offset: offset)
            let rest = bytes.rawSpan.extracting(droppingFirst: offset)
            durable = max(durable, BlockHeader.durableUpTo(toldBy: rest, seed: seed) ?? 0)
        }
        return durable
    }
}
