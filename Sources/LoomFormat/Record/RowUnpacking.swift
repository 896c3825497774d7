/// Unpacks packed rows into the payload of a block of an archive. See FORMAT.md, Packed rows.
///
/// Takes any bytes: it refuses what is not packed rows, writes no more than the length that it is
/// told, and keeps its memory from block to block.
public struct RowUnpacking: Sendable {
    /// What LZ4 decodes to: the packed rows of the block at hand.
    var scratch: [UInt8] = []
    private var kinds: [KindMemory] = []

    /// Creates an unpacking without memory.
    public init() {}

    /// Appends the payload that the packed rows stand for to `target`.
    ///
    /// - Parameters:
    ///   - packed: The packed rows.
    ///   - rawLength: Bytes of the payload. Any other number of bytes is refused.
    ///   - target: What the payload is appended to.
    /// - Throws: When the bytes are not packed rows of such a payload. `target` is then as before.
    public mutating func unpack(
        _ packed: RawSpan, rawLength: Int, into target: inout [UInt8]
    ) throws(FormatError) {
        guard rawLength >= 0, rawLength <= FormatLimits.blockBytesMax else {
            throw .limitExceeded(
                "raw length", found: UInt64(clamping: rawLength),
                limit: UInt64(FormatLimits.blockBytesMax))
        }
        kinds.removeAll(keepingCapacity: true)
        kinds.append(contentsOf: KindMemory.none)
        var fault: RowFault?
        target.append(addingCapacity: rawLength + ByteSink.slack) { span in
            unsafe span.withUnsafeMutableBufferPointer { buffer, count in
                // Safe: there is memory for the limit and the slack, and an element for each value
                // of a byte.
                unsafe kinds.withUnsafeMutableBufferPointer { kinds in
                    let base = unsafe buffer.baseAddress.unsafelyUnwrapped
                    var loop = unsafe RowUnpackingLoop(
                        kinds: kinds.baseAddress.unsafelyUnwrapped,
                        sink: ByteSink(UnsafeMutableRawPointer(base), limit: rawLength))
                    do throws(RowFault) {
                        try loop.unpack(packed)
                        count = rawLength
                    } catch { fault = error }
                }
            }
        }
        if let fault { throw fault.error }
    }
}

/// What is wrong with packed rows. A value without memory, so that the loop pays nothing for it.
private enum RowFault: Error {
    case endOfBytes, entry, context, numbers, times, long, short

    var error: FormatError {
        switch self {
        case .endOfBytes: .invalid("packed rows end too early, or a number in them is malformed")
        case .entry: .invalid("packed rows hold an entry of no known pattern")
        case .context: .invalid("packed rows hold an event before its run is named")
        case .numbers: .invalid("packed rows name numbers of a kind that has none")
        case .times: .invalid("packed rows have more times than events")
        case .long: .invalid("packed rows are longer than their header says")
        case .short: .invalid("packed rows are shorter than their header says")
        }
    }
}

/// The loop over the entries of one block, over memory that is all there.
@safe private struct RowUnpackingLoop {
    /// 256 of them.
    private let kinds: UnsafeMutablePointer<KindMemory>
    private var sink: ByteSink
    private var values = RunningValues()

    @unsafe
    init(kinds: UnsafeMutablePointer<KindMemory>, sink: ByteSink) {
        unsafe self.kinds = kinds
        self.sink = sink
    }

    mutating func unpack(_ packed: RawSpan) throws(RowFault) {
        var rows = ByteSource(packed)
        guard let timesLength = rows.readLength(), let times = rows.readBytes(timesLength) else {
            throw .endOfBytes
        }
        var timesLeft = ByteSource(times)
        while let entry = rows.readByte() {
            switch entry & RowEntry.kindMask {
            case RowEntry.noEvent: try unpackOther(entry, &rows)
            case RowEntry.asItIs:
                guard entry == RowEntry.asItIs else { throw .entry }
                guard values.hasContext else { throw .context }
                try unpackBytes(.event, &rows)
                values.countEvent()
            default: try unpackEvent(entry, &rows, &timesLeft)
            }
        }
        guard timesLeft.isAtEnd else { throw .times }
        guard sink.room == 0 else { throw .short }
    }

    /// Begins a record when there is room for all of it.
    @inline(__always)
    private mutating func begin(_ tag: RecordTag, _ length: Int) throws(RowFault) {
        let size = UInt64(truncatingIfNeeded: length)
        guard 1 &+ size.varintSize &+ length <= sink.room else { throw .long }
        sink.append(tag.rawValue)
        sink.appendVarint(size)
    }

    /// A length and bytes: a declaration, or an event as it is.
    private mutating func unpackBytes(
        _ tag: RecordTag, _ rows: inout ByteSource
    ) throws(RowFault) {
        guard let length = rows.readLength() else { throw .endOfBytes }
        try begin(tag, length)
        guard rows.copyBytes(length, to: &sink) else { throw .endOfBytes }
    }

    /// A context, a jump or a declaration.
    private mutating func unpackOther(_ entry: UInt8, _ rows: inout ByteSource) throws(RowFault) {
        switch entry {
        case RowEntry.declaration: return try unpackBytes(.declaration, &rows)
        case RowEntry.jump:
            guard values.hasContext else { throw .context }
            guard let ahead = rows.readVarint() else { throw .endOfBytes }
            values.sequence &+= ahead.unzigzagged
        case RowEntry.context:
            guard let run = rows.readVarint(), let epoch = rows.readVarint(),
                let position = rows.readVarint(), let ahead = rows.readVarint()
            else { throw .endOfBytes }
            values.enter(
                run: run, epoch: epoch, position: position,
                sequence: values.sequence &+ ahead.unzigzagged)
        default: throw .entry
        }
        let (run, epoch) = (values.run, values.epoch)
        let (position, sequence) = (values.position, values.sequence)
        try begin(
            .context,
            run.varintSize + epoch.varintSize + position.varintSize + sequence.varintSize)
        sink.appendVarint(run)
        sink.appendVarint(epoch)
        sink.appendVarint(position)
        sink.appendVarint(sequence)
    }

    @inline(__always)
    private mutating func unpackEvent(
        _ entry: UInt8, _ rows: inout ByteSource, _ times: inout ByteSource
    ) throws(RowFault) {
        guard values.hasContext else { throw .context }
        var kind = entry & RowEntry.kindMask
        if kind == RowEntry.longKind {
            guard let next = rows.readByte() else { throw .endOfBytes }
            guard next >= RowEntry.longKind else { throw .entry }
            kind = next
        }
        let numbers = EventHead.numbers(ofKind: kind)
        if entry & RowEntry.sameTime == 0 {
            guard let ahead = times.readVarint() else { throw .endOfBytes }
            values.time &+= ahead.unzigzagged
        }
        var memory = unsafe kinds[Int(kind)]
        if entry & RowEntry.sameShape != RowEntry.sameShape {
            if entry & RowEntry.sameNumbers == 0 { try read(numbers, &memory, &rows) }
            if entry & RowEntry.sameLength == 0 {
                guard let length = rows.readLength() else { throw .endOfBytes }
                memory.restLength = length
            }
            unsafe kinds[Int(kind)] = memory
        }
        let time = values.time
        let rest = memory.restLength
        guard rest <= rows.remaining else { throw .endOfBytes }
        var size = 1 &+ time.varintSize &+ rest
        // A number that the kind has not differs by nothing.
        values.step &+= memory.step
        values.attempt &+= memory.attempt
        let position = values.position &- memory.position
        if numbers.contains(.step) { size &+= values.step.varintSize }
        if numbers.contains(.attempt) { size &+= values.attempt.varintSize }
        if numbers.contains(.position) { size &+= position.varintSize }
        try begin(.event, size)
        sink.append(kind)
        sink.appendVarint(time)
        if numbers.contains(.step) { sink.appendVarint(values.step) }
        if numbers.contains(.attempt) { sink.appendVarint(values.attempt) }
        if numbers.contains(.position) { sink.appendVarint(position) }
        guard rows.copyBytes(rest, to: &sink) else { throw .endOfBytes }
        values.countEvent()
    }

    private func read(
        _ numbers: EventHead.Numbers, _ memory: inout KindMemory, _ rows: inout ByteSource
    ) throws(RowFault) {
        guard !numbers.isEmpty else { throw .numbers }
        if numbers.contains(.step) {
            guard let number = rows.readVarint() else { throw .endOfBytes }
            memory.step = number.unzigzagged
        }
        if numbers.contains(.attempt) {
            guard let number = rows.readVarint() else { throw .endOfBytes }
            memory.attempt = number.unzigzagged
        }
        if numbers.contains(.position) {
            guard let number = rows.readVarint() else { throw .endOfBytes }
            memory.position = number.unzigzagged
        }
    }
}
