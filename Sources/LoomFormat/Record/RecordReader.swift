/// What a record is. Unknown tags are stepped over by their length; zero is never a tag.
public struct RecordTag: RawRepresentable, Hashable, Sendable {
    /// The first byte of the record.
    public let rawValue: UInt8

    /// Creates a tag from the first byte of a record; any byte is accepted here.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Gives a run a number for the rest of the segment.
    public static let declaration = RecordTag(rawValue: 1)
    /// Says which run, epoch and position the events that follow in the unit have.
    public static let context = RecordTag(rawValue: 2)
    /// One event of the run of the last context.
    public static let event = RecordTag(rawValue: 3)
}

/// A record still in the bytes of its unit.
public enum RecordView: ~Escapable {
    /// A run and the number that stands for it in this segment.
    case declaration(number: UInt64, id: RawSpan)
    /// An event, at its place in its run.
    case event(run: UInt64, epoch: UInt64, position: UInt64, body: RawSpan)
}

/// A cursor over the records of one unit. See FORMAT.md, Records.
public struct RecordReader: ~Escapable {
    private var reader: ByteReader
    private var run: UInt64 = 0
    private var epoch: UInt64 = 0
    private var position: UInt64 = 0
    private var hasContext = false
    private var nextSequence: UInt64 = 0
    private let role: SegmentRole

    /// Creates a cursor over the decoded payload of a whole unit.
    ///
    /// - Parameter role: The kind of segment that the unit stands in. The contexts of an archive
    ///   have a fourth number, the sequence.
    @_lifetime(copy payload)
    public init(_ payload: RawSpan, in role: SegmentRole = .live) {
        reader = ByteReader(payload)
        self.role = role
    }

    /// The sequence of the event that ``next()`` returned last, in an archive. In a live segment
    /// the header of the unit says where its events begin.
    public var sequence: UInt64 { nextSequence &- 1 }

    /// Bytes read so far: behind the record that ``next()`` returned last.
    public var offset: Int { reader.offset }

    /// Reads the next declaration or event; `nil` at the end of the unit.
    @_lifetime(copy self)
    public mutating func next() throws(FormatError) -> RecordView? {
        while !reader.isAtEnd {
            let tag = RecordTag(rawValue: try reader.readUInt8())
            guard tag.rawValue != 0 else { throw .invalid("a record with tag 0") }
            let length = try reader.readLength("record", limit: FormatLimits.unitBytesMax)
            let content = try reader.readBytes(length)
            switch tag {
            case .declaration:
                var fields = ByteReader(content)
                let number = try fields.readVarint()
                return .declaration(number: number, id: try fields.readBytes(fields.remaining))
            case .context:
                var fields = ByteReader(content)
                run = try fields.readVarint()
                epoch = try fields.readVarint()
                position = try fields.readVarint()
                if role == .archive { nextSequence = try fields.readVarint() }
                hasContext = true
            case .event:
                guard hasContext else { throw .invalid("an event before its run is named") }
                defer { position &+= 1 }
                nextSequence &+= 1
                return .event(run: run, epoch: epoch, position: position, body: content)
            default:
                continue
            }
        }
        return nil
    }
}
