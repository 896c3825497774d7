import LoomFormat
import LoomTesting
import Testing

@Suite struct DamageTests {
    @Test("every flipped bit and every cut of a segment's blocks is seen")
    func segment() throws {
        let good = try TinyLog.bytes()
        let whole = walk(good)
        #expect(whole.blocks == 3)
        #expect(whole.end == good.count)
        var generator = SeededGenerator(1)
        for bit in 128 * 8..<good.count * 8 {
            // Of the filler's zeros a sample is enough.
            if bit > 300 * 8, bit < 4096 * 8, generator.next() % 50 != 0 { continue }
            var bytes = good
            bytes[bit / 8] ^= 1 << (bit % 8)
            if walk(bytes).blocks == 3 { Issue.record("bit \(bit)") }
        }
        for count in stride(from: 128, to: good.count, by: 7) {
            let cut = walk(Array(good.prefix(count)))
            #expect(cut.blocks < 3 && cut.end <= count, "cut at \(count)")
        }
    }

    /// How many blocks verify from the start, and where the last one ends.
    private func walk(_ bytes: [UInt8]) -> (blocks: Int, end: Int) {
        var parser = TinyLog.parser()
        var blocks = 0
        while parser.offset < bytes.count,
            case .block = parser.next(in: bytes.rawSpan.extracting(droppingFirst: parser.offset))
        { blocks += 1 }
        return (blocks, parser.offset)
    }

    @Test("a block does not verify at another place or in another segment")
    func misplaced() throws {
        let bytes = try TinyLog.bytes()
        let block = bytes.rawSpan.extracting(droppingFirst: 128)
        var here = TinyLog.parser()
        guard case .block = here.next(in: block) else { return #expect(Bool(false)) }
        var elsewhere = BlockParser(
            salt: TinyLog.header.salt, offset: 136, previousHash: TinyLog.header.encoded().hash,
            nextSequence: 1)
        guard case .bad(.header(.hashMismatch), _) = elsewhere.next(in: block) else {
            return #expect(Bool(false))
        }
        var foreign = BlockParser(
            salt: 5, offset: 128, previousHash: TinyLog.header.encoded().hash, nextSequence: 1)
        guard case .bad(.header(.hashMismatch), _) = foreign.next(in: block) else {
            return #expect(Bool(false))
        }
    }

    @Test("every flipped bit of a header, a mark or one copy of a manifest is refused or told")
    func headers() throws {
        let (header, _) = TinyLog.header.encoded()
        #expect(try SegmentHeader.decode(header.rawSpan).header == TinyLog.header)
        for bit in 0..<header.count * 8 {
            var bytes = header
            bytes[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: FormatError.self) { try SegmentHeader.decode(bytes.rawSpan) }
        }
        let mark = TinyLog.mark.encoded()
        #expect(try Mark(decoding: mark.rawSpan) == TinyLog.mark)
        for bit in 0..<mark.count * 8 {
            var bytes = mark
            bytes[bit / 8] ^= 1 << (bit % 8)
            #expect(throws: FormatError.self) { try Mark(decoding: bytes.rawSpan) }
        }
        let (file, hash) = TinyLog.manifest.encodedFile()
        let body = 64 + 80 + 3 * 80
        for bit in 0..<body * 8 {
            var bytes = file
            bytes[bit / 8] ^= 1 << (bit % 8)
            let found = try Manifest.decodeFile(bytes.rawSpan, generation: 7)
            if found.manifest != TinyLog.manifest || found.hash != hash || !found.hasDamagedCopy {
                Issue.record("bit \(bit)")
            }
            bytes[file.count / 2 + bit / 8] ^= 1 << (bit % 8)
            #expect(throws: FormatError.self) {
                try Manifest.decodeFile(bytes.rawSpan, generation: 7)
            }
        }
        #expect(throws: FormatError.self) {
            try Manifest.decodeFile(file.rawSpan, generation: 8)
        }
        for count in stride(from: 0, to: file.count, by: 97) {
            let cut = Array(file.prefix(count))
            let found = try? Manifest.decodeFile(cut.rawSpan, generation: 7)
            #expect(found == nil || found?.manifest == TinyLog.manifest)
        }
    }

    @Test("no bytes make a decoder trap")
    func garbage() throws {
        let good = try TinyLog.bytes()
        let (manifest, _) = TinyLog.manifest.encodedFile()
        var unit = RecordUnit(run: try RunID("demo"), epoch: 1, position: .max)
        unit.append([1, 2, 3])
        unit.append([])
        var payload = ByteWriter()
        unit.writePayload(number: .max, declares: true, to: &payload)
        var generator = SeededGenerator(2)
        for round in 0..<40_000 {
            var bytes = [good, manifest, payload.bytes, TinyLog.mark.encoded()][round % 4]
            if round % 5 == 0 { bytes = bytes.prefix(Int(generator.next() % 200)).map { $0 } }
            for _ in 0..<Int.random(in: 1...6, using: &generator) where !bytes.isEmpty {
                bytes[Int(generator.next() % UInt64(min(bytes.count, 400)))] =
                    UInt8(truncatingIfNeeded: generator.next())
            }
            decodeEverything(bytes)
        }
    }

    private func decodeEverything(_ bytes: [UInt8]) {
        _ = try? SegmentHeader.decode(bytes.rawSpan)
        _ = try? Manifest.decodeFile(bytes.rawSpan, generation: 7)
        _ = try? Mark(decoding: bytes.rawSpan)
        _ = try? SegmentSeal(decoding: bytes.rawSpan)
        _ = try? BlockHeader(decoding: bytes.rawSpan, seed: 1)
        _ = walk(bytes)
        do throws(FormatError) {
            var reader = RecordReader(bytes.rawSpan)
            while let record = try reader.next() {
                if case .declaration(_, let id) = record {
                    _ = try? RunID(String(decoding: [UInt8](copying: id), as: UTF8.self))
                }
            }
        } catch {}
    }
}
