import LoomFormat
import LoomTesting

/// Payloads of archives, regular and hostile, for the tests of packed rows.
struct PackedPayloads {
    private var generator: SeededGenerator
    private var time: UInt64 = 1_760_000_000_000_000
    private var step: UInt64 = 0

    init(seed: UInt64) { generator = SeededGenerator(seed) }

    /// Numbers at the borders of varints, of differences and of 64 bits.
    private static let borders: [UInt64] = [
        0, 1, 2, 63, 64, 127, 128, 16_383, 16_384, 1 << 31, 1 << 55, 1 << 56, 1 << 62, 1 << 63,
        .max - 1, .max,
    ]

    private mutating func number() -> UInt64 {
        switch generator.next() % 4 {
        case 0: Self.borders[Int(generator.next() % UInt64(Self.borders.count))]
        case 1: generator.next() >> (generator.next() % 64)
        default: generator.next() % 5
        }
    }

    /// A payload of `count` records: several runs, contexts, jumps, and events of all sorts.
    mutating func payload(count: Int) -> [UInt8] {
        var writer = ByteWriter(capacity: count * 24)
        writeContext(to: &writer)
        for _ in 0..<count {
            switch generator.next() % 100 {
            case 0:
                writer.writeUInt8(RecordTag.declaration.rawValue)
                writer.writeSized((0..<generator.next() % 40).map { UInt8(truncatingIfNeeded: $0) })
            case 1...3: writeContext(to: &writer)
            default:
                writer.writeUInt8(RecordTag.event.rawValue)
                writer.writeSized(event())
            }
        }
        return writer.bytes
    }

    private mutating func writeContext(to writer: inout ByteWriter) {
        var fields = ByteWriter()
        for _ in 0..<4 { fields.writeVarint(number()) }
        writer.writeUInt8(RecordTag.context.rawValue)
        writer.writeSized(fields.bytes)
    }

    /// An event of any kind: like its neighbours, wild, or with a head that is none.
    mutating func event() -> [UInt8] {
        let choice = generator.next() % 10
        var writer = ByteWriter(capacity: 32)
        if choice < 6 {
            // As a run writes them: a commit, a start, now and then something else.
            let kinds: [UInt8] = [7, 2, 7, 2, 7, 2, 4, 5, 6, 9, 3, 18]
            let kind = kinds[Int(generator.next() % UInt64(kinds.count))]
            if generator.next() % 3 == 0 { time &+= generator.next() % 2_000 }
            if kind == 2 { step += 1 }
            writer.writeUInt8(kind)
            writer.writeVarint(time)
            for _ in 0..<generator.next() % 4 { writer.writeVarint(step) }
            writer.writeBytes([UInt8](repeating: 7, count: Int(generator.next() % 24)))
            return writer.bytes
        }
        writer.writeUInt8(UInt8(truncatingIfNeeded: generator.next()))
        if choice < 8 { writer.writeVarint(number()) }
        for _ in 0..<generator.next() % 4 {
            writer.writeVarint(number())
            if generator.next() % 8 == 0, let last = writer.bytes.popLast() {
                // The last byte of a varint that is not the shortest.
                writer.writeBytes([last | 0x80, 0])
            }
        }
        if generator.next() % 50 == 0 { writer.writeBytes([UInt8](repeating: 1, count: 300)) }
        return Array(writer.bytes.prefix(choice == 9 ? Int(generator.next() % 4) : .max))
    }

    /// Some bytes of a packed block, changed.
    mutating func mutate(_ bytes: inout [UInt8]) {
        for _ in 0...generator.next() % 4 where !bytes.isEmpty {
            let index = Int(generator.next() % UInt64(bytes.count))
            switch generator.next() % 4 {
            case 0: bytes.remove(at: index)
            case 1: bytes.insert(UInt8(truncatingIfNeeded: generator.next()), at: index)
            default: bytes[index] = UInt8(truncatingIfNeeded: generator.next())
            }
        }
    }

    /// Bytes without any order, whose first ones tell of a short stream of times.
    mutating func noise() -> [UInt8] {
        var bytes = (0..<generator.next() % 64).map { _ in
            UInt8(truncatingIfNeeded: generator.next())
        }
        if !bytes.isEmpty { bytes[0] &= 7 }
        return bytes
    }

    mutating func index(below count: Int) -> Int { Int(generator.next() % UInt64(count)) }
}
