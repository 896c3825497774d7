/// Where every leaf of an archive's index stands: the payload of its one directory block.
///
/// It is small, about a tenth of a byte a run, and stays in memory while an archive is open. A
/// lookup is a binary search here and one read of a leaf.
///
/// ```swift
/// guard let index = directory.leafIndex(ofRun: name) else { return nil }
/// let place = directory.leaf(index, of: .runs)
/// ```
public struct TableDirectory: Hashable, Sendable {
    /// Where a leaf stands, and which rows it holds.
    public struct Leaf: Hashable, Sendable {
        /// The offset of its block in the file.
        public let offset: Int
        /// Bytes of the block with header and padding.
        public let byteCount: Int
        /// The number of its first row in the section, from 0 on.
        public let firstRow: Int
        /// How many rows it holds.
        public let rowCount: Int
        /// In the section of blocks: the offset of the block of events that the first row is of.
        public let firstBlockOffset: Int?
    }

    /// The leaves of one section, in flat arrays: there may be tens of thousands.
    struct Section: Hashable, Sendable {
        var offset: UInt32 = 0
        /// Where each leaf ends in the file.
        var ends: [UInt32] = []
        /// How many rows there are up to the end of each leaf.
        var rowEnds: [UInt32] = []
        /// In sections that have them: all separators, and where each ends.
        var separators: [UInt8] = []
        var separatorEnds: [UInt32] = []
        /// In the section of blocks: where the block of each leaf's first row stands.
        var firstBlockOffsets: [UInt32] = []
    }

    /// Names the version of summaries and counts; a table of another one is as if it were not
    /// there.
    public var summaryVersion: UInt32
    /// One for each number that a known section may have; empty where there is none.
    private var sections: [Section]

    /// Creates a directory without leaves.
    public init(summaryVersion: UInt32) {
        self.summaryVersion = summaryVersion
        sections = [Section](repeating: Section(), count: Self.numberCount)
    }

    private static let numberCount = TableSection.known.reduce(0) { max($0, Int($1.rawValue)) } + 1

    /// A section that this version knows; an empty one for any other.
    subscript(section: TableSection) -> Section {
        _read { yield sections[Self.number(of: section)] }
        _modify { yield &sections[Self.number(of: section)] }
    }

    /// Number 0 is of no section.
    private static func number(of section: TableSection) -> Int {
        section.rawValue < numberCount ? Int(section.rawValue) : 0
    }

    /// How many leaves a section has; 0 when it has no rows.
    public func leafCount(of section: TableSection) -> Int { self[section].ends.count }

    /// How many rows a section has; of the filter, how many blocks.
    public func rowCount(of section: TableSection) -> Int { Int(self[section].rowEnds.last ?? 0) }

    /// Returns the place of a leaf.
    ///
    /// - Precondition: `index` is below ``leafCount(of:)``.
    public func leaf(_ index: Int, of section: TableSection) -> Leaf {
        self[section].leaf(index)
    }
}

extension TableDirectory {
    /// Returns the leaf that has the row of this number; `nil` behind the last row.
    public func leafIndex(ofRow row: Int, in section: TableSection) -> Int? {
        guard row >= 0, row < rowCount(of: section) else { return nil }
        // All leaves of the filter but the last are full.
        if section == .filter { return row / NameFilter.blocksPerLeaf }
        let ends = self[section].rowEnds
        return Self.firstIndex(below: ends.count) { Int(ends[$0]) > row }
    }

    /// Returns the one leaf of the runs section that may have a run of this name.
    public func leafIndex(ofRun name: [UInt8]) -> Int? {
        let behind = Self.firstIndex(below: leafCount(of: .runs)) {
            name.rawSpan.compared(to: self[.runs].separator($0)) < 0
        }
        return behind > 0 ? behind - 1 : nil
    }

    /// Returns the leaves of the keys section that may have calls of this run and fingerprint.
    public func leafIndexes(ofKey fingerprint: KeyFingerprint, runRow: UInt32) -> Range<Int> {
        let section = self[.keys]
        let wanted = KeyTableRow.orderBytes(runRow: runRow, fingerprint: fingerprint)
        // Equal keys may stand on both sides of a separator.
        let first = Self.firstIndex(below: section.ends.count) {
            section.separator($0).compared(to: wanted.rawSpan) >= 0
        }
        let behind = Self.firstIndex(below: section.ends.count) {
            wanted.rawSpan.compared(to: section.separator($0)) < 0
        }
        return max(0, first - 1)..<behind
    }

    /// The first index from which on `isBehind` holds, by halving.
    private static func firstIndex(below count: Int, _ isBehind: (Int) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isBehind(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension TableDirectory.Section {
    func leaf(_ index: Int) -> TableDirectory.Leaf {
        let start = Int(index > 0 ? ends[index - 1] : offset)
        let firstRow = Int(index > 0 ? rowEnds[index - 1] : 0)
        return TableDirectory.Leaf(
            offset: start, byteCount: Int(ends[index]) - start, firstRow: firstRow,
            rowCount: Int(rowEnds[index]) - firstRow,
            firstBlockOffset: firstBlockOffsets.isEmpty ? nil : Int(firstBlockOffsets[index]))
    }

    /// The separator before a leaf.
    @_lifetime(borrow self)
    func separator(_ index: Int) -> RawSpan {
        let start = index > 0 ? Int(separatorEnds[index - 1]) : 0
        return separators.rawSpan.extracting(start..<Int(separatorEnds[index]))
    }
}
