import LoomFormat
import LoomTesting
import Testing

/// The manifest of format 0.2: archives, their order, and files that are superseded.
@Suite struct ArchiveManifestTests {
    /// Two archives, the second with a higher id than what follows it, and three old files.
    static let manifest = Manifest(
        generation: 9, storeID: TinyLog.storeID, writerID: 1, writerEpoch: 3, nextSegmentID: 12,
        previousHash: 0xABCD, created: 1_760_000_000_000_002,
        segments: [
            ManifestSegment(
                segmentID: 11, role: .archive, state: .sealed, tier: 2, firstSequence: 1,
                endSequence: 100, validEnd: 65_536, lastHash: 11, salt: 12, eventCount: 90),
            ManifestSegment(
                segmentID: 10, role: .archive, state: .sealed, ending: .tornProven,
                firstSequence: 100, endSequence: 120, validEnd: 4096, lastHash: 13, salt: 14,
                discardedBytes: 15, discardedHash: 16, eventCount: 20),
            ManifestSegment(
                segmentID: 8, state: .active, firstSequence: 120, endSequence: 120, validEnd: 128,
                lastHash: 17, salt: 18),
        ],
        superseded: [
            SupersededSegment(segmentID: 3, generation: 9, role: .archive),
            SupersededSegment(segmentID: 4, generation: 8, role: .live),
            SupersededSegment(segmentID: 7, generation: 9, role: .live),
        ])

    private func decode(_ manifest: Manifest) throws(FormatError) -> Manifest {
        let file = manifest.encodedFile().bytes
        return try Manifest.decodeFile(file.rawSpan, generation: manifest.generation).manifest
    }

    /// The file of a body with right hashes, in one copy.
    private func file(_ body: [UInt8]) -> [UInt8] {
        let fields = BlockEncoder.Fields(
            kind: .manifest, firstSequence: 0, eventCount: 0, durableUpTo: 0, previousHash: 0xABCD)
        var file = [UInt8](repeating: 0, count: 8192)
        body.withUnsafeBytes { body in
            file.withUnsafeMutableBytes { file in
                _ = BlockEncoder.encode(
                    fields, payload: body, seed: Self.manifest.generation, compress: false,
                    into: file)
            }
        }
        return file
    }

    private var body: [UInt8] {
        let file = Self.manifest.encodedFile().bytes
        return Array(file.dropFirst(64).prefix(80 + 3 * 80 + 8 + 3 * 24))
    }

    @Test("a manifest with archives and superseded files comes back as it was")
    func roundTrip() throws {
        #expect(try decode(Self.manifest) == Self.manifest)
        #expect(try decode(TinyLog.manifest) == TinyLog.manifest)
        let bytes = body
        #expect(bytes[2] == 2)
        let archive = bytes[80..<160]
        #expect(hex(archive.prefix(16)) == "0b000000000000000202020000000000")
        #expect(hex(archive.suffix(8)) == "5a00000000000000")
        #expect(
            hex(bytes.dropFirst(320))
                == "0300000000000000" + "030000000000000009000000000000000200000000000000"
                + "040000000000000008000000000000000100000000000000"
                + "070000000000000009000000000000000100000000000000")
    }

    @Test("a log that was copied says so behind the superseded files, others nothing")
    func copy() throws {
        var manifest = Self.manifest
        for copy in [ManifestCopy(time: 258), ManifestCopy(time: 1 << 50, isSettled: true)] {
            manifest.copy = copy
            #expect(try decode(manifest) == manifest)
        }
        let bytes = manifest.encodedFile().bytes.dropFirst(64 + 80 + 3 * 80 + 8 + 3 * 24)
        #expect(hex(bytes.prefix(16)) == "0000000000000400" + "0100000000000000")
        // Cut, or without a time, it is none.
        var expected = manifest
        (expected.copy, expected.generation) = (nil, 9)
        for tail in [[UInt8](repeating: 1, count: 15), [UInt8](repeating: 0, count: 16)] {
            let file = file(body + tail)
            #expect(try Manifest.decodeFile(file.rawSpan, generation: 9).manifest == expected)
        }
    }

    @Test("a manifest of 0.1 is read: what stands behind its segments means nothing")
    func older() throws {
        var body = Array(TinyLog.manifest.encodedFile().bytes.dropFirst(64).prefix(80 + 3 * 80))
        body[2] = 1
        body[8] = 9
        for tail: [UInt8] in [[], [1, 2, 3], [UInt8](repeating: 0xFF, count: 90)] {
            let file = file(body + tail)
            var expected = TinyLog.manifest
            expected.generation = 9
            #expect(try Manifest.decodeFile(file.rawSpan, generation: 9).manifest == expected)
        }
        // One of 0.2 must have its list.
        body[2] = 2
        let cut = file(body)
        #expect(throws: FormatError.self) { try Manifest.decodeFile(cut.rawSpan, generation: 9) }
    }

    @Test("what a newer version may write is unsupported, not damaged")
    func unsupported() throws {
        for offset in [88, 320 + 8 + 16, 320 + 8 + 23] {
            var body = body
            body[offset] = 3
            let file = file(body)
            do {
                _ = try Manifest.decodeFile(file.rawSpan, generation: 9)
                Issue.record("offset \(offset)")
            } catch {
                guard case .unsupported = error else { throw error }
            }
        }
    }

    @Test("segments and files that contradict each other are refused")
    func refuses() throws {
        let changes: [(String, (inout Manifest) -> Void)] = [
            ("an archive that is active", { $0.segments[2].role = .archive }),
            (
                "an archive behind a live segment",
                { ($0.segments[0].role, $0.segments[0].eventCount) = (.live, 0) }
            ),
            ("an archive that is recovered", { $0.segments[0].state = .recovered }),
            ("an id twice", { $0.segments[1].segmentID = 11 }),
            ("an id not given yet", { $0.segments[1].segmentID = 12 }),
            ("more events than sequences", { $0.segments[0].eventCount = 100 }),
            ("a gap", { $0.segments[0].endSequence = 99 }),
            ("a superseded segment that is listed", { $0.superseded[0].segmentID = 8 }),
            ("a superseded segment twice", { $0.superseded[0].segmentID = 4 }),
            ("a superseded id not given yet", { $0.superseded[0].segmentID = 12 }),
            ("superseded in the future", { $0.superseded[0].generation = 10 }),
            ("superseded before the first", { $0.superseded[0].generation = 0 }),
        ]
        for (what, change) in changes {
            var manifest = Self.manifest
            change(&manifest)
            #expect(throws: FormatError.self, "\(what)") { try decode(manifest) }
        }
    }

    @Test("as many segments and superseded files as there may be fit one block")
    func limits() throws {
        let count = FormatLimits.manifestSegmentCountMax
        var manifest = Self.manifest
        manifest.nextSegmentID = 1 << 40
        manifest.segments = (1...UInt64(count)).map { id in
            ManifestSegment(
                segmentID: id, role: id == UInt64(count) ? .live : .archive,
                state: id == UInt64(count) ? .active : .sealed, firstSequence: 1, endSequence: 1,
                validEnd: 128, lastHash: 1, salt: 1)
        }
        manifest.superseded = (0..<FormatLimits.manifestSupersededCountMax).map { index in
            SupersededSegment(segmentID: UInt64(100_000 + index), generation: 9, role: .live)
        }
        let file = manifest.encodedFile().bytes
        #expect(file.count <= FormatLimits.manifestBytesMax)
        #expect(try Manifest.decodeFile(file.rawSpan, generation: 9).manifest == manifest)
        manifest.segments.removeFirst(40_000)
        manifest.segments[0].firstSequence = 1
        manifest.superseded.append(SupersededSegment(segmentID: 1, generation: 9, role: .live))
        #expect(throws: FormatError.self) { try decode(manifest) }
    }

    @Test("forged bodies are refused or read, and never trap; flipped bits are seen")
    func hostile() throws {
        let good = body
        var generator = SeededGenerator(41)
        for _ in 0..<20_000 {
            var bytes = good
            if generator.next() % 5 == 0 { bytes.removeLast(Int(generator.next() % 300)) }
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                bytes[Int(generator.next() % UInt64(bytes.count))] =
                    [0, 0xFF, UInt8(generator.next() % 256)][Int(generator.next() % 3)]
            }
            let file = file(bytes)
            if let found = try? Manifest.decodeFile(file.rawSpan, generation: 9) {
                #expect(try decode(found.manifest) == found.manifest)
            }
        }
        var file = Self.manifest.encodedFile().bytes
        for bit in 0..<(64 + good.count) * 8 {
            file[bit / 8] ^= 1 << (bit % 8)
            let found = try Manifest.decodeFile(file.rawSpan, generation: 9)
            if found.manifest != Self.manifest || !found.hasDamagedCopy {
                Issue.record("bit \(bit)")
            }
            file[bit / 8] ^= 1 << (bit % 8)
        }
    }

    @Test("the header of an archive is read; a role that nobody knows is unsupported")
    func header() throws {
        var header = TinyLog.header
        header.role = .archive
        let bytes = header.encoded().bytes
        #expect(try SegmentHeader.decode(bytes.rawSpan).header == header)
        header.role = SegmentRole(rawValue: 3)
        let newer = header.encoded().bytes
        #expect(throws: FormatError.unsupported("segment role", found: 3)) {
            try SegmentHeader.decode(newer.rawSpan)
        }
    }
}
