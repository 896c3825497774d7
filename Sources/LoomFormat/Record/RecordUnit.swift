/// Events of one run that are committed together or not at all.
///
/// A unit is framed before it is appended; its sequence and the number of its run are decided by
/// the writer. It can be emptied and filled again, which keeps its memory.
///
/// ```swift
/// var unit = RecordUnit(run: try RunID("demo"), epoch: 1, position: 0)
/// unit.append([1, 2, 3])
/// try writer.append(unit)
/// ```
public struct RecordUnit: Sendable {
    /// The run that the events belong to.
    public let run: RunID
    /// The run's epoch: raised at each claim, so that an older holder is told from the newer one.
    public var epoch: UInt64
    /// Position in the run of the first event of the unit.
    public private(set) var position: UInt64
    /// Whether the unit must be synced before it is acknowledged, in `normal` durability.
    public var isBarrier: Bool
    /// Events appended so far.
    public private(set) var eventCount = 0
    /// The framed events.
    package private(set) var frames: ByteWriter
    /// Where events of other epochs begin in the frames.
    private var turns: [Turn] = []

    private struct Turn {
        let offset: Int
        let epoch: UInt64
        let position: UInt64
    }

    /// Creates an empty unit whose first event has `position` in the run.
    public init(run: RunID, epoch: UInt64, position: UInt64, isBarrier: Bool = false) {
        self.run = run
        self.epoch = epoch
        self.position = position
        self.isBarrier = isBarrier
        self.frames = ByteWriter(capacity: 128)
    }

    /// Appends one event; what its bytes mean is not the log's business.
    public mutating func append(_ body: [UInt8]) {
        append(body.rawSpan)
    }

    /// Appends one event from bytes that the caller keeps.
    public mutating func append(_ body: RawSpan) {
        frames.writeUInt8(RecordTag.event.rawValue)
        frames.writeLength(body.byteCount)
        frames.writeBytes(body)
        eventCount += 1
    }

    /// Appends one event of a known length; `write` must write just as many bytes.
    public mutating func append(byteCount: Int, _ write: (inout OutputSpan<UInt8>) -> Void) {
        let size = UInt64(byteCount).varintSize
        frames.append(byteCount: 1 + size + byteCount) { span in
            span.append(RecordTag.event.rawValue)
            span.appendVarint(UInt64(byteCount))
            write(&span)
        }
        eventCount += 1
    }

    /// Goes on with events that another holder wrote: for a run that comes from another log.
    package mutating func turn(toEpoch epoch: UInt64, position: UInt64) {
        turns.append(Turn(offset: frames.count, epoch: epoch, position: position))
    }

    /// The bytes of each event, in order.
    public var events: [[UInt8]] {
        var reader = ByteReader(frames.bytes.rawSpan)
        var events: [[UInt8]] = []
        // What this unit framed itself can be read.
        while !reader.isAtEnd, (try? reader.readUInt8()) != nil,
            let length = try? reader.readLength("event", limit: reader.remaining),
            let event = try? reader.readArray(length)
        { events.append(event) }
        return events
    }

    /// Empties the unit for the events that follow in the same run.
    public mutating func removeAll(nextPosition: UInt64) {
        position = nextPosition
        isBarrier = false
        eventCount = 0
        frames.removeAll()
        turns = []
    }

    /// The most bytes that the payload of this unit can take, its run's declaration included.
    package var payloadBytesMax: Int {
        frames.count + run.rawValue.utf8.count + 64 * (turns.count + 1)
    }

    /// Writes the payload: the run's declaration when it is due, the context, the events.
    package func writePayload(number: UInt64, declares: Bool, to writer: inout ByteWriter) {
        if declares {
            let id = run.rawValue.utf8
            writer.writeUInt8(RecordTag.declaration.rawValue)
            writer.writeLength(number.varintSize + id.count)
            writer.writeVarint(number)
            writer.writeBytes(id)
        }
        guard !turns.isEmpty else {
            return write(number, epoch, position, 0..<frames.count, to: &writer)
        }
        write(number, epoch, position, 0..<turns[0].offset, to: &writer)
        for (index, turn) in turns.enumerated() {
            let end = index + 1 < turns.count ? turns[index + 1].offset : frames.count
            write(number, turn.epoch, turn.position, turn.offset..<end, to: &writer)
        }
    }

    /// A context and the events that belong to it.
    private func write(
        _ number: UInt64, _ epoch: UInt64, _ position: UInt64, _ range: Range<Int>,
        to writer: inout ByteWriter
    ) {
        let size = number.varintSize + epoch.varintSize + position.varintSize
        writer.append(byteCount: 2 + size + range.count) { span in
            span.append(RecordTag.context.rawValue)
            span.append(UInt8(truncatingIfNeeded: size))
            span.appendVarint(number)
            span.appendVarint(epoch)
            span.appendVarint(position)
            span.append(bytes: frames.bytes.rawSpan.extracting(range))
        }
    }
}
