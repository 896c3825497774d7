import LoomFormat
import LoomTesting
import Testing

/// Packed rows that no writer wrote: FORMAT.md, Packed rows, says what is corrupt.
@Suite struct PackedDamageTests {
    /// Unpacks behind a byte that was there before; the bytes behind it, or the error.
    private func unpack(_ packed: [UInt8], _ rawLength: Int) -> Result<[UInt8], FormatError> {
        var unpacking = RowUnpacking()
        var target: [UInt8] = [42]
        do throws(FormatError) {
            try unpacking.unpack(packed.rawSpan, rawLength: rawLength, into: &target)
        } catch {
            #expect(target == [42])
            return .failure(error)
        }
        #expect(target.first == 42)
        return .success(Array(target.dropFirst()))
    }

    @Test("patterns without a meaning, and bytes that are missing, are refused")
    func patterns() {
        let context: [UInt8] = [0, 0, 1, 0, 2]
        let bad: [(String, [UInt8])] = [
            ("nothing", []), ("times beyond the end", [3, 1]), ("a long form", [0x80, 0]),
            ("kind 0, bit 5", [0, 0x20, 0, 0, 0, 0]), ("bits 6 and 7", [0, 0xC0, 0, 0, 0, 0]),
            ("bits 5 and 6", [0, 0x60, 0]), ("all bits", [0, 0xE0, 0]),
            ("a jump before a context", [0, 0x80, 0]), ("an event before it", [0, 0xE2, 1]),
            ("an event as it is before it", [0, 31, 0]), ("half a context", [0, 0, 1, 2, 3]),
            ("half a jump", [0] + context + [0x80]), ("no length", [0] + context + [0x40]),
            ("a declaration beyond the end", [0] + context + [0x40, 2, 0]),
            ("31 with bit 5", [0] + context + [0x3F, 0]),
            ("31 with bit 6", [0] + context + [0x5F, 0]),
            ("31 with bit 7", [0] + context + [0x9F, 0]),
            ("31 beyond the end", [0] + context + [31, 2, 7]),
            ("30 without a kind", [0] + context + [0xFE]),
            ("30 with a kind below", [0] + context + [0xFE, 29]),
            ("numbers of kind 15", [0] + context + [0xAF, 0]),
            ("no step", [0] + context + [0xA2]), ("no attempt", [0] + context + [0xA2, 1]),
            ("no position", [0] + context + [0xA5]), ("no rest length", [0] + context + [0xC2]),
            ("a rest beyond the end", [0] + context + [0xC2, 3, 1, 1]),
            ("the same beyond the end", [0] + context + [0xC2, 1, 9, 0xE2]),
            ("a huge length", [0] + context + [0xC2] + [UInt8](repeating: 0xFF, count: 9) + [1]),
            ("no time", [0] + context + [0x62]), ("a time left", [1, 0] + context + [0xE2]),
            ("half a time", [1, 0x80] + context + [0x62]),
        ]
        for (name, packed) in bad {
            guard case .failure(.invalid(let text)) = unpack(packed, 4096) else {
                Issue.record("\(name)")
                continue
            }
            #expect(!text.contains("shorter"), "\(name): \(text)")
        }
    }

    @Test("only the right raw length is accepted")
    func lengths() throws {
        var source = PackedPayloads(seed: 3)
        var packing = RowPacking()
        for _ in 0..<200 {
            let payload = source.payload(count: 1 + source.index(below: 20))
            guard packing.pack(payload.rawSpan) else { continue }
            let packed = [UInt8](copying: packing.packed)
            #expect(try unpack(packed, payload.count).get() == payload)
            for wrong in [0, 1, payload.count - 1, payload.count + 1, 4 << 20] {
                #expect(throws: FormatError.self) { try unpack(packed, wrong).get() }
            }
            for wrong in [-1, (4 << 20) + 1, .max, .min] {
                #expect(throws: FormatError.self) { try unpack(packed, wrong).get() }
            }
        }
    }

    #if DEBUG
    private static let roundCount = 6_000
    #else
    private static let roundCount = 400_000
    #endif

    @Test("no bytes make unpacking trap, or give more than the raw length")
    func garbage() throws {
        var source = PackedPayloads(seed: 4)
        var packing = RowPacking()
        var unpacking = RowUnpacking()
        var good: [(packed: [UInt8], count: Int)] = []
        for _ in 0..<50 {
            let payload = source.payload(count: 1 + source.index(below: 30))
            let isPacked = packing.pack(payload.rawSpan)
            #expect(isPacked)
            good.append(([UInt8](copying: packing.packed), payload.count))
        }
        var accepted = 0
        for round in 0..<Self.roundCount {
            var (bytes, count) = good[round % good.count]
            if round % 4 == 0 {
                (bytes, count) = (source.noise(), source.index(below: 200))
            } else {
                source.mutate(&bytes)
            }
            var target: [UInt8] = []
            do {
                try unpacking.unpack(bytes.rawSpan, rawLength: count, into: &target)
                if target.count != count { Issue.record("\(target.count) bytes for \(count)") }
                accepted += 1
                // What was accepted is a payload that the record reader can read.
                var reader = RecordReader(target.rawSpan, in: .archive)
                while try reader.next() != nil {}
            } catch {
                if !target.isEmpty, target.count != count { Issue.record("\(error)") }
            }
        }
        #expect(accepted > 0)
    }

    @Test("bytes that are not a payload are not packed, or come back")
    func packingGarbage() throws {
        var source = PackedPayloads(seed: 5)
        var packing = RowPacking()
        var packedCount = 0
        for _ in 0..<Self.roundCount / 4 {
            var payload = source.payload(count: 1 + source.index(below: 10))
            source.mutate(&payload)
            guard packing.pack(payload.rawSpan) else { continue }
            packedCount += 1
            let back = try unpack([UInt8](copying: packing.packed), payload.count).get()
            if back != payload { Issue.record("\(payload)") }
        }
        #expect(packedCount > 0)
    }
}
