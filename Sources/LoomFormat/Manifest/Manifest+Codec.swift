extension Manifest {
    /// Bytes of the body before the list of segments.
    static let fixedBytes = 80

    /// The whole file: the same block twice, the second copy on a page boundary.
    public func encodedFile() -> (bytes: [UInt8], hash: UInt64) {
        let body = encodedBody()
        let half = BlockEncoder.byteCountMax(rawCount: body.count)
            .roundedUp(to: FormatLimits.pageBytes)
        var file = [UInt8](repeating: 0, count: 2 * half)
        let fields = BlockEncoder.Fields(
            kind: .manifest, firstSequence: 0, eventCount: 0, durableUpTo: 0,
            previousHash: previousHash)
        let written = unsafe body.withUnsafeBytes { body in
            unsafe file.withUnsafeMutableBytes { file in
                unsafe BlockEncoder.encode(
                    fields, payload: body, seed: generation, compress: false, into: file)
            }
        }
        file.replaceSubrange(half..<(half + written.byteCount), with: file[..<written.byteCount])
        return (file, written.headerHash)
    }

    /// Reads a manifest file of the generation that its name gives; either copy will do.
    ///
    /// - Returns: The manifest, its header hash, and whether one of the copies is damaged.
    public static func decodeFile(
        _ file: RawSpan, generation: UInt64
    ) throws(FormatError) -> (manifest: Manifest, hash: UInt64, hasDamagedCopy: Bool) {
        let half = file.byteCount / 2
        guard half >= BlockHeader.byteCount, half % FormatLimits.pageBytes == 0 else {
            throw .invalid("a manifest of \(file.byteCount) bytes")
        }
        let first = Self.attempt(file.extracting(first: half), generation: generation)
        let second = Self.attempt(file.extracting(last: half), generation: generation)
        switch (first, second) {
        case (.success(let a), .success(let b)):
            guard a.hash == b.hash else { throw .invalid("the copies of a manifest differ") }
            return (a.manifest, a.hash, false)
        case (.success(let copy), .failure), (.failure, .success(let copy)):
            return (copy.manifest, copy.hash, true)
        case (.failure(let first), .failure(let second)):
            // A copy of a newer version says more than one that is damaged.
            if case .unsupported = second { throw second }
            throw first
        }
    }

    private typealias Copy = (manifest: Manifest, hash: UInt64)

    private static func attempt(
        _ bytes: RawSpan, generation: UInt64
    ) -> Result<Copy, FormatError> {
        do throws(FormatError) {
            return .success(try decodeCopy(bytes, generation: generation))
        } catch {
            return .failure(error)
        }
    }

    private static func decodeCopy(
        _ bytes: RawSpan, generation: UInt64
    ) throws(FormatError) -> Copy {
        let header = try BlockHeader(decoding: bytes, seed: generation)
        guard header.kind == .manifest, header.codec == .raw, header.flags.isEmpty,
            header.firstSequence == 0, header.eventCount == 0, header.durableUpTo == 0
        else { throw .badMagic("manifest") }
        guard bytes.byteCount >= header.totalLength else {
            throw .endOfBytes(needed: header.totalLength, available: bytes.byteCount)
        }
        let payload = bytes.extracting(BlockHeader.byteCount..<header.totalLength)
        guard BlockHash.hash(payload, seed: generation) == header.payloadHash else {
            throw .hashMismatch("manifest")
        }
        let manifest = try Manifest(
            decodingBody: payload.extracting(first: header.storedLength),
            previousHash: header.previousHash)
        guard manifest.generation == generation else {
            throw .invalid("generation \(manifest.generation) in the file of \(generation)")
        }
        return (manifest, header.headerHash)
    }

    private func encodedBody() -> [UInt8] {
        let size =
            Self.fixedBytes + segments.count * ManifestSegment.byteCount
            + 8 + superseded.count * SupersededSegment.byteCount + ManifestCopy.byteCount
        var writer = ByteWriter(capacity: size)
        writer.writeUInt16(FormatVersion.major)
        writer.writeUInt16(FormatVersion.minor)
        writer.writeUInt32(0)  // incompatible flags
        writer.writeUInt64(generation)
        writer.writeUInt64(storeID.low)
        writer.writeUInt64(storeID.high)
        writer.writeUInt64(writerID)
        writer.writeUInt64(writerEpoch)
        writer.writeUInt64(nextSegmentID)
        writer.writeUInt64(previousHash)
        writer.writeUInt64(created)
        writer.writeUInt64(UInt64(segments.count))
        for segment in segments {
            writer.writeUInt64(segment.segmentID)
            writer.writeUInt8(segment.role.rawValue)
            writer.writeUInt8(segment.state.rawValue)
            writer.writeUInt8(segment.tier)
            writer.writeUInt8(segment.ending.rawValue)
            writer.writeUInt32(0)
            writer.writeUInt64(segment.firstSequence)
            writer.writeUInt64(segment.endSequence)
            writer.writeUInt64(segment.validEnd)
            writer.writeUInt64(segment.lastHash)
            writer.writeUInt64(segment.salt)
            writer.writeUInt64(segment.discardedBytes)
            writer.writeUInt64(segment.discardedHash)
            writer.writeUInt64(segment.eventCount)
        }
        writer.writeUInt64(UInt64(superseded.count))
        for file in superseded {
            writer.writeUInt64(file.segmentID)
            writer.writeUInt64(file.generation)
            writer.writeUInt64(UInt64(file.role.rawValue))
        }
        if let copy {
            writer.writeUInt64(copy.time)
            writer.writeUInt64(copy.isSettled ? 1 : 0)
        }
        return writer.bytes
    }

    private init(decodingBody body: RawSpan, previousHash: UInt64) throws(FormatError) {
        var reader = ByteReader(body)
        let major = try reader.readUInt16()
        guard major == FormatVersion.major else {
            throw .unsupported("format version", found: UInt64(major))
        }
        let minor = try reader.readUInt16()
        let incompatible = try reader.readUInt32()
        guard incompatible == 0 else {
            throw .unsupported("incompatible feature set", found: UInt64(incompatible))
        }
        generation = try reader.readUInt64()
        storeID = StoreID(low: try reader.readUInt64(), high: try reader.readUInt64())
        writerID = try reader.readUInt64()
        writerEpoch = try reader.readUInt64()
        nextSegmentID = try reader.readUInt64()
        self.previousHash = try reader.readUInt64()
        guard self.previousHash == previousHash else {
            throw .invalid("the previous hash differs between header and body")
        }
        created = try reader.readUInt64()
        segments = []
        let count = try Self.readCount(
            &reader, "segment count", limit: FormatLimits.manifestSegmentCountMax,
            entryBytes: ManifestSegment.byteCount)
        segments.reserveCapacity(count)
        for _ in 0..<count { segments.append(try Self.readSegment(&reader)) }
        superseded = []
        // What a writer of 0.1 left behind the segments means nothing.
        if minor >= 2 {
            superseded = try Self.readSuperseded(&reader)
            copy = try Self.readCopy(&reader)
        }
        try validate()
        try validateSuperseded()
    }

    /// A count of entries that follow, refused when they cannot be there.
    private static func readCount(
        _ reader: inout ByteReader, _ field: String, limit: Int, entryBytes: Int
    ) throws(FormatError) -> Int {
        let count = try reader.readUInt64()
        let bound = UInt64(min(limit, reader.remaining / entryBytes))
        guard count <= bound else { throw .limitExceeded(field, found: count, limit: bound) }
        return Int(count)
    }

    private static func readSuperseded(
        _ reader: inout ByteReader
    ) throws(FormatError) -> [SupersededSegment] {
        let count = try readCount(
            &reader, "superseded count", limit: FormatLimits.manifestSupersededCountMax,
            entryBytes: SupersededSegment.byteCount)
        var files: [SupersededSegment] = []
        files.reserveCapacity(count)
        for _ in 0..<count {
            let (id, generation) = (try reader.readUInt64(), try reader.readUInt64())
            let role = try reader.readUInt64()
            guard let byte = UInt8(exactly: role),
                SegmentRole.known.contains(SegmentRole(rawValue: byte))
            else { throw .unsupported("segment role", found: role) }
            files.append(
                SupersededSegment(
                    segmentID: id, generation: generation, role: SegmentRole(rawValue: byte)))
        }
        return files
    }

    /// Only a log that was copied has it.
    private static func readCopy(
        _ reader: inout ByteReader
    ) throws(FormatError) -> ManifestCopy? {
        guard reader.remaining >= ManifestCopy.byteCount else { return nil }
        let (time, flags) = (try reader.readUInt64(), try reader.readUInt64())
        return time == 0 ? nil : ManifestCopy(time: time, isSettled: flags & 1 != 0)
    }

    private static func readSegment(
        _ reader: inout ByteReader
    ) throws(FormatError) -> ManifestSegment {
        let id = try reader.readUInt64()
        let role = SegmentRole(rawValue: try reader.readUInt8())
        let state = SegmentState(rawValue: try reader.readUInt8())
        let tier = try reader.readUInt8()
        let ending = SegmentEnding(rawValue: try reader.readUInt8())
        try reader.skip(4)
        var segment = ManifestSegment(
            segmentID: id, role: role, state: state, ending: ending, tier: tier,
            firstSequence: try reader.readUInt64(),
            endSequence: try reader.readUInt64(), validEnd: try reader.readUInt64(),
            lastHash: try reader.readUInt64(), salt: try reader.readUInt64(),
            discardedBytes: try reader.readUInt64(), discardedHash: try reader.readUInt64(),
            eventCount: try reader.readUInt64())
        if role == .live { (segment.tier, segment.eventCount) = (0, 0) }
        return segment
    }

    /// What must hold between the segments: order, continuity, archives first, and one active
    /// segment, the last.
    private func validate() throws(FormatError) {
        guard let first = segments.first else { throw .invalid("a manifest without a segment") }
        guard first.firstSequence == 1 else { throw .invalid("the first segment does not start") }
        guard generation > 0, generation > 1 || previousHash == 0 else {
            throw .invalid("the first manifest names one before it")
        }
        let counters = [generation, writerEpoch, nextSegmentID] + segments.map(\.endSequence)
        guard counters.allSatisfy({ $0 < FormatLimits.numberEnd }) else {
            throw .invalid("a number of 2^62 or more")
        }
        var ids: Set<UInt64> = []
        for (index, segment) in segments.enumerated() {
            let isLast = index == segments.count - 1
            try validate(segment, isLast: isLast)
            guard ids.insert(segment.segmentID).inserted else {
                throw .invalid("segment \(segment.segmentID) is listed twice")
            }
            guard !isLast else { break }
            let next = segments[index + 1]
            guard next.firstSequence == segment.endSequence else {
                throw .invalid("segment \(next.segmentID) does not follow its predecessor")
            }
            guard next.role == .live || segment.role == .archive else {
                throw .invalid("archive \(next.segmentID) stands behind a live segment")
            }
        }
    }

    private func validate(_ segment: ManifestSegment, isLast: Bool) throws(FormatError) {
        guard SegmentRole.known.contains(segment.role) else {
            throw .unsupported("segment role", found: UInt64(segment.role.rawValue))
        }
        let states: [SegmentState] =
            isLast ? [.active] : segment.role == .archive ? [.sealed] : [.sealed, .recovered]
        guard states.contains(segment.state), !isLast || segment.role == .live else {
            throw .invalid("segment \(segment.segmentID) is in state \(segment.state.rawValue)")
        }
        guard segment.segmentID < nextSegmentID,
            segment.firstSequence <= segment.endSequence,
            segment.eventCount <= segment.endSequence - segment.firstSequence,
            segment.validEnd >= UInt64(SegmentHeader.byteCount),
            segment.validEnd % UInt64(FormatLimits.alignment) == 0,
            segment.validEnd <= UInt64(FormatLimits.segmentBytesMax)
        else { throw .invalid("segment \(segment.segmentID) has impossible bounds") }
    }

    private func validateSuperseded() throws(FormatError) {
        var ids = Set(segments.map(\.segmentID))
        for file in superseded {
            guard file.segmentID < nextSegmentID, file.generation > 0,
                file.generation <= generation, ids.insert(file.segmentID).inserted
            else {
                throw .invalid("segment \(file.segmentID) cannot be superseded")
            }
        }
    }
}
