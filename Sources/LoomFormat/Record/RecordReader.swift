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
    private var source: ByteSource
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
        source = ByteSource(payload)
        self.role = role
    }

    /// The sequence of the event that ``next()`` returned last, in an archive. In a live segment
    /// the header of the unit says where its events begin.
    public var sequence: UInt64 { nextSequence &- 1 }

    /// Bytes read so far: behind the record that ``next()`` returned last.
    public var offset: Int { source.offset }

    /// Reads the next declaration or event; `nil` at the end of the unit.
    @_lifetime(copy self)
    public mutating func next() throws(FormatError) -> RecordView? {
        while let tag = source.readByte() {
            guard tag == RecordTag.event.rawValue else {
                if let declared = try readOther(tag) {
                    return .declaration(number: declared.number, id: declared.id)
                }
                continue
            }
            let body = try readContent()
            guard hasContext else { throw .invalid("an event before its run is named") }
            defer { position &+= 1 }
            nextSequence &+= 1
            return .event(run: run, epoch: epoch, position: position, body: body)
        }
        return nil
    }

    /// Reads the next declaration, or the next event and those that follow it at once; `nil` at the
    /// end of the unit.
    @_lifetime(copy self)
    public mutating func nextGroup() throws(FormatError) -> RecordGroupView? {
        while let tag = source.readByte() {
            guard tag == RecordTag.event.rawValue else {
                if let declared = try readOther(tag) {
                    return .declaration(number: declared.number, id: declared.id)
                }
                continue
            }
            let start = source.offset &- 1
            let first = try readContent()
            guard hasContext else { throw .invalid("an event before its run is named") }
            var (count, kinds) = (1, KindSet())
            if first.byteCount > 0 { kinds.insert(first.littleEndian(at: 0, as: UInt8.self)) }
            while skipEvent(&kinds) { count &+= 1 }
            let group = RecordGroup(
                run: run, epoch: epoch, position: position, sequence: nextSequence,
                bytes: start..<source.offset, eventCount: count, kinds: kinds)
            position &+= UInt64(truncatingIfNeeded: count)
            nextSequence &+= UInt64(truncatingIfNeeded: count)
            return .events(group)
        }
        return nil
    }

    /// A declaration.
    private struct Declared: ~Escapable {
        let number: UInt64
        let id: RawSpan

        @_lifetime(copy id)
        init(_ number: UInt64, _ id: RawSpan) { (self.number, self.id) = (number, id) }
    }

    /// Reads a record that is no event.
    ///
    /// - Returns: The declaration, if it is one.
    @_lifetime(copy self)
    private mutating func readOther(_ tag: UInt8) throws(FormatError) -> Declared? {
        guard tag != 0 else { throw .invalid("a record with tag 0") }
        let content = try readContent()
        switch RecordTag(rawValue: tag) {
        case .declaration:
            var fields = ByteReader(content)
            let number = try fields.readVarint()
            return Declared(number, try fields.readBytes(fields.remaining))
        case .context: try enter(content)
        default: break
        }
        return nil
    }

    /// Steps over the next record if it is a whole event; what else stands there, ``next()`` says.
    @inline(__always)
    private mutating func skipEvent(_ kinds: inout KindSet) -> Bool {
        let start = source.offset
        if source.readByte() == RecordTag.event.rawValue, let count = source.readLength(),
            count <= FormatLimits.unitBytesMax, let body = source.readBytes(count)
        {
            if count > 0 { kinds.insert(body.littleEndian(at: 0, as: UInt8.self)) }
            return true
        }
        source.move(to: start)
        return false
    }

    /// Reads the length of a record and its content.
    @_lifetime(copy self)
    @inline(__always)
    private mutating func readContent() throws(FormatError) -> RawSpan {
        let start = source.offset
        if let count = source.readLength(), count <= FormatLimits.unitBytesMax,
            let content = source.readBytes(count)
        {
            return content
        }
        // Read again by the cursor that says what is wrong.
        var reader = ByteReader(source.bytes(from: start))
        let count = try reader.readLength("record", limit: FormatLimits.unitBytesMax)
        return try reader.readBytes(count)
    }

    /// Reads a context, whose content was read last.
    private mutating func enter(_ content: RawSpan) throws(FormatError) {
        // With the records behind it at hand, which is quicker.
        var ahead = source
        ahead.move(to: source.offset &- content.byteCount)
        if role == .live, let run = ahead.readVarint(), let epoch = ahead.readVarint(),
            let position = ahead.readVarint(), ahead.offset <= source.offset
        {
            (self.run, self.epoch, self.position, hasContext) = (run, epoch, position, true)
            return
        }
        var fields = ByteReader(content)
        run = try fields.readVarint()
        epoch = try fields.readVarint()
        position = try fields.readVarint()
        if role == .archive { nextSequence = try fields.readVarint() }
        hasContext = true
    }
}
