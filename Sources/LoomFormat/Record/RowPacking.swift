/// Packs the payload of a block of an archive into what its LZ4 block holds. See FORMAT.md, Packed
/// rows.
///
/// Times stand in a stream of their own, as they are what differs most; numbers and lengths that go
/// on as before are left out. It keeps its memory from block to block.
///
/// ```swift
/// var packing = RowPacking()
/// if packing.pack(rows.payload) { compress(packing.packed) }
/// ```
public struct RowPacking: Sendable {
    private var times: [UInt8] = []
    private var rows: [UInt8] = []
    private var whole = ByteWriter()
    private var kinds: [KindMemory] = []

    /// Creates a packing without memory.
    public init() {}

    /// The packed rows of the last payload that could be packed.
    public var packed: RawSpan {
        @_lifetime(borrow self)
        borrowing get { whole.bytes.rawSpan }
    }

    /// Packs a payload.
    ///
    /// Returns `false` for one that packed rows cannot hold byte for byte: records of other tags or
    /// with more fields, an event before a context, malformed bytes, or packed rows above
    /// ``FormatLimits/blockBytesMax``.
    public mutating func pack(_ payload: RawSpan) -> Bool {
        whole.removeAll()
        times.removeAll(keepingCapacity: true)
        rows.removeAll(keepingCapacity: true)
        kinds.removeAll(keepingCapacity: true)
        kinds.append(contentsOf: KindMemory.none)
        // No record grows to more than six times its bytes.
        let limit = min(payload.byteCount * 6 + 64, FormatLimits.blockBytesMax)
        var memory: [KindMemory] = []
        swap(&memory, &kinds)
        defer { swap(&memory, &kinds) }
        let isPacked = Self.write(to: &times, limit: limit) { times in
            Self.write(to: &rows, limit: limit) { rows in
                // Safe: there is an element for each value of a byte.
                unsafe memory.withUnsafeMutableBufferPointer { kinds in
                    var loop = unsafe RowPackingLoop(
                        kinds: kinds.baseAddress.unsafelyUnwrapped, times: times, rows: rows)
                    let isPacked = loop.pack(payload)
                    (times, rows) = (loop.times, loop.rows)
                    return isPacked
                }
            }
        }
        let room = FormatLimits.blockBytesMax - UInt64(times.count).varintSize
        guard isPacked, times.count + rows.count <= room else { return false }
        whole.writeLength(times.count)
        whole.writeBytes(times)
        whole.writeBytes(rows)
        return true
    }

    private static func write(
        to bytes: inout [UInt8], limit: Int, _ body: (inout ByteSink) -> Bool
    ) -> Bool {
        var isGood = false
        bytes.append(addingCapacity: limit + ByteSink.slack) { span in
            unsafe span.withUnsafeMutableBufferPointer { buffer, count in
                var sink = unsafe ByteSink(
                    UnsafeMutableRawPointer(buffer.baseAddress.unsafelyUnwrapped), limit: limit)
                isGood = body(&sink)
                count = sink.count
            }
        }
        return isGood
    }
}

/// The loop over the records of one payload, over memory that is all there.
@safe private struct RowPackingLoop {
    /// 256 of them.
    private let kinds: UnsafeMutablePointer<KindMemory>
    private(set) var times: ByteSink
    private(set) var rows: ByteSink
    private var values = RunningValues()

    @unsafe
    init(kinds: UnsafeMutablePointer<KindMemory>, times: ByteSink, rows: ByteSink) {
        unsafe self.kinds = kinds
        self.times = times
        self.rows = rows
    }

    mutating func pack(_ payload: RawSpan) -> Bool {
        var source = ByteSource(payload)
        while let tag = source.readByte() {
            guard let length = source.readLength() else { return false }
            if tag == RecordTag.event.rawValue {
                guard packEvent(&source, length) else { return false }
                continue
            }
            guard let content = source.readBytes(length) else { return false }
            switch RecordTag(rawValue: tag) {
            case .context: guard packContext(content) else { return false }
            case .declaration:
                guard packBytes(RowEntry.declaration, content) else { return false }
            default: return false
            }
        }
        return true
    }

    /// An entry with a length and bytes: a declaration, or an event as it is.
    private mutating func packBytes(_ entry: UInt8, _ content: RawSpan) -> Bool {
        var source = ByteSource(content)
        guard rows.room >= 11 + content.byteCount else { return false }
        rows.append(entry)
        rows.appendVarint(UInt64(content.byteCount))
        return source.copyBytes(content.byteCount, to: &rows)
    }

    private mutating func packContext(_ content: RawSpan) -> Bool {
        var source = ByteSource(content)
        guard let run = source.readVarint(), let epoch = source.readVarint(),
            let position = source.readVarint(), let sequence = source.readVarint(),
            source.isAtEnd, rows.room >= 41
        else { return false }
        let ahead = (sequence &- values.sequence).zigzag
        if values.hasContext, run == values.run, epoch == values.epoch,
            position == values.position
        {
            rows.append(RowEntry.jump)
            rows.appendVarint(ahead)
            values.sequence = sequence
            return true
        }
        rows.append(RowEntry.context)
        rows.appendVarint(run)
        rows.appendVarint(epoch)
        rows.appendVarint(position)
        rows.appendVarint(ahead)
        values.enter(run: run, epoch: epoch, position: position, sequence: sequence)
        return true
    }

    @inline(__always)
    private mutating func packEvent(_ source: inout ByteSource, _ length: Int) -> Bool {
        guard values.hasContext else { return false }
        let start = source.offset
        let end = start &+ length
        // The head is read with all of the payload behind it, which is quicker.
        guard let head = EventHead(&source), source.offset <= end else {
            source.move(to: start)
            guard let body = source.readBytes(length) else { return false }
            values.countEvent()
            return packBytes(RowEntry.asItIs, body)
        }
        let rest = end &- source.offset
        guard rows.room >= RowEntry.headBytesMax + rest, times.room >= 10 else { return false }
        let kind = head.kind
        let numbers = EventHead.numbers(ofKind: kind)
        var memory = KindMemory(restLength: rest)
        if numbers.contains(.step) {
            memory.step = head.step &- values.step
            values.step = head.step
        }
        if numbers.contains(.attempt) {
            memory.attempt = head.attempt &- values.attempt
            values.attempt = head.attempt
        }
        if numbers.contains(.position) { memory.position = values.position &- head.position }

        let last = unsafe kinds[Int(kind)]
        var entry = min(kind, RowEntry.longKind)
        if head.time == values.time { entry |= RowEntry.sameTime }
        if memory.hasSameNumbers(as: last) { entry |= RowEntry.sameNumbers }
        if rest == last.restLength { entry |= RowEntry.sameLength }
        rows.append(entry)
        if kind >= RowEntry.longKind { rows.append(kind) }
        if entry & RowEntry.sameTime == 0 {
            times.appendVarint((head.time &- values.time).zigzag)
            values.time = head.time
        }
        if entry & RowEntry.sameShape != RowEntry.sameShape {
            if entry & RowEntry.sameNumbers == 0 {
                if numbers.contains(.step) { rows.appendVarint(memory.step.zigzag) }
                if numbers.contains(.attempt) { rows.appendVarint(memory.attempt.zigzag) }
                if numbers.contains(.position) { rows.appendVarint(memory.position.zigzag) }
            }
            if entry & RowEntry.sameLength == 0 { rows.appendVarint(UInt64(rest)) }
            unsafe kinds[Int(kind)] = memory
        }
        values.countEvent()
        return source.copyBytes(rest, to: &rows)
    }
}
