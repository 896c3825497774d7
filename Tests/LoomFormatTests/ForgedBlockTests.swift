import LoomFormat
import LoomTesting
import Testing

/// Blocks whose hashes are right and whose fields are not: the checks behind the hash are reached.
@Suite struct ForgedBlockTests {
    /// The first block of the tiny log with some bytes of its header changed and both hashes made
    /// anew.
    private func parse(_ change: (inout [UInt8]) -> Void) throws -> BlockParse {
        var bytes = Array(try TinyLog.bytes().dropFirst(128).prefix(128))
        change(&bytes)
        let seed = BlockHeader.seed(salt: TinyLog.header.salt, offset: 128)
        let hash = BlockHash.hash(bytes.rawSpan.extracting(first: 56), seed: seed)
        for index in 0..<8 { bytes[56 + index] = UInt8(truncatingIfNeeded: hash >> (8 * index)) }
        var parser = TinyLog.parser()
        return parser.next(in: bytes.rawSpan)
    }

    private func put(_ value: UInt32, at offset: Int, in bytes: inout [UInt8]) {
        for index in 0..<4 {
            bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
        }
    }

    @Test("the forged block is good when nothing is changed")
    func unchanged() throws {
        guard case .block(let header) = try parse({ _ in }) else { return #expect(Bool(false)) }
        #expect(header.eventCount == 2)
        #expect(header.flags == [.barrier, .firstAfterOpen])
    }

    @Test("what a newer version may write is unsupported, not damaged")
    func unsupported() throws {
        let changes: [(String, (inout [UInt8]) -> Void)] = [
            ("codec", { $0[5] = 9 }), ("flags", { $0[7] = 0x80 }), ("aux", { $0[36] = 1 }),
            ("kind 0", { $0[4] = 0 }), ("kind 9", { $0[4] = 9 }),
        ]
        for (name, change) in changes {
            guard case .bad(.header(.unsupported), _) = try parse(change) else {
                Issue.record("\(name)")
                continue
            }
        }
    }

    @Test("impossible fields are refused before anything is read or allocated by them")
    func impossible() throws {
        let tooLong = UInt32(FormatLimits.blockBytesMax + 1)
        let changes: [(String, (inout [UInt8]) -> Void)] = [
            ("stored length", { put(tooLong, at: 8, in: &$0) }),
            ("huge stored length", { put(.max, at: 8, in: &$0) }),
            ("raw length", { put(.max, at: 12, in: &$0) }),
            ("unequal lengths", { put(1, at: 12, in: &$0) }),
            ("raw check", { $0[28] = 1 }),
            ("compressed and not smaller", { $0[5] = 1 }),
        ]
        for (name, change) in changes {
            guard case .bad(.header, nil) = try parse(change) else {
                Issue.record("\(name)")
                continue
            }
        }
        let order: [(String, (inout [UInt8]) -> Void)] = [
            ("kind 6", { $0[4] = 6 }), ("kind 7", { $0[4] = 7 }), ("kind 8", { $0[4] = 8 }),
            ("sequence", { $0[16] = 9 }),
            ("no events", { $0[24] = 0 }), ("durable ahead", { put(129, at: 32, in: &$0) }),
            ("continues with a count", { $0[6] |= 1 }), ("a mark in the page", { $0[4] = 3 }),
        ]
        for (name, change) in order {
            guard case .bad(.order, .some) = try parse(change) else {
                Issue.record("\(name)")
                continue
            }
        }
        guard case .bad(.chain, .some) = try parse({ $0[40] ^= 1 }) else {
            return #expect(Bool(false))
        }
        guard case .bad(.payload, .some) = try parse({ $0[70] ^= 1 }) else {
            return #expect(Bool(false))
        }
    }

    @Test("a compressed block decodes to its content, and to nothing else")
    func compressed() throws {
        let content = Array(String(repeating: "compress me ", count: 100).utf8)
        var bytes: [UInt8] = []
        TinyLog.append(
            .init(
                kind: .events, firstSequence: 1, eventCount: 1, durableUpTo: 0, previousHash: 0),
            content, compress: true, to: &bytes)
        let seed = BlockHeader.seed(salt: TinyLog.header.salt, offset: 0)
        let header = try BlockHeader(decoding: bytes.rawSpan, seed: seed)
        #expect(header.codec == .lz4)
        #expect(bytes.count < content.count / 4)
        var decoded: [UInt8] = [7]
        try header.decodePayload(bytes.rawSpan.extracting(droppingFirst: 64), into: &decoded)
        #expect(decoded == [7] + content)
        // Another raw length, another content, a hostile payload: refused, nothing appended.
        var wrong = header
        wrong.rawLength = 4 << 20
        #expect(throws: FormatError.self) {
            try wrong.decodePayload(bytes.rawSpan.extracting(droppingFirst: 64), into: &decoded)
        }
        wrong = header
        wrong.rawCheck ^= 1
        #expect(throws: FormatError.self) {
            try wrong.decodePayload(bytes.rawSpan.extracting(droppingFirst: 64), into: &decoded)
        }
        var generator = SeededGenerator(4)
        for _ in 0..<5000 {
            var damaged = Array(bytes.dropFirst(64))
            damaged[Int(generator.next() % UInt64(header.storedLength))] ^=
                UInt8(truncatingIfNeeded: generator.next() | 1)
            // Repeated content may decode to itself from other bytes; nothing else may come out.
            var other: [UInt8] = []
            try? header.decodePayload(damaged.rawSpan, into: &other)
            if other != [] && other != content { Issue.record("another content") }
        }
        #expect(decoded == [7] + content)
    }

    @Test("records: unknown tags are stepped over, malformed ones refused")
    func records() throws {
        func read(_ bytes: [UInt8]) throws(FormatError) -> [String] {
            var found: [String] = []
            var reader = RecordReader(bytes.rawSpan)
            while let record = try reader.next() {
                switch record {
                case .declaration(let number, let id): found.append("run \(number) \(id.byteCount)")
                case .event(let run, let epoch, let position, let body):
                    found.append("\(run) \(epoch) \(position) \(body.byteCount)")
                }
            }
            return found
        }
        let context: [UInt8] = [2, 4, 5, 6, 7, 99]
        #expect(
            try read([1, 2, 5, 65] + [200, 1, 0] + context + [3, 0, 3, 1, 9])
                == ["run 5 1", "5 6 7 0", "5 6 8 1"])
        for bad: [UInt8] in [
            [0, 0], [3, 0], [2, 1, 5], [3, 200], context + [3, 5, 1], [1, 0x80, 0], [1],
            [2, 10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2],
        ] {
            #expect(throws: FormatError.self, "\(bad)") { try read(bad) }
        }
        #expect(throws: FormatError.self) { try RunID("") }
        #expect(throws: FormatError.self) { try RunID("a\n") }
        #expect(throws: FormatError.self) { try RunID(String(repeating: "é", count: 257)) }
        #expect(throws: Never.self) { try RunID(String(repeating: "é", count: 256)) }
    }

    @Test("varints have one form each, at every border")
    func varints() throws {
        for shift in 0..<64 {
            for value in [UInt64(1) << shift, UInt64(1) << shift - 1, ~(UInt64(1) << shift)] {
                var writer = ByteWriter()
                writer.writeVarint(value)
                #expect(writer.count == value.varintSize)
                var reader = ByteReader(writer.bytes.rawSpan)
                #expect(try reader.readVarint() == value)
                let longer = Array(writer.bytes.dropLast()) + [writer.bytes.last! | 0x80, 0]
                #expect(throws: FormatError.self) {
                    var reader = ByteReader(longer.rawSpan)
                    return try reader.readVarint()
                }
            }
        }
    }
}

/// Numbers near the end of 64 bits made the writer trap when it counted on from them.
@Suite struct HugeNumberTests {
    @Test("numbers that could not be counted on from are refused")
    func refused() throws {
        #expect(FileName.manifestGeneration("MANIFEST-ffffffffffffffff") == nil)
        #expect(FileName.segmentID("ffffffffffffffff.llg") == nil)
        #expect(FileName.segmentID("00000000000000ff.llg") == 255)
        var manifest = TinyLog.manifest
        manifest.writerEpoch = .max
        let (file, _) = manifest.encodedFile()
        #expect(throws: FormatError.self) {
            try Manifest.decodeFile(file.rawSpan, generation: 7)
        }
        var header = TinyLog.header
        header.firstSequence = .max
        let (bytes, _) = header.encoded()
        #expect(throws: FormatError.self) { try SegmentHeader.decode(bytes.rawSpan) }
    }
}
