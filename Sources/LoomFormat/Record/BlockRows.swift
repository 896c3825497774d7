/// The records of one block of an archive, as they are gathered.
///
/// A block of an archive stands for itself: it declares the runs of its events, whose numbers
/// count from 0 in each block, and its contexts carry the sequence. The payload is that of
/// FORMAT.md, Units and records, with a fourth number in each context. The memory is kept from
/// block to block.
///
/// ```swift
/// if rows.mustEnd(before: body.byteCount) { try writeBlock(&rows) }
/// let run = try rows.declare(id)
/// rows.append(run: run, epoch: 1, position: 7, sequence: 4_711, body)
/// if rows.isFull { try writeBlock(&rows) }
/// ```
public struct BlockRows: Sendable {
    /// Events appended so far.
    public private(set) var eventCount = 0
    /// The least sequence of an event so far.
    public private(set) var firstSequence = UInt64.max
    /// Runs declared so far: the number of the next one.
    public private(set) var runCount: UInt64 = 0
    private var records: ByteWriter
    /// What the next event has when no context stands before it.
    private var due: (run: UInt64, epoch: UInt64, position: UInt64, sequence: UInt64)?

    /// Creates an empty block.
    public init() {
        records = ByteWriter(capacity: FormatLimits.archiveBlockRows + 4096)
    }

    /// The payload so far.
    public var payload: RawSpan {
        @_lifetime(borrow self)
        borrowing get { records.bytes.rawSpan }
    }

    /// Bytes of the payload so far.
    public var byteCount: Int { records.count }
    /// Whether there is no event yet.
    public var isEmpty: Bool { eventCount == 0 }
    /// Whether the block has as many rows as a writer aims at.
    public var isFull: Bool { byteCount >= FormatLimits.archiveBlockRows }

    /// Returns whether the block should end before an event of so many bytes: an event that is as
    /// long as a block gets one of its own.
    public func mustEnd(before eventByteCount: Int) -> Bool {
        !isEmpty && (isFull || eventByteCount >= FormatLimits.archiveBlockRows)
    }

    /// Declares the next run and returns its number in this block.
    public mutating func declare(_ id: RunID) -> UInt64 {
        declare(Array(id.rawValue.utf8).rawSpan)
    }

    /// Declares the next run by the bytes of its name and returns its number in this block.
    public mutating func declare(_ id: RawSpan) -> UInt64 {
        let number = runCount
        records.writeUInt8(RecordTag.declaration.rawValue)
        records.writeLength(number.varintSize + id.byteCount)
        records.writeVarint(number)
        records.writeBytes(id)
        runCount += 1
        return number
    }

    /// Appends an event; a context stands before it where it does not follow the last one.
    public mutating func append(
        run: UInt64, epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan
    ) {
        let isDue = due.map { $0 == (run, epoch, position, sequence) } ?? false
        if !isDue {
            let size =
                run.varintSize + epoch.varintSize + position.varintSize + sequence.varintSize
            records.append(byteCount: 2 + size) { span in
                span.append(RecordTag.context.rawValue)
                span.append(UInt8(truncatingIfNeeded: size))
                span.appendVarint(run)
                span.appendVarint(epoch)
                span.appendVarint(position)
                span.appendVarint(sequence)
            }
        }
        let count = body.byteCount
        records.append(byteCount: 1 + UInt64(count).varintSize + count) { span in
            span.append(RecordTag.event.rawValue)
            span.appendVarint(UInt64(count))
            span.append(bytes: body)
        }
        due = (run, epoch, position &+ 1, sequence &+ 1)
        firstSequence = min(firstSequence, sequence)
        eventCount += 1
    }

    /// Empties the block for the next one.
    public mutating func removeAll() {
        records.removeAll()
        due = nil
        (eventCount, runCount, firstSequence) = (0, 0, .max)
    }
}
