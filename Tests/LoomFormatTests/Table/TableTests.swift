import LoomFormat
import LoomTesting
import Testing

@Suite struct TableTests {
    static let seal = ArchiveSeal(
        eventCount: 900, blockCount: 3, runCount: 2, firstSequence: 1, endSequence: 1001,
        leastTime: 5, greatestTime: 1_760_000_000_000_000, directoryOffset: 8192)

    @Test("a directory comes back as it was")
    func directory() throws {
        var generator = SeededGenerator(21)
        var directory = TableDirectory(summaryVersion: 7)
        let empty = try directory.encoded()
        #expect(try TableDirectory(decoding: empty.rawSpan) == directory)
        let runs = try TableSamples.leaves(TableSamples.runs(600, &generator))
        let blocks = try TableSamples.leaves(TableSamples.blocks(600, &generator))
        let keys = try TableSamples.leaves(TableSamples.keys(600, &generator))
        var offset = 4096
        for leaves in [runs, blocks, keys] {
            offset += try TableSamples.place(leaves, at: offset, in: &directory).count
        }
        let bytes = try directory.encoded()
        let found = try TableDirectory(decoding: bytes.rawSpan)
        #expect(found == directory)
        #expect(found.rowCount(of: .runs) == 600)
        #expect(found.leafCount(of: .blocks) == blocks.count)
        #expect(found.leafCount(of: .texts) == 0)
        #expect(found.leaf(1, of: .blocks).firstBlockOffset == 928)
        for section in [TableSection.runs, .blocks, .keys] {
            for row in 0..<found.rowCount(of: section) {
                let index = try #require(found.leafIndex(ofRow: row, in: section))
                let leaf = found.leaf(index, of: section)
                #expect((leaf.firstRow..<leaf.firstRow + leaf.rowCount).contains(row))
            }
            #expect(found.leafIndex(ofRow: found.rowCount(of: section), in: section) == nil)
            #expect(found.leafIndex(ofRow: -1, in: section) == nil)
        }
        // A section of a later version is stepped over.
        var newer = bytes
        newer[4] += 1
        #expect(throws: FormatError.self) { try TableDirectory(decoding: newer.rawSpan) }
        newer += [6, 2, 9, 9]
        #expect(try TableDirectory(decoding: newer.rawSpan) == directory)
    }

    private func leaf(
        _ section: TableSection, _ rowCount: Int = 1, _ separator: [UInt8] = []
    ) -> FilledLeaf {
        FilledLeaf(section: section, payload: [], rowCount: rowCount, separator: separator)
    }

    @Test("leaves that leave a gap, and separators out of order, are refused")
    func directoryRefuses() throws {
        var directory = TableDirectory(summaryVersion: 1)
        try directory.append(leaf(.runs), at: 4096, byteCount: 72)
        try directory.append(leaf(.runs, 9, [65]), at: 4168, byteCount: 4096)
        try directory.append(leaf(.filter, 64), at: 9000, byteCount: 4168)
        try directory.append(leaf(.filter, 3), at: 13_168, byteCount: 264)
        let before = directory
        let long = [UInt8](repeating: 66, count: 513)
        let refused: [(leaf: FilledLeaf, offset: Int, byteCount: Int)] = [
            (leaf(.runs, 1, [66]), 8272, 72), (leaf(.runs), 8264, 72),
            (leaf(.runs, 1, [65]), 8264, 72), (leaf(.runs, 1, [64, 9]), 8264, 72),
            (leaf(.runs, 0, [66]), 8264, 72), (leaf(.runs, 1, [66]), 8264, 64),
            (leaf(.runs, 1, [66]), 8264, 71), (leaf(.runs, 1, [66]), 8264, 70_000),
            (leaf(.runs, 1, long), 8264, 72), (leaf(.filter), 13_432, 136),
            (leaf(.blocks), 1 << 14, 72), (leaf(.texts, 1, [1]), 1 << 14, 72),
            (leaf(.texts), 1 << 30, 72), (leaf(.texts), 64, 72),
        ]
        for (leaf, offset, byteCount) in refused {
            let isTaken: Bool
            do throws(FormatError) {
                try directory.append(leaf, at: offset, byteCount: byteCount)
                isTaken = true
            } catch {
                isTaken = false
            }
            #expect(!isTaken && directory == before, "\(leaf) at \(offset)")
        }
    }

    @Test("the bytes of a directory and of an archive's seal are these")
    func golden() throws {
        var directory = TableDirectory(summaryVersion: 0x0102_0304)
        try directory.append(leaf(.runs, 90), at: 4096, byteCount: 3200)
        try directory.append(leaf(.runs, 7, [0x72, 0x38]), at: 7296, byteCount: 800)
        try directory.append(leaf(.blocks, 300), at: 8096, byteCount: 80, firstBlockOffset: 128)
        try directory.append(leaf(.blocks, 2), at: 8176, byteCount: 72, firstBlockOffset: 3328)
        try directory.append(leaf(.filter, 2), at: 8248, byteCount: 200)
        let expected =
            "04030201" + "03" + "010c" + "8004" + "02" + "90035a00" + "6407027238"
            + "020b" + "f407" + "02" + "0aac0210" + "09029003" + "0405" + "8708" + "01" + "1902"
        #expect(hex(try directory.encoded()) == expected)
        let seal = Self.seal.encoded()
        #expect(seal.count == ArchiveSeal.byteCount)
        #expect(try ArchiveSeal(decoding: seal.rawSpan) == Self.seal)
        #expect(
            hex(seal)
                == "8403000000000000" + "0300000000000000" + "0200000000000000"
                + "0100000000000000" + "e903000000000000" + "0500000000000000"
                + "0000ceeeb5400600" + "0020000000000000")
    }

    @Test("a seal whose fields contradict each other is refused")
    func sealRefuses() throws {
        var changes: [(inout ArchiveSeal) -> Void] = []
        changes.append { $0.eventCount = 1001 }
        changes.append { $0.blockCount = 1 << 40 }
        changes.append { $0.runCount = 1 << 40 }
        changes.append { $0.firstSequence = 0 }
        changes.append { $0.firstSequence = 1002 }
        changes.append { $0.endSequence = .max }
        changes.append { $0.leastTime = .max }
        for offset in [0, 127, 8191, 1 << 30, UInt64.max] {
            changes.append { $0.directoryOffset = offset }
        }
        for change in changes {
            var seal = Self.seal
            change(&seal)
            let bytes = seal.encoded()
            #expect(throws: FormatError.self) { try ArchiveSeal(decoding: bytes.rawSpan) }
        }
        let bytes = Self.seal.encoded()
        for wrong in [Array(bytes.dropLast()), bytes + [0], []] {
            #expect(throws: FormatError.self) { try ArchiveSeal(decoding: wrong.rawSpan) }
        }
    }

    @Test("names of archives and tail tables are told from those of segments")
    func names() {
        #expect(FileName.archive(255) == "00000000000000ff.lla")
        #expect(FileName.archiveID("00000000000000ff.lla") == 255)
        #expect(FileName.segmentID("00000000000000ff.lla") == nil)
        #expect(FileName.archiveID("00000000000000ff.llg") == nil)
        #expect(FileName.archiveID("ffffffffffffffff.lla") == nil)
        #expect(FileName.segment(1, role: .archive) == FileName.archive(1))
        #expect(FileName.segment(1, role: .live) == FileName.segment(1))
        #expect(FileName.tailTableSequence(FileName.tailTable(77)) == 77)
        #expect(FileName.tailTableSequence("77.llt") == nil)
    }
}
