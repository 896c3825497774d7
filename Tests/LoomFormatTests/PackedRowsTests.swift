import LoomFormat
import LoomTesting
import Testing

/// Codec 2, by itself: FORMAT.md, Packed rows.
@Suite struct PackedRowsTests {
    private func packed(_ payload: [UInt8]) -> [UInt8]? {
        var packing = RowPacking()
        return packing.pack(payload.rawSpan) ? [UInt8](copying: packing.packed) : nil
    }

    private func unpacked(_ packed: [UInt8], _ rawLength: Int) throws(FormatError) -> [UInt8] {
        var unpacking = RowUnpacking()
        var target: [UInt8] = []
        try unpacking.unpack(packed.rawSpan, rawLength: rawLength, into: &target)
        return target
    }

    private static let context: [UInt8] = [2, 4, 0, 1, 0, 1]

    /// The payload of the example in FORMAT.md: starts and commits from step 4 on, at one time,
    /// with two bytes behind the numbers of each commit.
    static let examplePayload = payload([
        [2, 9, 4, 0], [7, 9, 4, 0, 1, 0xAA], [2, 9, 5, 0], [7, 9, 5, 0, 1, 0xBB], [2, 9, 6, 0],
        [7, 9, 6, 0, 1, 0xCC], [2, 10, 7, 0],
    ])

    /// A payload of events behind a context: run 0, epoch 1, position 0, sequence 1.
    private static func payload(_ events: [[UInt8]]) -> [UInt8] {
        var writer = ByteWriter()
        writer.writeBytes(context)
        for event in events {
            writer.writeUInt8(RecordTag.event.rawValue)
            writer.writeSized(event)
        }
        return writer.bytes
    }

    #if DEBUG
    private static let recordCount = 40_000
    #else
    private static let recordCount = 1_000_000
    #endif

    @Test("unpacking gives back the payload, byte for byte")
    func roundTrip() throws {
        var source = PackedPayloads(seed: 1)
        var (packing, unpacking) = (RowPacking(), RowUnpacking())
        var left = Self.recordCount
        var target: [UInt8] = []
        while left > 0 {
            let count = min(left, 1 + source.index(below: 1000))
            left -= count
            let payload = source.payload(count: count)
            let isPacked = packing.pack(payload.rawSpan)
            #expect(isPacked)
            target = [42]
            try unpacking.unpack(packing.packed, rawLength: payload.count, into: &target)
            if target != [42] + payload { Issue.record("with \(left) records left") }
        }
    }

    @Test("a step that follows the one before is one byte and what is new of it")
    func example() throws {
        // Two times: 9, and 1 later. The context. Step 4. Its commit, with two bytes of rest. Step
        // 5, one above for the first time. And on.
        let entries: [[UInt8]] = [
            [2, 18, 2], [0x00, 0, 1, 0, 2], [0x22, 8, 0], [0xC7, 2, 1, 0xAA], [0xA2, 2, 0],
            [0xE7, 1, 0xBB], [0xE2], [0xE7, 1, 0xCC], [0x62],
        ]
        let expected = entries.flatMap { $0 }
        let payload = Self.examplePayload
        #expect(packed(payload) == expected)
        #expect(try unpacked(expected, payload.count) == payload)
    }

    @Test("an event that does not begin with a head stands as it is")
    func asItIs() throws {
        let tooLarge: [UInt8] = [2] + [UInt8](repeating: 0xFF, count: 9) + [2, 1, 1]
        let bare: [[UInt8]] = [
            [], [0], [0, 1, 2], [7], [7, 0x80], [7, 0x80, 0], [7, 1, 0x80, 0, 0], [7, 1, 1],
            [2, 1, 0xFF], [5, 1], [6, 1, 1, 1], [9, 1], tooLarge, [19], [200, 0x81, 0x00],
        ]
        for event in bare {
            let bytes = try #require(packed(Self.payload([event])))
            let expected: [UInt8] = [0, 0, 0, 1, 0, 2, 31, UInt8(event.count)]
            #expect(bytes == expected + event)
            // It changes nothing for the events behind it.
            let among = Self.payload([[2, 9, 4, 0], event, [2, 9, 4, 0]])
            let all = try #require(packed(among))
            #expect(Array(all.suffix(3)) == [0xA2, 0, 0])
            #expect(try unpacked(all, among.count) == among)
        }
    }

    @Test("every kind from 1 to 255 has an entry of its own")
    func kinds() throws {
        for kind in UInt8(1)...255 {
            let event: [UInt8] = [kind, 1, 3, 3, 3, 3]
            let bytes = try #require(packed(Self.payload([event, event])))
            let entry = bytes[7]
            #expect(entry & 0x1F == min(kind, 30))
            if kind >= 30 { #expect(bytes[8] == kind) }
            let hasNumbers = !EventHead.numbers(ofKind: kind).isEmpty
            #expect((entry & 0x40 == 0) == hasNumbers, "kind \(kind)")
            #expect(try unpacked(bytes, 22) == Self.payload([event, event]))
        }
    }

    @Test("a context that only moves the sequence is a jump")
    func jumps() throws {
        let event: [UInt8] = [3, 2, 15, 1]
        // Run 3, epoch 2, position 8, sequence 100; then the sequences 500, 90 and 2^64 - 1.
        let last = [UInt8](repeating: 0xFF, count: 9) + [1]
        // And on behind the end of 64 bits; then another run.
        let records: [[UInt8]] = [
            [2, 4, 3, 2, 8, 100], event, [2, 5, 3, 2, 9, 0xF4, 0x03], event, [2, 4, 3, 2, 10, 90],
            event, [2, 13, 3, 2, 11], last, event, event, [2, 4, 4, 2, 12, 0], event,
        ]
        let bytes = records.flatMap { $0 }
        let entries: [[UInt8]] = [
            [1, 2], [0, 3, 2, 8, 0xC8, 0x01], [0x6F], [0x80, 0x9E, 0x06], [0xEF],
            [0x80, 0xB5, 0x06], [0xEF], [0x80, 0xB7, 0x01], [0xEF], [0xEF], [0, 4, 2, 12, 1],
            [0xEF],
        ]
        let expected = entries.flatMap { $0 }
        #expect(packed(bytes) == expected)
        #expect(try unpacked(expected, bytes.count) == bytes)
    }

    @Test("what packed rows cannot hold is not packed")
    func unpackable() {
        let event: [UInt8] = [3, 2, 15, 1]
        let payloads: [(String, [UInt8])] = [
            ("an event before a context", event),
            ("a context of a live block", [2, 3, 0, 1, 0] + event),
            ("a context with more", [2, 5, 0, 1, 0, 1, 9] + event),
            ("a number that is not the shortest", [2, 5, 0x80, 0, 1, 0, 1] + event),
            ("a length that is not the shortest", Self.context + [3, 0x82, 0, 15, 1]),
            ("an unknown tag", Self.context + event + [9, 0]),
            ("tag 0", Self.context + [0, 0]), ("no length", Self.context + [3]),
            ("an event that goes on past the payload", Self.context + [3, 3, 15, 1]),
        ]
        for (name, payload) in payloads { #expect(packed(payload) == nil, "\(name)") }
        #expect(packed([]) == [0])
    }
}
