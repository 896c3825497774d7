public import LoomFormat

/// The difference between two states of a run, as bytes: what a committed step adds to the log.
///
/// It finds several changed places at any distance, so that a counter at the front and a message at
/// the end of a large state cost tens of bytes. Layout, all integers varints; see FORMAT.md, State
/// deltas:
///
/// ```text
/// base length | result length | hunk …            hunks until the result is complete
/// hunk: move | copy length | insert length | inserted bytes
/// ```
///
/// A hunk copies `copy length` bytes of the base, from where the last copy ended plus `move`
/// (zigzag: 0, -1, 1, -2 … are 0, 1, 2, 3 …), and then inserts bytes of its own.
public enum StateDelta {
    /// The delta that turns `base` into `target`.
    ///
    /// Costs about the time to compare the two when they differ in few places; a middle without
    /// near matches is indexed by blocks, in linear time and bounded memory.
    public static func encode(from base: [UInt8], to target: [UInt8]) -> [UInt8] {
        encodeCounting(from: base, to: target).delta
    }

    /// The same, with the number of its hunks: for whoever follows the length of a chain.
    static func encodeCounting(
        from base: [UInt8], to target: [UInt8]
    ) -> (delta: [UInt8], hunks: Int) {
        var hunks = HunkWriter(base: base.count, target: target.count)
        unsafe base.withUnsafeBytes { base in
            unsafe target.withUnsafeBytes { target in
                var matcher = unsafe StateMatcher(base: base, target: target)
                matcher.match { copy, insert in
                    unsafe hunks.append(copy: copy, insert: insert, of: target)
                }
            }
        }
        return (hunks.finish(), hunks.count)
    }

    /// The lengths of the states before and after a delta, which is checked as when it is applied.
    ///
    /// - Returns: The length of the result, and that of the base; `nil` for a delta that copies
    ///   nothing, which is a whole state whatever stands before it.
    /// - Throws: `FormatError` when the delta is malformed.
    public static func lengths(
        of delta: RawSpan, limit: Int = FormatLimits.unitBytesMax
    ) throws(FormatError) -> (base: Int?, result: Int) {
        var reader = try DeltaReader(delta, limit: limit)
        var copies = false
        while let hunk = try reader.next() { copies = copies || !hunk.copy.isEmpty }
        return (copies ? reader.baseLength : nil, reader.resultLength)
    }

    /// Whether a delta is a whole state: it is well formed and copies nothing.
    static func isWhole(_ delta: RawSpan) -> Bool {
        do throws(FormatError) {
            var reader = try DeltaReader(delta, limit: FormatLimits.unitBytesMax)
            while let hunk = try reader.next() {
                guard hunk.copy.isEmpty else { return false }
            }
            return true
        } catch {
            return false
        }
    }

    /// The delta that is a whole state: one insert, which needs no base.
    public static func whole(_ state: [UInt8]) -> [UInt8] {
        var hunks = HunkWriter(base: 0, target: state.count)
        unsafe state.withUnsafeBytes { state in
            if unsafe !state.isEmpty {
                unsafe hunks.append(copy: 0..<0, insert: 0..<state.count, of: state)
            }
        }
        return hunks.finish()
    }

    /// The result of a delta that copies nothing; `nil` for one that needs its base.
    static func wholeState(
        of delta: RawSpan, limit: Int = FormatLimits.unitBytesMax
    ) throws(FormatError) -> [UInt8]? {
        var reader = try DeltaReader(delta, limit: limit)
        var state: [UInt8] = []
        while let hunk = try reader.next() {
            guard hunk.copy.isEmpty else { return nil }
            let literals = hunk.insert
            unsafe literals.withUnsafeBytes { unsafe state.append(contentsOf: $0) }
        }
        return state
    }

    /// Applies a delta. One that copies nothing needs no base.
    ///
    /// - Parameter limit: The most bytes that the result may have.
    /// - Throws: `FormatError` when the delta is malformed, or copies and is not against a base of
    ///   this length.
    public static func apply(
        _ delta: RawSpan, to base: [UInt8], limit: Int = FormatLimits.unitBytesMax
    ) throws(FormatError) -> [UInt8] {
        if let whole = try wholeState(of: delta, limit: limit) { return whole }
        var reader = try DeltaReader(delta, limit: limit)
        guard reader.baseLength == base.count else {
            throw .invalid("a delta against \(reader.baseLength) bytes, not \(base.count)")
        }
        var result: [UInt8] = []
        // Not reserved by what the delta says: a hostile one would make us allocate for nothing.
        result.reserveCapacity(min(reader.resultLength, base.count + delta.byteCount))
        while let hunk = try reader.next() {
            result.append(contentsOf: base[hunk.copy])
            let literals = hunk.insert
            unsafe literals.withUnsafeBytes { unsafe result.append(contentsOf: $0) }
        }
        return result
    }
}

/// Writes hunks, and counts them.
struct HunkWriter {
    private var writer = ByteWriter(capacity: 64)
    private(set) var count = 0
    private var cursor = 0

    init(base: Int, target: Int) {
        writer.writeLength(base)
        writer.writeLength(target)
    }

    mutating func append(
        copy: Range<Int>, insert: Range<Int>, of target: UnsafeRawBufferPointer
    ) {
        count += 1
        let move = copy.isEmpty ? 0 : copy.lowerBound - cursor
        let zigzag = UInt64(bitPattern: Int64(move << 1) ^ Int64(move >> 63))
        let (copied, inserted) = (UInt64(copy.count), UInt64(insert.count))
        let size = zigzag.varintSize + copied.varintSize + inserted.varintSize + insert.count
        writer.append(byteCount: size) { span in
            span.appendVarint(zigzag)
            span.appendVarint(copied)
            span.appendVarint(inserted)
            unsafe span.append(bytes: target.bytes.extracting(insert))
        }
        if !copy.isEmpty { cursor = copy.upperBound }
    }

    func finish() -> [UInt8] { writer.bytes }
}

/// Reads hunks; every number is held against the base, the delta and the result before it is used.
///
/// Inlined into the loops over it: one of them goes over the delta of every commit that is read.
struct DeltaReader: ~Escapable {
    let baseLength: Int
    let resultLength: Int
    private var reader: ByteReader
    private var cursor = 0
    private var produced = 0

    struct Hunk: ~Escapable {
        let copy: Range<Int>
        let insert: RawSpan

        @_lifetime(copy insert)
        init(copy: Range<Int>, insert: RawSpan) {
            self.copy = copy
            self.insert = insert
        }
    }

    @_lifetime(copy delta)
    @inline(__always)
    init(_ delta: RawSpan, limit: Int) throws(FormatError) {
        reader = ByteReader(delta)
        let base = try reader.readVarint()
        let result = try reader.readVarint()
        guard base <= UInt64(limit), result <= UInt64(limit) else {
            throw .limitExceeded("state length", found: max(base, result), limit: UInt64(limit))
        }
        baseLength = Int(base)
        resultLength = Int(result)
    }

    @_lifetime(copy self)
    @inline(__always)
    mutating func next() throws(FormatError) -> Hunk? {
        guard produced < resultLength else {
            guard reader.isAtEnd else { throw .invalid("bytes behind the end of a delta") }
            return nil
        }
        let zigzag = try reader.readVarint()
        let length = try reader.readVarint()
        let room = UInt64(resultLength - produced)
        guard zigzag <= UInt64(baseLength) * 2 + 1, length <= room,
            length <= UInt64(baseLength)
        else { throw .invalid("a hunk that leaves its base or its result") }
        let move = Int(zigzag >> 1) ^ -Int(zigzag & 1)
        let start = cursor + move
        guard start >= 0, start + Int(length) <= baseLength else {
            throw .invalid("a hunk that leaves its base")
        }
        let literals = try reader.readLength("insert length", limit: Int(room - length))
        guard literals > 0 || length > 0 else { throw .invalid("an empty hunk") }
        let insert = try reader.readBytes(literals)
        if length > 0 { cursor = start + Int(length) }
        produced += Int(length) + literals
        return Hunk(copy: start..<(start + Int(length)), insert: insert)
    }
}
