/// Decodes the hot parts of the rows of one leaf of runs, one after another, without a copy of a
/// name: a name's own bytes are told, and how many it shares with the one before.
struct RunHeadSource: ~Escapable {
    private var bytes: ByteSource

    /// How many bytes the name begins with in common with the one before.
    private(set) var sharedCount = 0
    /// The rest of it, not empty.
    private(set) var ownName: RawSpan
    /// The status in the low half, the category in the high one.
    private(set) var codes: UInt8 = 0
    /// See ``RunTableRow/loop``.
    private(set) var loop: UInt32 = 0
    /// See ``RunTableRow/created``.
    private(set) var created: UInt64 = 0
    /// See ``RunTableRow/updated``.
    private(set) var updated: UInt64 = 0

    /// Stands before the first row of a leaf's hot part.
    @_lifetime(copy hot)
    init(_ hot: RawSpan) {
        bytes = ByteSource(hot)
        ownName = hot.extracting(first: 0)
    }

    /// Decodes the next row; `false` behind the last.
    ///
    /// - Parameters:
    ///   - previous: Where the name before stands in `names`; empty before the first.
    ///   - labels: Where the row's labels are appended.
    @inline(__always)
    mutating func next(
        behind previous: Range<Int>, of names: [UInt8], _ labels: inout [RunTableRow.Label]
    ) throws(RunHeadFault) -> Bool {
        if bytes.isAtEnd { return false }
        try readName(previous.count)
        if sharedCount < previous.count {
            try checkOrder(behind: names[previous.lowerBound + sharedCount])
        }
        guard let codes = bytes.readByte(), let loop = bytes.readVarint(),
            let created = bytes.readVarint(), let updated = bytes.readVarint(),
            let labelCount = bytes.readVarint()
        else { throw .endOfBytes }
        guard loop <= UInt64(UInt32.max) else { throw .number }
        self.codes = codes
        self.loop = UInt32(truncatingIfNeeded: loop)
        self.created &+= created.unzigzagged
        self.updated = self.created &+ updated.unzigzagged
        // A label takes two bytes at least.
        guard labelCount <= UInt64(bytes.remaining / 2) else { throw .endOfBytes }
        for _ in 0..<labelCount {
            guard let name = bytes.readVarint(), let value = bytes.readVarint() else {
                throw .endOfBytes
            }
            guard name | value <= UInt64(UInt32.max) else { throw .number }
            labels.append(
                RunTableRow.Label(
                    name: UInt32(truncatingIfNeeded: name),
                    value: UInt32(truncatingIfNeeded: value)))
        }
        return true
    }

    @inline(__always)
    private mutating func readName(_ nameCount: Int) throws(RunHeadFault) {
        guard let shared = bytes.readVarint(), let ownCount = bytes.readLength(),
            let own = bytes.readBytes(ownCount)
        else { throw .endOfBytes }
        guard shared <= UInt64(nameCount) else { throw .sharedLength }
        let count = Int(truncatingIfNeeded: shared)
        guard ownCount > 0 else { throw .nothingAdded }
        guard ownCount <= FormatLimits.runIDBytesMax - count else { throw .longName }
        (sharedCount, ownName) = (count, own)
    }

    /// Refuses a name that is not above the one before, or that could have shared more of it.
    ///
    /// - Parameter byte: The first byte of the name before that is not shared.
    @inline(__always)
    private func checkOrder(behind byte: UInt8) throws(RunHeadFault) {
        // Safe: it is not empty, and every byte is an integer.
        let first = unsafe ownName.unsafeLoad(fromUncheckedByteOffset: 0, as: UInt8.self)
        guard first > byte else { throw .order }
    }
}

/// What is wrong with the hot part of a row of runs. A value without memory, so that the loop pays
/// nothing for it.
enum RunHeadFault: Error {
    case endOfBytes, sharedLength, nothingAdded, longName, order, number

    var error: FormatError {
        switch self {
        case .endOfBytes: .invalid("rows of runs end too early, or a number in them is malformed")
        case .sharedLength: .invalid("a run name shares more than the one before has")
        case .nothingAdded: .invalid("a run name adds nothing to the one before")
        case .longName: .invalid("a run name is longer than \(FormatLimits.runIDBytesMax) bytes")
        case .order: .invalid("run names are not in order")
        case .number: .invalid("a row of runs has a text number of 2^32 or more")
        }
    }
}
