public import LoomFormat

/// Deltas one after another, composed into one: a state is materialised once, whatever their
/// number.
///
/// A list of pieces, each a range of the first base or of inserted bytes. Appending a delta maps
/// its copies through the pieces; its cost grows with hunks and pieces, not with the bytes of the
/// state.
public struct DeltaChain: Sendable {
    private enum Source: Sendable {
        case base
        case inserted
    }

    private struct Piece: Sendable {
        var source: Source
        var start: Int
        var count: Int
        /// Where the piece starts in the state that the chain produces.
        var offset: Int
    }

    private var pieces: [Piece] = []
    private var inserted: [UInt8] = []
    private var baseLength: Int?
    /// Whether the chain begins with a delta that is a whole state: it needs no base.
    private var isWhole = false
    /// Length of the state that the chain produces.
    public private(set) var resultLength = 0
    /// Pieces that the state consists of.
    public var pieceCount: Int { pieces.count }
    /// Hunks appended so far.
    public private(set) var hunkCount = 0

    /// Creates the empty chain: it produces its base.
    public init() {}

    /// Whether no delta was appended.
    public var isEmpty: Bool { baseLength == nil }

    /// Composes one more delta.
    ///
    /// - Throws: `FormatError` when it is malformed or is not against what the chain produces;
    /// the
    ///   chain is then as it was.
    public mutating func append(
        _ delta: RawSpan, limit: Int = FormatLimits.unitBytesMax
    ) throws(FormatError) {
        if let state = try StateDelta.wholeState(of: delta, limit: limit) {
            begin(with: state)
            return
        }
        var reader = try DeltaReader(delta, limit: limit)
        var old = pieces
        if baseLength == nil {
            old = [Piece(source: .base, start: 0, count: reader.baseLength, offset: 0)]
        } else if reader.baseLength != resultLength {
            throw .invalid("a delta against \(reader.baseLength) bytes, not \(resultLength)")
        }
        var next: [Piece] = []
        next.reserveCapacity(old.count + 4)
        var (offset, hunks) = (0, 0)
        let insertedBefore = inserted.count
        do throws(FormatError) {
            while let hunk = try reader.next() {
                Self.map(hunk.copy, through: old, into: &next, at: &offset)
                Self.add(
                    Piece(
                        source: .inserted, start: inserted.count, count: hunk.insert.byteCount,
                        offset: offset), to: &next, at: &offset)
                let literals = hunk.insert
                unsafe literals.withUnsafeBytes { unsafe inserted.append(contentsOf: $0) }
                hunks += 1
            }
        } catch {
            inserted.removeLast(inserted.count - insertedBefore)
            throw error
        }
        if baseLength == nil { baseLength = reader.baseLength }
        pieces = next
        resultLength = offset
        hunkCount += hunks
    }

    /// Begins anew with a delta that is a whole state: what stands before it is of no use.
    private mutating func begin(with state: [UInt8]) {
        inserted = state
        let piece = Piece(source: .inserted, start: 0, count: state.count, offset: 0)
        pieces = state.isEmpty ? [] : [piece]
        (baseLength, isWhole, resultLength) = (0, true, state.count)
        hunkCount += 1
    }

    /// Adds the pieces that a range of the old state consists of.
    private static func map(
        _ range: Range<Int>, through old: [Piece], into next: inout [Piece], at offset: inout Int
    ) {
        guard !range.isEmpty else { return }
        var index = firstPiece(of: old, at: range.lowerBound)
        var position = range.lowerBound
        while position < range.upperBound {
            let piece = old[index]
            let skipped = position - piece.offset
            let count = min(piece.count - skipped, range.upperBound - position)
            add(
                Piece(
                    source: piece.source, start: piece.start + skipped, count: count,
                    offset: offset), to: &next, at: &offset)
            position += count
            index += 1
        }
    }

    /// Adds a piece, or lengthens the last one when it goes straight on.
    private static func add(_ piece: Piece, to next: inout [Piece], at offset: inout Int) {
        guard piece.count > 0 else { return }
        offset += piece.count
        if let last = next.last, last.source == piece.source,
            last.start + last.count == piece.start
        {
            next[next.count - 1].count += piece.count
        } else {
            next.append(piece)
        }
    }

    /// The piece that holds an offset, by halving.
    private static func firstPiece(of pieces: [Piece], at offset: Int) -> Int {
        var (low, high) = (0, pieces.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if pieces[middle].offset <= offset { low = middle } else { high = middle }
        }
        return low
    }

    /// The chain as one delta, against its first base.
    func encoded() -> [UInt8] {
        var hunks = HunkWriter(base: baseLength ?? 0, target: resultLength)
        unsafe inserted.withUnsafeBytes { inserted in
            var copy = 0..<0
            for piece in pieces {
                let range = piece.start..<(piece.start + piece.count)
                let isCopy = piece.source == .base
                // A hunk is a copy and the insert behind it, either of which may be absent.
                if !isCopy || !copy.isEmpty {
                    unsafe hunks.append(copy: copy, insert: isCopy ? 0..<0 : range, of: inserted)
                }
                copy = isCopy ? range : 0..<0
            }
            if !copy.isEmpty { unsafe hunks.append(copy: copy, insert: 0..<0, of: inserted) }
        }
        return hunks.finish()
    }

    /// Lets go of the bytes that it needs no more.
    mutating func letGo() throws(FormatError) {
        var next = DeltaChain()
        try next.append(encoded().rawSpan)
        self = next
    }

    /// Bytes that the chain holds, those that it needs no more among them.
    var heldBytes: Int { inserted.count + pieces.count * MemoryLayout<Piece>.stride }

    /// The state that the chain makes of its first base.
    public func materialise(_ base: [UInt8]) throws(FormatError) -> [UInt8] {
        guard let baseLength else { return base }
        guard isWhole || base.count == baseLength else {
            throw .invalid("a delta against \(baseLength) bytes, not \(base.count)")
        }
        var result: [UInt8] = []
        result.reserveCapacity(resultLength)
        for piece in pieces {
            let range = piece.start..<(piece.start + piece.count)
            result.append(contentsOf: piece.source == .base ? base[range] : inserted[range])
        }
        return result
    }
}
