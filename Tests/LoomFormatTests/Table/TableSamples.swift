import LoomFormat
import LoomTesting
import Testing

/// Rows and tables for the tests of an archive's index.
enum TableSamples {
    /// Every leaf of some rows.
    static func leaves<Row: TableRow>(_ rows: [Row]) throws(FormatError) -> [FilledLeaf] {
        var writer = TableLeafWriter<Row>()
        var leaves: [FilledLeaf] = []
        for row in rows {
            if let leaf = try writer.append(row) { leaves.append(leaf) }
        }
        if let leaf = writer.finish() { leaves.append(leaf) }
        return leaves
    }

    /// A number of any size, small ones and the extremes more often.
    static func number(_ generator: inout SeededGenerator) -> UInt64 {
        switch generator.next() % 8 {
        case 0: 0
        case 1: .max
        case 2, 3: generator.next() % 256
        default: generator.next() >> (generator.next() % 64)
        }
    }

    static func counts(_ generator: inout SeededGenerator) -> RowCountVector {
        RowCountVector(
            steps: number(&generator), attempts: number(&generator),
            remarkableAttempts: number(&generator), toolCalls: number(&generator))
    }

    /// Runs with wild values, in order, their names of all lengths and often alike.
    static func runs(_ count: Int, _ generator: inout SeededGenerator) throws -> [RunTableRow] {
        var names: Set<RunID> = []
        while names.count < count {
            let stem = ["", "run-", "é", "tenant/a/", String(repeating: "x", count: 300)]
            let length = generator.next() % 12 == 0 ? 200 : Int(1 + generator.next() % 9)
            let own = (0..<length).map { _ in ["0", "1", "é", "~"][Int(generator.next() % 4)] }
            let name = stem[Int(generator.next() % 5)] + own.joined()
            if let name = try? RunID(name) { names.insert(name) }
        }
        return names.sorted().map { name in
            RunTableRow(
                name: name, status: UInt8(generator.next() % 16),
                category: UInt8(generator.next() % 16),
                loop: UInt32(truncatingIfNeeded: number(&generator)),
                labels: (0..<generator.next() % 4).map { _ in
                    RunTableRow.Label(
                        name: UInt32(truncatingIfNeeded: number(&generator)),
                        value: UInt32(truncatingIfNeeded: number(&generator)))
                },
                created: number(&generator), updated: number(&generator),
                firstPosition: number(&generator), endPosition: number(&generator),
                firstBlock: UInt32(number(&generator) % (1 << 31)),
                blocksMore: UInt32(generator.next() % 100),
                flags: RunTableFlags(rawValue: UInt8(generator.next() % 8)),
                countsBefore: counts(&generator),
                summary: (0..<generator.next() % 60).map { _ in UInt8(generator.next() % 256) })
        }
    }

    static func blocks(_ count: Int, _ generator: inout SeededGenerator) -> [BlockTableRow] {
        (0..<count).map { _ in
            BlockTableRow(
                byteCount: 8 * Int(9 + generator.next() % 5000),
                isOfAnotherRun: generator.next() % 3 == 0,
                eventCount: UInt32(truncatingIfNeeded: number(&generator)),
                endPosition: number(&generator), counts: counts(&generator),
                eventsSinceWholeState: number(&generator))
        }
    }

    /// Calls in order, some keys many times.
    static func keys(_ count: Int, _ generator: inout SeededGenerator) -> [KeyTableRow] {
        var rows: Set<KeyTableRow> = []
        while rows.count < count {
            let start = generator.next() >> (1 + generator.next() % 63)
            rows.insert(
                KeyTableRow(
                    runRow: UInt32(generator.next() % UInt64(count / 8 + 1)),
                    fingerprint: KeyFingerprint(
                        rawValue: UInt32(truncatingIfNeeded: number(&generator) << 24)),
                    start: start, end: generator.next() % 3 == 0 ? nil : start + 1 + start % 9))
        }
        var last: KeyTableRow?
        return rows.sorted {
            ($0.runRow, $0.fingerprint, $0.start) < ($1.runRow, $1.fingerprint, $1.start)
        }.filter { row in
            defer { last = row }
            return last.map {
                ($0.runRow, $0.fingerprint, $0.start) != (row.runRow, row.fingerprint, row.start)
            } ?? true
        }
    }

    /// Runs as a store has them: few loops and labels, times that rise, opaque rests of 17 bytes.
    static func plainRuns(_ count: Int, name: (Int) -> String) throws -> [RunTableRow] {
        var generator = SeededGenerator(5)
        let names = try (0..<count).map { try RunID(name($0)) }.sorted()
        return names.enumerated().map { index, name in
            let created = 1_760_000_000_000_000 + generator.next() % 86_400_000_000
            let steps = 3 + generator.next() % 18
            return RunTableRow(
                name: name, status: generator.next() % 50 == 0 ? 4 : 3, loop: 0,
                labels: [RunTableRow.Label(name: 1, value: 2 + UInt32(generator.next() % 5))],
                created: created, updated: created + steps * 2_000_000 + generator.next() % 99_999,
                endPosition: steps * 4, firstBlock: UInt32(index / 7),
                blocksMore: index % 7 / 6 == 1 ? 1 : 0,
                summary: [1, 1, 0, 3, 0, 0, 1, 0, 9, UInt8(steps), UInt8(steps), UInt8(steps * 2)]
                    + (0..<5).map { _ in UInt8(generator.next() % 256) })
        }
    }

    /// A file's blocks of an index behind `offset`, and the directory that finds them.
    static func place(
        _ leaves: [FilledLeaf], at offset: Int = 4096, compress: Bool = true,
        in directory: inout TableDirectory
    ) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for (index, leaf) in leaves.enumerated() {
            let start = bytes.count
            TinyLog.append(
                .init(
                    kind: .table, firstSequence: 9, eventCount: 0, durableUpTo: 0, previousHash: 0),
                leaf.payload, compress: compress && leaf.section != .filter, to: &bytes)
            try directory.append(
                leaf, at: offset + start, byteCount: bytes.count - start,
                firstBlockOffset: leaf.section == .blocks ? 128 + 800 * index : nil)
        }
        return bytes
    }

    /// The decoded payload of a block that ``place(_:at:compress:in:)`` wrote.
    static func payload(
        _ leaf: TableDirectory.Leaf, in bytes: [UInt8], at offset: Int = 4096, hotOnly: Bool = false
    ) throws -> [UInt8] {
        let start = leaf.offset - offset
        let block = bytes.rawSpan.extracting(start..<start + leaf.byteCount)
        let seed = BlockHeader.seed(salt: TinyLog.header.salt, offset: start)
        let header = try BlockHeader(decoding: block, seed: seed)
        #expect(header.kind == .table && header.totalLength == leaf.byteCount)
        var payload: [UInt8] = []
        let stored = block.extracting(droppingFirst: BlockHeader.byteCount)
        if hotOnly {
            try header.decodeHotPart(stored, into: &payload)
        } else {
            try header.decodePayload(stored, into: &payload)
        }
        return payload
    }
}
