import Foundation
import LoomFormat
import Testing

/// FORMAT.md says what the code does: its tables, its constants and its worked example are checked.
@Suite struct FormatDocumentTests {
    let text: String
    let lines: [String]

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        text = try String(contentsOf: root.appending(path: "FORMAT.md"), encoding: .utf8)
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    private struct Field {
        let offset: Int
        let size: Int
        let name: String
    }

    /// The `Offset | Size | Field` tables of a section, in order.
    private func tables(of section: String) throws -> [[Field]] {
        let start = try #require(lines.firstIndex { $0.hasPrefix("## \(section)") })
        let end = lines[(start + 1)...].firstIndex { $0.hasPrefix("## ") } ?? lines.count
        var tables: [[Field]] = []
        for line in lines[start..<end] {
            let cells = line.split(separator: "|").map {
                $0.trimmingCharacters(in: .whitespaces)
            }
            if cells.first == "Offset" { tables.append([]) }
            guard cells.count >= 3, let offset = Int(cells[0]),
                let size = Int(cells[1].prefix { $0.isNumber }), !tables.isEmpty
            else { continue }
            tables[tables.count - 1].append(Field(offset: offset, size: size, name: cells[2]))
        }
        return tables
    }

    private func check(_ fields: [Field], end: Int, isDense: Bool = true) {
        var next = 0
        for field in fields {
            if isDense { #expect(field.offset == next, "\(field.name)") }
            #expect(field.offset >= next, "\(field.name)")
            next = field.offset + field.size
        }
        #expect(next == end)
    }

    private func value(_ name: String, _ fields: [Field], _ bytes: some Collection<UInt8>) -> UInt64
    {
        guard let field = fields.first(where: { $0.name == name }), field.size <= 8 else {
            Issue.record("there is no field \(name)")
            return 0
        }
        return bytes.dropFirst(field.offset).prefix(field.size).reversed()
            .reduce(0) { $0 << 8 | UInt64($1) }
    }

    @Test("the tables have no gap and end where the structures do")
    func tablesAreDense() throws {
        check(try tables(of: "4.")[0], end: SegmentHeader.byteCount)
        check(try tables(of: "5.")[0], end: BlockHeader.byteCount)
        let manifest = try tables(of: "7.")
        check(manifest[0], end: 80 + ManifestSegment.byteCount)
        check(manifest[1], end: ManifestSegment.byteCount)
        check(manifest[2], end: SupersededSegment.byteCount)
        check(manifest[3], end: ManifestCopy.byteCount)
        check(try tables(of: "18.")[0], end: ArchiveSeal.byteCount)
        check(try tables(of: "8.")[0], end: Mark.durableOffset + 8, isDense: false)
    }

    @Test("each field of a segment header stands where the table says")
    func segmentHeader() throws {
        let fields = try tables(of: "4.")[0]
        var header = TinyLog.header
        header.segmentID = 101
        header.writerID = 102
        header.writerEpoch = 103
        header.firstSequence = 104
        header.predecessor = .init(segmentID: 105, byteLength: 106, lastHash: 107)
        let (bytes, hash) = header.encoded()
        let expected: [(String, UInt64)] = [
            ("magic", SegmentHeader.magic), ("major version", 0), ("minor version", 2),
            ("role", 1), ("alignment", 3), ("segment id", 101), ("writer id", 102),
            ("writer epoch", 103), ("first sequence", 104), ("salt", header.salt),
            ("predecessor id", 105), ("predecessor length", 106), ("predecessor hash", 107),
            ("created", header.created), ("dictionary", 0), ("header hash", hash),
        ]
        for (name, number) in expected { #expect(value(name, fields, bytes) == number, "\(name)") }
        #expect(text.contains("`\(spaced(bytes.prefix(8)))`"))
    }

    @Test("each field of a block header stands where the table says")
    func blockHeader() throws {
        let fields = try tables(of: "5.")[0]
        let content = Array(String(repeating: "block ", count: 99).utf8)
        var bytes: [UInt8] = []
        let hash = TinyLog.append(
            .init(
                kind: .events, flags: [.barrier, .firstAfterOpen], firstSequence: 21,
                eventCount: 22, durableUpTo: 23, previousHash: 24), content, compress: true,
            to: &bytes)
        let header = try BlockHeader(
            decoding: bytes.rawSpan, seed: BlockHeader.seed(salt: TinyLog.header.salt, offset: 0))
        let expected: [(String, UInt64)] = [
            ("magic", UInt64(BlockHeader.magic)), ("kind", 1), ("codec", 1), ("flags", 6),
            ("stored length", UInt64(header.storedLength)), ("raw length", UInt64(content.count)),
            ("first sequence", 21), ("event count", 22), ("raw check", UInt64(header.rawCheck)),
            ("durable up to", 23), ("aux", 0), ("previous hash", 24),
            ("payload hash", header.payloadHash), ("header hash", hash),
        ]
        for (name, number) in expected { #expect(value(name, fields, bytes) == number, "\(name)") }
        #expect(text.contains("`\(spaced(bytes.prefix(4)))` (\"BLK1\")"))
    }

    @Test("each field of a manifest and of MARK stands where the tables say")
    func manifestAndMark() throws {
        let (file, _) = TinyLog.manifest.encodedFile()
        let body = file.dropFirst(64)
        let tables = try tables(of: "7.")
        let expected: [(String, UInt64)] = [
            ("major version", 0), ("minor version", 2), ("generation", 7), ("writer id", 1),
            ("writer epoch", 3), ("next segment id", 9), ("previous hash", 0xABCD),
            ("segment count", 3),
        ]
        for (name, number) in expected {
            #expect(value(name, tables[0], body) == number, "\(name)")
        }
        let second = body.dropFirst(80 + ManifestSegment.byteCount)
        let segment: [(String, UInt64)] = [
            ("segment id", 6), ("role", 1), ("state", 3), ("first sequence", 100),
            ("end sequence", 120), ("valid end", 4096), ("last hash", 13), ("salt", 14),
            ("discarded bytes", 15), ("discarded hash", 16),
        ]
        for (name, number) in segment {
            #expect(value(name, tables[1], second) == number, "\(name)")
        }
        let fields = try self.tables(of: "8.")[0]
        let mark = TinyLog.mark.encoded()
        for (name, number): (String, UInt64) in [
            ("magic", Mark.magic), ("device", 3), ("inode", 4), ("writer epoch", 5),
        ] { #expect(value(name, fields, mark) == number, "\(name)") }
        let offsets = [("published", Mark.publishedOffset), ("durable", Mark.durableOffset)]
        for (name, offset) in offsets {
            #expect(fields.first { $0.name == name }?.offset == offset)
        }
    }

    @Test("each field of an archive stands where the tables say")
    func archive() throws {
        let file = ArchiveManifestTests.manifest.encodedFile().bytes
        let archive = file.dropFirst(64 + 80)
        let superseded = archive.dropFirst(3 * ManifestSegment.byteCount + 8)
        let seal = TableTests.seal
        let tables = try tables(of: "7.").prefix(3) + self.tables(of: "18.")
        let expected: [(Int, ArraySlice<UInt8>, [(String, UInt64)])] = [
            (
                1, archive,
                [("segment id", 11), ("role", 2), ("state", 2), ("tier", 2), ("event count", 90)]
            ),
            (2, superseded, [("segment id", 3), ("generation", 9), ("role", 2)]),
            (
                3, seal.encoded()[...],
                [
                    ("events", seal.eventCount), ("blocks", seal.blockCount),
                    ("runs", seal.runCount), ("first sequence", seal.firstSequence),
                    ("end sequence", seal.endSequence), ("least time", seal.leastTime),
                    ("greatest time", seal.greatestTime), ("directory", seal.directoryOffset),
                ]
            ),
        ]
        for (table, bytes, fields) in expected {
            for (name, number) in fields {
                #expect(value(name, tables[table], bytes) == number, "\(name)")
            }
        }
    }

    @Test("the constants in the text are the code's")
    func constants() {
        for constant in [
            "| block, stored or raw | \(FormatLimits.blockBytesMax) |",
            "| unit | \(FormatLimits.unitBytesMax) |",
            "| segment file | \(FormatLimits.segmentBytesMax) |",
            "| run id | \(FormatLimits.runIDBytesMax) |",
            "| segments in a manifest | \(FormatLimits.manifestSegmentCountMax) |",
            "| superseded files in a manifest | \(FormatLimits.manifestSupersededCountMax) |",
            "| rows of a leaf, unless it has one row | \(FormatLimits.leafBytesMax) |",
            "| one row of a table; a text in one | \(FormatLimits.tableRowBytesMax) |",
            "| payload of a table block, decoded | \(FormatLimits.tablePayloadBytesMax) |",
            "0x2d06800538d394c2", "x * 0x9E3779B97F4A7C15", "Version 0.2.",
        ] { #expect(text.contains(constant), "\(constant)") }
        #expect(BlockHash.hash([UInt8]().rawSpan) == 0x2d06_8005_38d3_94c2)
        let mixed: UInt64 = 5 ^ 0x9E37_79B9_7F4A_7C15
        #expect(BlockHeader.seed(salt: 5, offset: 1) == mixed)
    }

    @Test("the worked example is what the code writes, and reads back")
    func example() throws {
        let bytes = try TinyLog.bytes()
        let expected = Self.dump(bytes)
        let start = try #require(lines.firstIndex { $0.hasPrefix("## 15.") })
        let found = lines[start...].drop { !$0.hasPrefix("00000000") }
            .prefix { !$0.hasPrefix("```") }
            .map { $0.split(separator: "|").first.map { $0.trimmingCharacters(in: .whitespaces) } }
        #expect(found == expected, "\n\(expected.joined(separator: "\n"))")
    }

    /// The rows and payload that the example of packed rows stands for.
    @Test("the worked example of packed rows is what the code packs")
    func packedExample() throws {
        let start = try #require(lines.firstIndex { $0.hasPrefix("### 6.1") })
        let found = lines[start...].drop { !$0.hasPrefix("```text") }.dropFirst()
            .prefix { !$0.hasPrefix("```") }
            .map { $0.prefix { $0 != "|" }.trimmingCharacters(in: .whitespaces) }
        let payload = PackedRowsTests.examplePayload
        var packing = RowPacking()
        let isPacked = packing.pack(payload.rawSpan)
        #expect(isPacked)
        let bytes = [UInt8](copying: packing.packed)
        #expect(found.joined(separator: " ") == bytes.map { hex([$0]) }.joined(separator: " "))
    }

    @Test("the table of leading numbers is the code's")
    func leadingNumbers() throws {
        let start = try #require(lines.firstIndex { $0.hasPrefix("| Kind | Numbers |") })
        let names: [(String, EventHead.Numbers)] = [
            ("step", .step), ("attempt", .attempt), ("position", .position),
        ]
        var table = [EventHead.Numbers](repeating: [], count: 256)
        for line in lines[(start + 2)...].prefix(while: { $0.hasPrefix("|") }) {
            let cells = line.split(separator: "|")
            for kind in cells[0].split(separator: ",") {
                guard let kind = Int(kind.trimmingCharacters(in: .whitespaces)) else { continue }
                for (name, number) in names where cells[1].contains(name) {
                    table[kind].insert(number)
                }
            }
        }
        for kind in UInt8.min...UInt8.max {
            #expect(table[Int(kind)] == EventHead.numbers(ofKind: kind), "kind \(kind)")
        }
    }

    private func spaced(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { hex([$0]).uppercased() }.joined(separator: " ")
    }

    /// As `hexdump -C` does: sixteen bytes a line, rows like the one before as a star.
    static func dump(_ bytes: [UInt8]) -> [String] {
        var lines: [String] = []
        var previous: ArraySlice<UInt8> = []
        for offset in stride(from: 0, to: bytes.count, by: 16) {
            let row = bytes[offset..<min(offset + 16, bytes.count)]
            if row.elementsEqual(previous) {
                if lines.last != "*" { lines.append("*") }
                continue
            }
            previous = row
            let place = String(offset, radix: 16)
            let zeros = String(repeating: "0", count: 8 - place.count)
            lines.append(zeros + place + "  " + row.map { hex([$0]) }.joined(separator: " "))
        }
        return lines
    }
}
