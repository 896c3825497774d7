/// What the seal of an archive says of it: the payload of its last block. See FORMAT.md, Archives.
public struct ArchiveSeal: Hashable, Sendable {
    /// Bytes of the payload.
    public static let byteCount = 64

    /// Events in the archive.
    public var eventCount: UInt64
    /// Blocks of events.
    public var blockCount: UInt64
    /// Rows in the table of runs.
    public var runCount: UInt64
    /// The first sequence that the archive covers.
    public var firstSequence: UInt64
    /// The sequence after the last one that it covers.
    public var endSequence: UInt64
    /// The least time of an event; 0 when there is no event.
    public var leastTime: UInt64
    /// The greatest time of an event; 0 when there is no event.
    public var greatestTime: UInt64
    /// The offset of the directory's block.
    public var directoryOffset: UInt64

    /// Creates a seal.
    public init(
        eventCount: UInt64, blockCount: UInt64, runCount: UInt64, firstSequence: UInt64,
        endSequence: UInt64, leastTime: UInt64, greatestTime: UInt64, directoryOffset: UInt64
    ) {
        self.eventCount = eventCount
        self.blockCount = blockCount
        self.runCount = runCount
        self.firstSequence = firstSequence
        self.endSequence = endSequence
        self.leastTime = leastTime
        self.greatestTime = greatestTime
        self.directoryOffset = directoryOffset
    }

    /// The payload.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Self.byteCount)
        for field in [
            eventCount, blockCount, runCount, firstSequence, endSequence, leastTime, greatestTime,
            directoryOffset,
        ] { writer.writeUInt64(field) }
        return writer.bytes
    }

    /// Reads the payload of an archive's seal and checks its fields against each other.
    public init(decoding bytes: RawSpan) throws(FormatError) {
        guard bytes.byteCount == Self.byteCount else {
            throw .invalid("the seal of an archive has \(bytes.byteCount) bytes")
        }
        var reader = ByteReader(bytes)
        eventCount = try reader.readUInt64()
        blockCount = try reader.readUInt64()
        runCount = try reader.readUInt64()
        firstSequence = try reader.readUInt64()
        endSequence = try reader.readUInt64()
        leastTime = try reader.readUInt64()
        greatestTime = try reader.readUInt64()
        directoryOffset = try reader.readUInt64()
        guard firstSequence > 0, firstSequence <= endSequence,
            endSequence < FormatLimits.numberEnd, eventCount <= endSequence - firstSequence
        else { throw .invalid("an archive of \(eventCount) events has impossible sequences") }
        guard leastTime <= greatestTime else { throw .invalid("an archive ends before it begins") }
        // A block takes more bytes than its header, a row of a run several.
        let bytesMax = UInt64(FormatLimits.segmentBytesMax)
        guard blockCount <= bytesMax / UInt64(BlockHeader.byteCount), runCount <= bytesMax,
            directoryOffset >= UInt64(SegmentHeader.byteCount), directoryOffset < bytesMax,
            directoryOffset % UInt64(FormatLimits.alignment) == 0
        else { throw .invalid("the seal of an archive has impossible counts or places") }
    }
}
