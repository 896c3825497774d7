import LoomFormat
import LoomTesting
import Testing

@Suite struct TableLeafTests {
    private func rows<Row: TableRow>(_ leaf: FilledLeaf) throws -> [Row] {
        try TableLeaf(leaf.payload.rawSpan).rows()
    }

    private func checkRoundTrip<Row: TableRow>(_ rows: [Row]) throws {
        let leaves = try TableSamples.leaves(rows)
        #expect(try leaves.flatMap { try self.rows($0) as [Row] } == rows)
        #expect(leaves.map(\.rowCount).reduce(0, +) == rows.count)
        for leaf in leaves {
            #expect(leaf.section == Row.section)
            // A section, the length of the hot part in one to three bytes, and the rows.
            let isSmall = leaf.payload.count <= FormatLimits.leafBytesMax + 4
            #expect(leaf.rowCount == 1 || isSmall)
        }
    }

    @Test("rows of every section come back as they were, whatever their values")
    func roundTrips() throws {
        var generator = SeededGenerator(1)
        for count in [0, 1, 2, 40, 700] {
            try checkRoundTrip(TableSamples.runs(count, &generator))
            try checkRoundTrip(TableSamples.blocks(count, &generator))
            try checkRoundTrip(TableSamples.keys(count, &generator))
            let texts = (0..<count).map { index in
                TextTableRow(String(repeating: "é\(index)", count: Int(generator.next() % 200)))
            }
            try checkRoundTrip(texts)
        }
    }

    @Test("a leaf is full when the next row would bring it above its limit")
    func leafLimit() throws {
        let texts = (0..<10).map { _ in TextTableRow(String(repeating: "t", count: 1022)) }
        let leaves = try TableSamples.leaves(texts)
        #expect(leaves.map(\.rowCount) == [4, 4, 2])
        #expect(leaves[0].payload.count == 1 + 2 + 4096)
        #expect(leaves.allSatisfy { $0.separator.isEmpty })
        let longer = try TableSamples.leaves(
            texts + [TextTableRow(String(repeating: "t", count: 2049))])
        #expect(longer.map(\.rowCount) == [4, 4, 2, 1])
    }

    @Test("one row above the limit of a leaf stands alone; one above its own limit is refused")
    func largeRows() throws {
        func run(_ name: String, summary: Int) throws -> RunTableRow {
            RunTableRow(
                name: try RunID(name), status: 1, loop: 0, created: 5, updated: 6, endPosition: 1,
                firstBlock: 0, summary: [UInt8](repeating: 7, count: summary))
        }
        let rows = [
            try run("a", summary: 1), try run("b", summary: 65_000), try run("c", summary: 1),
            try run("d", summary: 5000), try run("e", summary: 4097), try run("f", summary: 9),
        ]
        #expect(try TableSamples.leaves(rows).map(\.rowCount) == [1, 1, 1, 1, 1, 1])
        try checkRoundTrip(rows)
        var writer = TableLeafWriter<RunTableRow>()
        _ = try writer.append(rows[0])
        let tooLarge = try run("b", summary: 65_536)
        #expect(throws: FormatError.self) { try writer.append(tooLarge) }
        // Nothing changed: the rows around it are written as if it had not been there.
        _ = try writer.append(rows[2])
        let last = writer.finish()
        #expect(try self.rows(#require(last)) == [rows[0], rows[2]])
        // A label's value may be as long as a text can be.
        try checkRoundTrip([TextTableRow("x"), TextTableRow(String(repeating: "v", count: 65_536))])
        #expect(throws: FormatError.self) {
            try TableSamples.leaves([TextTableRow(String(repeating: "v", count: 65_537))])
        }
    }

    @Test("rows out of order, and fields that have no room, are refused when they are written")
    func writerRefuses() throws {
        var generator = SeededGenerator(2)
        let runs = try TableSamples.runs(2, &generator)
        let keys = TableSamples.keys(2, &generator)
        #expect(throws: FormatError.self) { try TableSamples.leaves(runs.reversed()) }
        #expect(throws: FormatError.self) { try TableSamples.leaves([runs[0], runs[0]]) }
        #expect(throws: FormatError.self) { try TableSamples.leaves(keys.reversed()) }
        #expect(throws: FormatError.self) { try TableSamples.leaves([keys[0], keys[0]]) }
        var changes: [(inout RunTableRow) -> Void] = []
        changes.append { $0.status = 16 }
        changes.append { $0.category = 16 }
        changes.append { $0.flags = RunTableFlags(rawValue: 16) }
        changes.append { ($0.firstBlock, $0.blocksMore) = (.max, 1) }
        for change in changes {
            var row = runs[0]
            change(&row)
            #expect(throws: FormatError.self) { try TableSamples.leaves([row]) }
        }
        var call = keys[0]
        call.end = call.start
        #expect(throws: FormatError.self) { try TableSamples.leaves([call]) }
        var block = TableSamples.blocks(1, &generator)[0]
        // A unit of several blocks has one row; no unit fills a segment.
        for byteCount in [0, 64, 73, FormatLimits.segmentBytesMax] {
            block.byteCount = byteCount
            #expect(throws: FormatError.self) { try TableSamples.leaves([block]) }
        }
    }

    @Test("the order is that of the names' bytes, not that of Unicode")
    func byteOrder() throws {
        // U+E000 is below U+10000 in bytes, above it in UTF-16; `é` has two forms.
        let names = ["e\u{301}", "z", "\u{E9}", "\u{E000}", "\u{10000}"]
        let rows = try names.map { name in
            RunTableRow(
                name: try RunID(name), status: 1, loop: 0, created: 0, updated: 0, endPosition: 1,
                firstBlock: 0)
        }
        try checkRoundTrip(rows)
        #expect(throws: FormatError.self) { try TableSamples.leaves([rows[2], rows[1]]) }
    }

    @Test("the hot part is read without the cold part")
    func hotPart() throws {
        var generator = SeededGenerator(3)
        let rows = try TableSamples.runs(300, &generator)
        var index = 0
        for leaf in try TableSamples.leaves(rows) {
            let whole = try TableLeaf(leaf.payload.rawSpan)
            let start = leaf.payload.count - whole.cold.byteCount
            let hot = try TableLeaf(leaf.payload.rawSpan.extracting(first: start))
            var cursor = try RunTableCursor(hot)
            while try cursor.next() {
                let row = rows[index]
                let found = String(decoding: cursor.name, as: UTF8.self)
                #expect(try RunID(found) == row.name)
                #expect(cursor.status == row.status && cursor.category == row.category)
                #expect(cursor.created == row.created && cursor.updated == row.updated)
                #expect(cursor.loop == row.loop && cursor.labels == row.labels)
                index += 1
            }
            #expect(throws: FormatError.self) { try cursor.row() }
        }
        #expect(index == rows.count)
    }

    @Test("the bytes of a leaf are these")
    func golden() throws {
        let runs = [
            RunTableRow(
                name: try RunID("run-1"), status: 3, category: 0, loop: 0,
                labels: [RunTableRow.Label(name: 1, value: 2)], created: 1000, updated: 1300,
                firstPosition: 0, endPosition: 12, firstBlock: 4, summary: [0xAB]),
            RunTableRow(
                name: try RunID("run-22"), status: 4, category: 3, loop: 3, created: 990,
                updated: 990, firstPosition: 5, endPosition: 300, firstBlock: 4, blocksMore: 2,
                flags: [.blankingDue],
                countsBefore: RowCountVector(
                    steps: 1, attempts: 2, remarkableAttempts: 0, toolCalls: 130)),
        ]
        let blocks = [
            BlockTableRow(
                byteCount: 12_000, isOfAnotherRun: false, eventCount: 900, endPosition: 900,
                counts: RowCountVector(steps: 449, attempts: 450), eventsSinceWholeState: 30),
            BlockTableRow(
                byteCount: 72, isOfAnotherRun: false, eventCount: 1, endPosition: 901,
                counts: RowCountVector(steps: 450, attempts: 450), eventsSinceWholeState: 31),
            BlockTableRow(
                byteCount: 80, isOfAnotherRun: true, eventCount: 3, endPosition: 3,
                counts: RowCountVector(steps: 1, attempts: 1), eventsSinceWholeState: 0),
        ]
        let keys = [
            KeyTableRow(runRow: 7, fingerprint: .init(rawValue: 0x0102_0304), start: 40, end: 41),
            KeyTableRow(runRow: 7, fingerprint: .init(rawValue: 0x1102_0304), start: 9, end: nil),
            KeyTableRow(runRow: 9, fingerprint: .init(rawValue: 0), start: 2, end: 300),
        ]
        func bytes(_ rows: [some TableRow]) throws -> String {
            hex(try TableSamples.leaves(rows)[0].payload)
        }
        #expect(
            try bytes(runs)
                == "0119" + "000572756e2d31" + "03" + "00" + "d00f" + "d804" + "010102"
                + "0402" + "3232" + "34" + "03" + "13" + "00" + "00"
                + "000c080001ab" + "8205" + "0102008201" + "ac02000200")
        #expect(
            try bytes(blocks)
                == "021d" + "b8178407" + "8407c103c20300001e" + "1201" + "01010000001f"
                + "1503" + "030101000000")
        #expect(
            try bytes(keys)
                == "0316" + "070403020150" + "01" + "00040302113d00" + "020000000004aa02")
        #expect(
            try bytes([TextTableRow("demo"), TextTableRow(""), TextTableRow("é")])
                == "05090464656d6f0002c3a9")
    }

    @Test("the fingerprint of a key is bound to its kind")
    func fingerprints() {
        let key = Array("order-7".utf8)
        let hash = BlockHash.hash(([1] + key).rawSpan)
        #expect(KeyFingerprint(kind: 1, key: key).rawValue == UInt32(truncatingIfNeeded: hash))
        #expect(KeyFingerprint(kind: 3, key: key) != KeyFingerprint(kind: 1, key: key))
    }
}
