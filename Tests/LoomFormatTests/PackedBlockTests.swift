import LoomFormat
import LoomTesting
import Testing

/// Blocks of archives: rows gathered, encoded, checked, decoded and read.
@Suite struct PackedBlockTests {
    private static let salt: UInt64 = 99
    private static let seed = BlockHeader.seed(salt: salt, offset: 0)

    private static let names = ["a", "b", "été"]

    /// Rows of three runs whose events come from all over the log.
    private func rows() throws -> BlockRows {
        var rows = BlockRows()
        for (index, name) in Self.names.enumerated() {
            let run = rows.declare(try RunID(name))
            #expect(run == UInt64(index))
            for number in UInt64(0)..<60 {
                // Every tenth event is not the next one in the log.
                let sequence = 1000 * (3 - run) + number + number / 10
                var event = ByteWriter()
                event.writeUInt8(number % 2 == 0 ? 2 : 7)
                event.writeVarint(1_760_000_000_000_000 + number)
                event.writeVarint(number / 2)
                event.writeVarint(0)
                event.writeString(name)
                rows.append(
                    run: run, epoch: 4, position: number, sequence: sequence, event.bytes.rawSpan)
            }
        }
        return rows
    }

    private func block(
        _ payload: [UInt8], flags: BlockFlags = [], firstSequence: UInt64 = 1000,
        count: UInt32 = 180
    ) -> [UInt8] {
        var packing = RowPacking()
        var target = [UInt8](
            repeating: 0xEE, count: BlockEncoder.byteCountMax(rawCount: payload.count))
        let fields = BlockEncoder.Fields(
            kind: .events, flags: flags, firstSequence: firstSequence, eventCount: count,
            durableUpTo: 0, previousHash: 5)
        let written = target.withUnsafeMutableBytes {
            BlockEncoder.encode(
                fields, rows: payload.rawSpan, packing: &packing, seed: Self.seed, into: $0)
        }
        return Array(target.prefix(written.byteCount))
    }

    private func parse(_ block: [UInt8], in role: SegmentRole = .archive) -> BlockParse {
        var parser = BlockParser(
            salt: Self.salt, offset: 0, previousHash: 5, nextSequence: 1, in: role)
        return parser.next(in: block.rawSpan)
    }

    /// The block with some bytes of its header changed and its hash made anew.
    private func forged(_ block: [UInt8], _ change: (inout [UInt8]) -> Void) -> [UInt8] {
        var bytes = block
        change(&bytes)
        let hash = BlockHash.hash(bytes.rawSpan.extracting(first: 56), seed: Self.seed)
        for index in 0..<8 { bytes[56 + index] = UInt8(truncatingIfNeeded: hash >> (8 * index)) }
        return bytes
    }

    @Test("rows come back from a block, with the place of every event")
    func roundTrip() throws {
        let rows = try rows()
        #expect(rows.eventCount == 180)
        #expect(rows.firstSequence == 1000)
        let payload = [UInt8](copying: rows.payload)
        let block = block(payload)
        guard case .block(let header) = parse(block) else { return #expect(Bool(false)) }
        #expect(header.codec == .packedRows)
        #expect(header.rawLength == payload.count)
        #expect(header.packedLength > header.storedLength)
        #expect(block.count < payload.count / 8)
        var decoded: [UInt8] = [7]
        try header.decodePayload(block.rawSpan.extracting(droppingFirst: 64), into: &decoded)
        #expect(decoded == [7] + payload)

        var reader = RecordReader(payload.rawSpan, in: .archive)
        var (ids, count) = ([String](), UInt64(0))
        while let record = try reader.next() {
            switch record {
            case .declaration(let number, let id):
                #expect(number == UInt64(ids.count))
                ids.append(String(decoding: [UInt8](copying: id), as: UTF8.self))
            case .event(let run, let epoch, let position, _):
                let number = count % 60
                #expect(run == count / 60 && epoch == 4 && position == number)
                #expect(reader.sequence == 1000 * (3 - run) + number + number / 10)
                count += 1
            }
        }
        #expect(ids == Self.names && count == 180)
    }

    @Test("a context of an archive without its sequence is refused")
    func shortContext() throws {
        let live: [UInt8] = [2, 3, 0, 1, 0, 3, 1, 9]
        var reader = RecordReader(live.rawSpan)
        while try reader.next() != nil {}
        #expect(throws: FormatError.self) {
            var reader = RecordReader(live.rawSpan, in: .archive)
            while try reader.next() != nil {}
        }
    }

    @Test("rows have a context where events do not follow, and end at 32 KiB")
    func gathering() throws {
        var rows = BlockRows()
        let event = [UInt8](repeating: 9, count: 98)
        let run = rows.declare(Array("run".utf8).rawSpan)
        #expect(rows.isEmpty && !rows.mustEnd(before: 1 << 20))
        rows.append(run: run, epoch: 1, position: 0, sequence: 10, event.rawSpan)
        let first = rows.byteCount
        rows.append(run: run, epoch: 1, position: 1, sequence: 11, event.rawSpan)
        #expect(rows.byteCount == first + 100)
        rows.append(run: run, epoch: 1, position: 2, sequence: 13, event.rawSpan)
        #expect(rows.byteCount == first + 206)
        #expect(!rows.mustEnd(before: 32_767) && rows.mustEnd(before: 32_768))
        while !rows.isFull {
            let count = UInt64(rows.eventCount)
            rows.append(run: run, epoch: 1, position: count, sequence: 11 + count, event.rawSpan)
        }
        #expect(rows.byteCount - 100 < 32_768 && rows.mustEnd(before: 0))
        rows.removeAll()
        #expect(rows.isEmpty && rows.byteCount == 0 && rows.runCount == 0)
        #expect(rows.firstSequence == .max)
    }

    @Test("packed rows are refused as unsupported outside archives")
    func live() throws {
        let block = block([UInt8](copying: try rows().payload))
        guard case .bad(.header(.unsupported), nil) = parse(block, in: .live) else {
            return #expect(Bool(false))
        }
        // Also without the length in the field that older versions want to be zero.
        let bare = forged(block) { for index in 36..<40 { $0[index] = 0 } }
        guard case .bad(.header(.unsupported), nil) = parse(bare, in: .live) else {
            return #expect(Bool(false))
        }
    }

    @Test("headers of archives with impossible fields are refused")
    func forgedHeaders() throws {
        let block = block([UInt8](copying: try rows().payload))
        let headers: [(String, (inout [UInt8]) -> Void)] = [
            ("no packed length", { for index in 36..<40 { $0[index] = 0 } }),
            ("a packed length above the limit", { $0[39] = 1 }),
            ("a packed length of another codec", { $0[5] = 1 }), ("codec 3", { $0[5] = 3 }),
            ("a sync mark", { $0[4] = 3 }), ("a seal", { $0[4] = 5 }),
            ("not smaller", { $0.replaceSubrange(12..<16, with: $0[8..<12]) }),
        ]
        for (name, change) in headers {
            guard case .bad(.header, nil) = parse(forged(block, change)) else {
                Issue.record("\(name)")
                continue
            }
        }
        let orders: [(String, (inout [UInt8]) -> Void)] = [
            ("barrier", { $0[6] = 2 }), ("first after open", { $0[6] = 4 }),
            ("continues with a count", { $0[6] = 1 }), ("no events", { $0[24] = 0 }),
            (
                "packed rows of several blocks",
                {
                    $0[6] = 1
                    $0[24] = 0
                }
            ),
            ("durable", { $0[32] = 1 }),
        ]
        for (name, change) in orders {
            guard case .bad(.order, .some) = parse(forged(block, change)) else {
                Issue.record("\(name)")
                continue
            }
        }
    }

    @Test("a header that does not fit the payload is found when it is decoded")
    func misfits() throws {
        let payload = [UInt8](copying: try rows().payload)
        let block = block(payload)
        guard case .block(let header) = parse(block) else { return #expect(Bool(false)) }
        let stored = Array(block.dropFirst(64))
        var unpacking = RowUnpacking()
        let changes: [(inout BlockHeader) -> Void] = [
            { $0.packedLength -= 1 }, { $0.packedLength += 1 }, { $0.packedLength = 4 << 20 },
            { $0.rawLength -= 1 }, { $0.rawLength += 1 }, { $0.rawLength = 4 << 20 },
            { $0.rawCheck ^= 1 }, { $0.storedLength -= 1 }, { $0.codec = .lz4 },
        ]
        for change in changes {
            var wrong = header
            change(&wrong)
            var target: [UInt8] = [7]
            #expect(throws: FormatError.self) {
                try wrong.decodePayload(stored.rawSpan, into: &target, unpacking: &unpacking)
            }
            #expect(target == [7])
        }
        var target: [UInt8] = []
        try header.decodePayload(stored.rawSpan, into: &target, unpacking: &unpacking)
        #expect(target == payload)
    }

    @Test("blocks of archives come in any order of sequence, and are chained")
    func order() throws {
        let payload = [UInt8](copying: try rows().payload)
        for first: UInt64 in [1, 77, 1 << 40] {
            guard case .block(let header) = parse(block(payload, firstSequence: first)) else {
                return #expect(Bool(false))
            }
            #expect(header.firstSequence == first)
        }
    }

    @Test("every flipped bit of a block of packed rows is seen")
    func flippedBits() throws {
        let block = block([UInt8](copying: try rows().payload))
        for bit in 0..<block.count * 8 {
            var bytes = block
            bytes[bit / 8] ^= 1 << (bit % 8)
            if case .block = parse(bytes) { Issue.record("bit \(bit)") }
        }
    }

    @Test("rows that cannot be packed, or do not get smaller, have another codec")
    func otherCodecs() throws {
        var generator = SeededGenerator(9)
        let noise = (0..<3000).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        let context: [UInt8] = [2, 4, 0, 1, 0, 1]
        var unknown = ByteWriter()
        unknown.writeBytes(context + [9])
        unknown.writeSized([UInt8](repeating: 7, count: 1000))
        var incompressible = ByteWriter()
        incompressible.writeBytes(context + [3])
        incompressible.writeSized(noise)
        for (payload, codec) in [
            (unknown.bytes, BlockCodec.lz4), (incompressible.bytes, .raw),
            (context + [3, 0], .raw), ([9, 0], .raw),
        ] {
            let block = block(payload, count: 1)
            guard case .block(let header) = parse(block) else { return #expect(Bool(false)) }
            #expect(header.codec == codec && header.packedLength == 0)
            var decoded: [UInt8] = []
            try header.decodePayload(block.rawSpan.extracting(droppingFirst: 64), into: &decoded)
            #expect(decoded == payload)
        }
    }
}
