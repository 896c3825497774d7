import LoomFormat
import LoomTesting
import Testing

/// Tables are derived, so a damaged one costs no event; but no bytes may trap, or take memory
/// beyond their bounds, also where every hash is right.
@Suite struct TableDamageTests {
    /// Reads whatever a payload may be taken for.
    private func readEverything(_ payload: [UInt8]) {
        _ = try? TableDirectory(decoding: payload.rawSpan)
        _ = try? ArchiveSeal(decoding: payload.rawSpan)
        guard let leaf = try? TableLeaf(payload.rawSpan) else { return }
        _ = try? leaf.rows(of: RunTableRow.self)
        _ = try? leaf.rows(of: BlockTableRow.self)
        _ = try? leaf.rows(of: KeyTableRow.self)
        _ = try? leaf.rows(of: TextTableRow.self)
        for block in [-1, 0, 63, 64, Int.max] {
            _ = try? NameFilter.mayContain(.max, block: block, in: leaf)
        }
        guard var cursor = try? RunTableCursor(leaf) else { return }
        while (try? cursor.next()) == true { if cursor.count % 3 == 0 { _ = try? cursor.row() } }
    }

    private func samples() throws -> [[UInt8]] {
        var generator = SeededGenerator(11)
        let runs = try TableSamples.leaves(TableSamples.runs(20, &generator))
        let blocks = try TableSamples.leaves(TableSamples.blocks(20, &generator))
        let keys = try TableSamples.leaves(TableSamples.keys(60, &generator))
        var directory = TableDirectory(summaryVersion: 1)
        for leaves in [runs, blocks, keys] {
            _ = try TableSamples.place(leaves, in: &directory)
        }
        var filter = NameFilterWriter(runCount: 100)
        filter.add(77)
        return [
            runs[0].payload, blocks[0].payload, keys[0].payload, filter.leaf(at: 0).payload,
            try TableSamples.leaves([TextTableRow("demo"), TextTableRow("label")])[0].payload,
            try directory.encoded(), TableTests.seal.encoded(),
        ]
    }

    @Test("forged payloads are refused or read, and never trap")
    func forged() throws {
        let samples = try samples()
        var generator = SeededGenerator(12)
        for round in 0..<30_000 {
            var bytes = samples[round % samples.count]
            if round % 7 == 0 { bytes = Array(bytes.prefix(Int(generator.next() % 300))) }
            for _ in 0..<Int.random(in: 1...5, using: &generator) where !bytes.isEmpty {
                let place = Int(generator.next() % UInt64(min(bytes.count, 600)))
                switch generator.next() % 4 {
                case 0: bytes[place] = 0xFF
                case 1: bytes.insert(UInt8(generator.next() % 256), at: place)
                case 2: bytes.remove(at: place)
                default: bytes[place] = UInt8(generator.next() % 256)
                }
            }
            readEverything(bytes)
        }
        for count in 0..<3000 {
            readEverything((0..<count % 90).map { _ in UInt8(generator.next() % 256) })
        }
    }

    @Test("a leaf that does not keep to the rules is refused")
    func rules() throws {
        func refuses<Row: TableRow>(_ payload: [UInt8], _ type: Row.Type, _ what: String) {
            #expect(throws: FormatError.self, "\(what)") {
                try TableLeaf(payload.rawSpan).rows(of: type)
            }
        }
        let head: [UInt8] = [0x03, 0, 0, 0, 0]
        let cold: [UInt8] = [0, 1, 0, 0, 0]
        func run(_ hot: [UInt8], _ cold: [UInt8]) -> [UInt8] { [1, UInt8(hot.count)] + hot + cold }
        #expect(throws: Never.self) {
            try TableLeaf(run([0, 1, 65] + head, cold).rawSpan).rows(of: RunTableRow.self)
        }
        refuses([], RunTableRow.self, "nothing")
        refuses([1, 0], RunTableRow.self, "no row")
        refuses([1, 200, 1], RunTableRow.self, "a hot part that goes on past the payload")
        refuses(
            [2] + run([0, 1, 65] + head, cold).dropFirst(), RunTableRow.self, "another section")
        refuses(run([0, 0] + head, cold), RunTableRow.self, "no name")
        refuses(run([1, 1, 65] + head, cold), RunTableRow.self, "shares with nothing")
        refuses(run([0, 1, 10] + head, cold), RunTableRow.self, "a control character")
        refuses(run([0, 1, 0xC3] + head, cold), RunTableRow.self, "a name that is not UTF-8")
        refuses(
            run([0, 1, 65, 3, 0, 0, 0, 9], cold), RunTableRow.self, "labels that are not there")
        refuses(run([0, 1, 65] + head, cold + [0]), RunTableRow.self, "bytes behind the rows")
        refuses(run([0, 1, 65] + head, cold.dropLast()), RunTableRow.self, "a cold part cut off")
        refuses(run([0, 1, 65] + head, [16] + cold.dropFirst()), RunTableRow.self, "flag 16")
        refuses(
            run([0, 1, 65] + head, [0, 1, 1] + cold.dropFirst(3)), RunTableRow.self, "block -1")
        let two: [UInt8] = [0, 2, 65, 66] + head
        let nexts: [(String, [UInt8])] = [
            ("below", [1, 1, 65]), ("equal", [2, 0]), ("shares less than it could", [1, 1, 66]),
        ]
        for (name, next) in nexts {
            refuses(run(two + next + head, cold + cold), RunTableRow.self, name)
        }
        refuses([2, 8, 18, 1, 1, 0, 0, 0, 0, 0, 5], BlockTableRow.self, "a cold part")
        refuses([2, 8, 16, 1, 1, 0, 0, 0, 0, 0], BlockTableRow.self, "a block without a payload")
        refuses([3, 14, 1, 9, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0], KeyTableRow.self, "keys fall")
        refuses([5, 2, 1, 0xFF], TextTableRow.self, "a text that is not UTF-8")
        refuses(
            [5] + [0x89, 0x80, 0x04] + [UInt8](repeating: 0, count: 70_000), TextTableRow.self,
            "size")
    }

    @Test("every flipped bit of a table, directory or seal block is seen by its hashes")
    func flips() throws {
        for (index, payload) in try samples().enumerated() {
            let kind: BlockKind = [5: .directory, 6: .seal][index] ?? .table
            var good: [UInt8] = []
            TinyLog.append(
                .init(kind: kind, firstSequence: 9, eventCount: 0, durableUpTo: 0, previousHash: 1),
                payload, compress: true, to: &good)
            let seed = BlockHeader.seed(salt: TinyLog.header.salt, offset: 0)
            func verifies(_ bytes: [UInt8]) -> Bool {
                guard let header = try? BlockHeader(decoding: bytes.rawSpan, seed: seed),
                    header.totalLength == bytes.count
                else { return false }
                let stored = bytes.rawSpan.extracting(droppingFirst: BlockHeader.byteCount)
                return BlockHash.hash(stored, seed: seed) == header.payloadHash
            }
            #expect(verifies(good))
            for bit in 0..<good.count * 8 {
                good[bit / 8] ^= 1 << (bit % 8)
                if verifies(good) { Issue.record("bit \(bit) of sample \(index)") }
                good[bit / 8] ^= 1 << (bit % 8)
            }
        }
    }

    @Test("a compressed leaf whose start is damaged gives no more than it holds")
    func hotPartDamage() throws {
        var generator = SeededGenerator(13)
        let rows = try TableSamples.plainRuns(90) { "run-\($0)" }
        let payload = try TableSamples.leaves(rows)[0].payload
        var block: [UInt8] = []
        TinyLog.append(
            .init(kind: .table, firstSequence: 9, eventCount: 0, durableUpTo: 0, previousHash: 1),
            payload, compress: true, to: &block)
        let seed = BlockHeader.seed(salt: TinyLog.header.salt, offset: 0)
        let header = try BlockHeader(decoding: block.rawSpan, seed: seed)
        #expect(header.codec == .lz4)
        let stored = Array(block.dropFirst(BlockHeader.byteCount))
        for _ in 0..<5000 {
            var damaged = stored
            let place = Int(generator.next() % UInt64(header.storedLength))
            damaged[place] = UInt8(generator.next() % 256)
            var found: [UInt8] = [9]
            do {
                try header.decodeHotPart(damaged.rawSpan, into: &found)
                readEverything(Array(found.dropFirst()))
            } catch {
                #expect(found == [9])
            }
            #expect(found.count <= header.rawLength + 1)
        }
    }
}
