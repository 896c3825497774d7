/// Says of most names that no run of an archive has them, without a look at the table of runs.
///
/// A blocked Bloom filter: a name sets six bits in one block of 512. With ten bits a run about one
/// name in a hundred that is not there passes. Its blocks stand in the leaves of a section, 64 to
/// a leaf, so that one small read answers. See FORMAT.md, Tables.
///
/// ```swift
/// let hash = NameFilter.hash(of: Array("run-7".utf8).rawSpan)
/// let block = NameFilter.blockIndex(of: hash, blockCount: count)
/// let leaf = try read(block / NameFilter.blocksPerLeaf)
/// if try NameFilter.mayContain(hash, block: block % NameFilter.blocksPerLeaf, in: leaf) { … }
/// ```
public enum NameFilter {
    /// Bytes of a block.
    public static let blockBytes = 64
    /// Blocks of every leaf but the last.
    public static let blocksPerLeaf = 64
    /// Bits of the filter for each run.
    public static let bitsPerRun = 10
    /// Bits that a name sets.
    public static let bitsPerName = 6

    /// The hash of a run's name.
    public static func hash(of name: RawSpan) -> UInt64 { BlockHash.hash(name) }

    /// How many blocks a filter of so many runs has, at least one.
    public static func blockCount(runCount: Int) -> Int {
        let bits = 8 * blockBytes
        return max(1, (runCount * bitsPerRun + bits - 1) / bits)
    }

    /// The number of the block that a name has its bits in, from 0 on.
    public static func blockIndex(of hash: UInt64, blockCount: Int) -> Int {
        Int(hash.multipliedFullWidth(by: UInt64(blockCount)).high)
    }

    /// The numbers of a name's bits in its block, 0 to 511.
    @inline(__always)
    static func bits(of hash: UInt64) -> some Sequence<Int> {
        let mixed = mixed(hash)
        return (0..<bitsPerName).lazy.map { Int(truncatingIfNeeded: mixed >> (9 * $0)) & 511 }
    }

    private static func mixed(_ hash: UInt64) -> UInt64 { hash &* 0x9E37_79B9_7F4A_7C15 }

    /// Returns whether a run of this hash may be there; `false` is certain.
    ///
    /// - Parameter block: The number of the block in this leaf, 0 to 63.
    public static func mayContain(
        _ hash: UInt64, block: Int, in leaf: borrowing TableLeaf
    ) throws(FormatError) -> Bool {
        let blockCount = try blockCount(of: leaf)
        guard block >= 0, block < blockCount else {
            throw .limitExceeded(
                "filter block", found: UInt64(max(block, 0)), limit: UInt64(blockCount))
        }
        let bytes = leaf.hot.extracting(block * blockBytes..<(block + 1) * blockBytes)
        var mixed = mixed(hash)
        for _ in 0..<bitsPerName {
            let bit = Int(truncatingIfNeeded: mixed & 511)
            let byte = unsafe bytes.unsafeLoad(fromByteOffset: bit >> 3, as: UInt8.self)
            if byte & 1 << UInt8(bit & 7) == 0 { return false }
            mixed >>= 9
        }
        return true
    }

    /// How many blocks a leaf of the filter holds; refused when it holds anything else.
    public static func blockCount(of leaf: borrowing TableLeaf) throws(FormatError) -> Int {
        try leaf.check(.filter)
        let count = leaf.hot.byteCount
        guard leaf.cold.byteCount == 0, count % blockBytes == 0,
            count <= blocksPerLeaf * blockBytes
        else { throw .invalid("a filter leaf of \(count) bytes") }
        return count / blockBytes
    }
}

/// Builds a filter from the hashes of the names, in any order, when their number is known.
public struct NameFilterWriter: Sendable {
    private let blockCount: Int
    private var bytes: [UInt8]

    /// Creates an empty filter. It takes ten bits of memory a run.
    public init(runCount: Int) {
        precondition(runCount >= 0 && runCount <= UInt32.max, "impossible number of runs")
        blockCount = NameFilter.blockCount(runCount: runCount)
        bytes = [UInt8](repeating: 0, count: blockCount * NameFilter.blockBytes)
    }

    /// Adds a name by its hash.
    public mutating func add(_ hash: UInt64) {
        let start = NameFilter.blockIndex(of: hash, blockCount: blockCount) * NameFilter.blockBytes
        for bit in NameFilter.bits(of: hash) { bytes[start + (bit >> 3)] |= 1 << UInt8(bit & 7) }
    }

    /// How many leaves the filter takes.
    public var leafCount: Int {
        (blockCount + NameFilter.blocksPerLeaf - 1) / NameFilter.blocksPerLeaf
    }

    /// Returns one leaf; its block is stored as it is, without compression.
    public func leaf(at index: Int) -> FilledLeaf {
        let leafBytes = NameFilter.blocksPerLeaf * NameFilter.blockBytes
        let part = bytes[index * leafBytes..<min((index + 1) * leafBytes, bytes.count)]
        var payload = ByteWriter(capacity: part.count + 4)
        payload.writeUInt8(TableSection.filter.rawValue)
        payload.writeLength(part.count)
        payload.writeBytes(part)
        return FilledLeaf(
            section: .filter, payload: payload.bytes,
            rowCount: part.count / NameFilter.blockBytes, separator: [])
    }
}
