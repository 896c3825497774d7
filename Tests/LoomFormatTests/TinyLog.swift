import LoomFormat

/// A segment of fixed content: the worked example of FORMAT.md, and the golden bytes.
enum TinyLog {
    static let storeID = StoreID(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908)

    static let header = SegmentHeader(
        storeID: storeID, segmentID: 1, writerID: 1, writerEpoch: 1, firstSequence: 1,
        salt: 0x1122_3344_5566_7788, predecessor: .none, created: 1_760_000_000_000_000)

    /// Header, one unit of two events with its run's declaration, a filler, a close block.
    static func bytes() throws -> [UInt8] {
        var (bytes, hash) = header.encoded()
        var unit = RecordUnit(run: try RunID("demo"), epoch: 1, position: 0, isBarrier: true)
        unit.append(Array("hello".utf8))
        unit.append(Array("log".utf8))
        var payload = ByteWriter()
        unit.writePayload(number: 0, declares: true, to: &payload)
        hash = append(
            .init(
                kind: .events, flags: [.barrier, .firstAfterOpen], firstSequence: 1,
                eventCount: 2, durableUpTo: 128, previousHash: hash), payload.bytes, to: &bytes)
        let end = UInt32(bytes.count)
        let gap = 4096 - bytes.count - BlockHeader.byteCount
        hash = append(
            .init(
                kind: .filler, firstSequence: 3, eventCount: 0, durableUpTo: end,
                previousHash: hash), [UInt8](repeating: 0, count: gap), to: &bytes)
        _ = append(
            .init(
                kind: .close, firstSequence: 3, eventCount: 0, durableUpTo: end,
                previousHash: hash), [], to: &bytes)
        return bytes
    }

    /// Appends a block, uncompressed; returns its header hash.
    @discardableResult
    static func append(
        _ fields: BlockEncoder.Fields, _ payload: [UInt8], compress: Bool = false,
        salt: UInt64 = header.salt, to bytes: inout [UInt8]
    ) -> UInt64 {
        let seed = BlockHeader.seed(salt: salt, offset: bytes.count)
        var block = [UInt8](
            repeating: 0, count: BlockEncoder.byteCountMax(rawCount: payload.count))
        let written = payload.withUnsafeBytes { payload in
            block.withUnsafeMutableBytes {
                BlockEncoder.encode(
                    fields, payload: payload, seed: seed, compress: compress, into: $0)
            }
        }
        bytes += block.prefix(written.byteCount)
        return written.headerHash
    }

    static let manifest = Manifest(
        generation: 7, storeID: storeID, writerID: 1, writerEpoch: 3, nextSegmentID: 9,
        previousHash: 0xABCD, created: 1_760_000_000_000_001,
        segments: [
            ManifestSegment(
                segmentID: 4, state: .sealed, firstSequence: 1, endSequence: 100,
                validEnd: 65_536, lastHash: 11, salt: 12),
            ManifestSegment(
                segmentID: 6, state: .recovered, firstSequence: 100, endSequence: 120,
                validEnd: 4096, lastHash: 13, salt: 14, discardedBytes: 15, discardedHash: 16),
            ManifestSegment(
                segmentID: 8, state: .active, firstSequence: 120, endSequence: 120,
                validEnd: 128, lastHash: 17, salt: 18),
        ])

    static let mark = Mark(
        boot: ContentHash(low: 1, high: 2), device: 3, inode: 4, writerEpoch: 5)

    /// A parser before the first block of ``bytes()``.
    static func parser() -> BlockParser {
        BlockParser(
            salt: header.salt, offset: SegmentHeader.byteCount,
            previousHash: header.encoded().hash, nextSequence: 1)
    }
}

/// Hexadecimal text, for golden bytes.
func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
