/// Every maximum of the format in one place: what a writer may write is what a reader accepts.
///
/// See FORMAT.md, Limits. A reader checks a length against these *and* against the bytes that it
/// has before it uses the length or allocates for it.
public enum FormatLimits {
    /// Raw or stored bytes of one block: 4 MiB.
    public static let blockBytesMax = 4 << 20
    /// Raw bytes of one atomic unit, over all its blocks: 256 MiB.
    public static let unitBytesMax = 256 << 20
    /// Bytes of one segment file: offsets within a segment fit 32 bits.
    public static let segmentBytesMax = 1 << 30
    /// Bytes of a run's id as UTF-8.
    public static let runIDBytesMax = 512
    /// Segments that one manifest may list; its body then still fits one block.
    public static let manifestSegmentCountMax = 50_000
    /// Superseded files that one manifest may list, beside as many segments as there may be.
    public static let manifestSupersededCountMax = 8_000
    /// Bytes of a manifest file: two blocks of the largest size, each on whole pages.
    public static let manifestBytesMax =
        2 * (blockBytesMax + BlockHeader.byteCount + alignment).roundedUp(to: pageBytes)
    /// Bytes of the rows of one leaf of a table, unless it has a single row.
    public static let leafBytesMax = 4096
    /// Bytes of a single row of a table, and of a text in one.
    public static let tableRowBytesMax = 65_536
    /// Bytes of a table leaf beside its rows, and before a text: a section and two lengths.
    public static let leafFramingBytesMax = 8
    /// Bytes of the decoded payload of a table block.
    public static let tablePayloadBytesMax = tableRowBytesMax + leafFramingBytesMax
    /// Generations, segment numbers, epochs and sequences stay below this: counting on from one
    /// that was read from a hostile file never overflows.
    public static let numberEnd: UInt64 = 1 << 62
    /// Blocks, headers and mapped words start on multiples of this.
    public static let alignment = 8
    /// A mark that proves durability starts on a page of its own, so that writing it cannot harm
    /// data.
    public static let pageBytes = 4096

    /// Bytes of rows that a writer aims at in a block of an archive: the event that reaches it ends
    /// the block.
    public static let archiveBlockRows = 32 << 10

    /// Room that a writer keeps free at the end of a segment for the filler and the seal block.
    public static let sealReserveBytes = 2 * pageBytes
}

/// The versions that this build writes and reads. See FORMAT.md, Versions.
public enum FormatVersion {
    /// A reader refuses any other major version.
    public static let major: UInt16 = 0
    /// Raised by additions that old readers may ignore.
    public static let minor: UInt16 = 2
}

extension Int {
    /// This size rounded up to a multiple of `step`, a power of two.
    @inlinable
    public func roundedUp(to step: Int) -> Int { (self + step - 1) & ~(step - 1) }
}
