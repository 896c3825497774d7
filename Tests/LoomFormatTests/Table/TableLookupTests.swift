import LoomFormat
import LoomTesting
import Testing

/// Lookups over whole tables, and how many bytes they take.
@Suite struct TableLookupTests {
    private func uuid(_ generator: inout SeededGenerator) -> String {
        let digits = (generator.next().paddedHex + generator.next().paddedHex)
        let cuts = [8, 12, 16, 20]
        return digits.enumerated().map { (cuts.contains($0) ? "-" : "") + String($1) }.joined()
    }

    /// The row of a name, as a reader finds it.
    private func find(
        _ name: [UInt8], _ directory: TableDirectory, _ bytes: [UInt8]
    ) throws -> RunTableRow? {
        guard let index = directory.leafIndex(ofRun: name) else { return nil }
        let place = directory.leaf(index, of: .runs)
        let payload = try TableSamples.payload(place, in: bytes)
        var cursor = try RunTableCursor(TableLeaf(payload.rawSpan))
        return try cursor.seek(name) ? try cursor.row() : nil
    }

    @Test("every run is found by its name, and no other name is")
    func runs() throws {
        var generator = SeededGenerator(31)
        let rows = try TableSamples.runs(1500, &generator)
        var directory = TableDirectory(summaryVersion: 1)
        let bytes = try TableSamples.place(TableSamples.leaves(rows), in: &directory)
        #expect(directory.leafCount(of: .runs) > 20)
        let names = Set(rows.map(\.name))
        for row in rows {
            let name = row.orderBytes
            #expect(try find(name, directory, bytes) == row)
            for other in [name + [0x21], Array(name.dropLast()), [0] + name, [255] + name] {
                let text = String(decoding: other, as: UTF8.self)
                let isThere = (try? RunID(text)).map(names.contains) ?? false
                if try !isThere && find(other, directory, bytes) != nil { Issue.record("\(other)") }
            }
        }
        #expect(try find([], directory, bytes) == nil)
        #expect(TableDirectory(summaryVersion: 1).leafIndex(ofRun: [65]) == nil)
    }

    @Test("every call of a key is found, also where one key fills several leaves")
    func keys() throws {
        var generator = SeededGenerator(32)
        var rows = TableSamples.keys(4000, &generator)
        let run = UInt32(1 << 20)
        let wide = KeyFingerprint(rawValue: 5)
        rows += (0..<2000).map {
            KeyTableRow(runRow: run, fingerprint: wide, start: $0 * 900, end: nil)
        }
        rows.append(KeyTableRow(runRow: run, fingerprint: .init(rawValue: 6), start: 3, end: 4))
        var directory = TableDirectory(summaryVersion: 1)
        let bytes = try TableSamples.place(TableSamples.leaves(rows), in: &directory)
        struct Key: Hashable {
            let run: UInt32
            let fingerprint: KeyFingerprint
        }
        let groups = Dictionary(grouping: rows) { Key(run: $0.runRow, fingerprint: $0.fingerprint) }
        #expect(directory.leafIndexes(ofKey: wide, runRow: run).count > 3)
        func found(_ key: Key) throws -> [KeyTableRow] {
            try directory.leafIndexes(ofKey: key.fingerprint, runRow: key.run).flatMap { index in
                let place = directory.leaf(index, of: .keys)
                let payload = try TableSamples.payload(place, in: bytes)
                return try TableLeaf(payload.rawSpan).rows(of: KeyTableRow.self).filter {
                    $0.runRow == key.run && $0.fingerprint == key.fingerprint
                }
            }
        }
        for (key, calls) in groups { #expect(try found(key) == calls) }
        #expect(try found(Key(run: run, fingerprint: .init(rawValue: 4))).isEmpty)
        #expect(try found(Key(run: .max, fingerprint: .init(rawValue: .max))).isEmpty)
    }

    @Test("about one name in a hundred that is not there passes the filter; all that are there do")
    func filter() throws {
        let count = 50_000
        func hash(_ name: String) -> UInt64 { NameFilter.hash(of: Array(name.utf8).rawSpan) }
        var writer = NameFilterWriter(runCount: count)
        for index in 0..<count { writer.add(hash("run-\(index)")) }
        let leaves = (0..<writer.leafCount).map { writer.leaf(at: $0) }
        let blockCount = leaves.map(\.rowCount).reduce(0, +)
        #expect(blockCount == NameFilter.blockCount(runCount: count))
        var directory = TableDirectory(summaryVersion: 1)
        _ = try TableSamples.place(leaves, in: &directory)
        #expect(directory.rowCount(of: .filter) == blockCount)
        func passes(_ name: String) throws -> Bool {
            let hash = hash(name)
            let block = NameFilter.blockIndex(of: hash, blockCount: blockCount)
            let payload = leaves[block / NameFilter.blocksPerLeaf].payload
            let leaf = try TableLeaf(payload.rawSpan)
            return try NameFilter.mayContain(
                hash, block: block % NameFilter.blocksPerLeaf, in: leaf)
        }
        for index in 0..<count where try !passes("run-\(index)") { Issue.record("run-\(index)") }
        let absent = 100_000
        let passed = try (0..<absent).filter { try passes("absent-\($0)") }.count
        #expect((700...1300).contains(passed), "\(passed) of \(absent)")
    }

    @Test("the bits of a name in the filter are these")
    func filterBits() throws {
        // Written out from FORMAT.md.
        let hash = NameFilter.hash(of: Array("demo".utf8).rawSpan)
        let mixed = hash &* 0x9E37_79B9_7F4A_7C15
        var expected = [UInt8](repeating: 0, count: 128)
        let block = Int(hash.multipliedFullWidth(by: 2).high)
        for group in 0..<6 {
            let bit = block * 512 + Int(mixed >> (9 * UInt64(group)) & 511)
            expected[bit / 8] |= 1 << (bit % 8)
        }
        var writer = NameFilterWriter(runCount: 60)
        writer.add(hash)
        #expect(writer.leaf(at: 0).payload == [4, 0x80, 0x01] + expected)
        #expect(NameFilter.blockCount(runCount: 0) == 1)
        #expect(NameFilter.blockCount(runCount: 51) == 1)
        #expect(NameFilter.blockCount(runCount: 52) == 2)
    }

    @Test("100,000 runs take so many bytes each")
    func sizes() throws {
        var generator = SeededGenerator(33)
        let uuids = (0..<100_000).map { _ in uuid(&generator) }
        let shapes: [(String, ClosedRange<Double>, (Int) -> String)] = [
            ("sequential", 22...37, { "run-" + String(1_000_000 + $0) }),
            ("UUID", 55...62, { uuids[$0] }),
        ]
        for (shape, range, name) in shapes {
            let rows = try TableSamples.plainRuns(100_000, name: name)
            var directory = TableDirectory(summaryVersion: 1)
            let bytes = try TableSamples.place(TableSamples.leaves(rows), in: &directory)
            let index = try directory.encoded()
            let each = Double(bytes.count) / Double(rows.count)
            #expect(range.contains(each), "\(shape): \(each)")
            #expect(Double(index.count) / Double(rows.count) < 0.2, "\(shape)")
            for row in stride(from: 0, to: rows.count, by: 997).map({ rows[$0] }) {
                #expect(try find(row.orderBytes, directory, bytes) == row)
            }
        }
    }
}
