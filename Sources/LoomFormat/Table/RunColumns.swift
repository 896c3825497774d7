/// The hot columns of one leaf of a runs table, in flat arrays that are used again for the next
/// leaf: what a list asks of a million runs without making an object of any.
public struct RunColumns: Sendable {
    /// What stands of a run beside its name and labels.
    public struct Row: Sendable {
        fileprivate let nameEnd: Int
        fileprivate let labelEnd: Int
        private let codes: UInt8
        /// See ``RunTableRow/loop``.
        public let loop: UInt32
        /// See ``RunTableRow/created``.
        public let created: UInt64
        /// See ``RunTableRow/updated``.
        public let updated: UInt64

        /// See ``RunTableRow/status``.
        public var status: UInt8 { codes & 0xF }
        /// See ``RunTableRow/category``.
        public var category: UInt8 { codes >> 4 }

        fileprivate init(_ head: borrowing RunHeadSource, nameEnd: Int, labelEnd: Int) {
            (self.nameEnd, self.labelEnd, codes) = (nameEnd, labelEnd, head.codes)
            (loop, created, updated) = (head.loop, head.created, head.updated)
        }
    }

    /// The rows, in order of name.
    public private(set) var rows: [Row] = []
    /// The bytes of all names; memory for more behind them.
    private var names: [UInt8] = []
    private var labels: [RunTableRow.Label] = []

    /// Creates columns without a row.
    public init() {}

    /// How many rows there are.
    public var count: Int { rows.count }

    /// Forgets the rows, and keeps their memory.
    public mutating func removeAll() {
        rows.removeAll(keepingCapacity: true)
        labels.removeAll(keepingCapacity: true)
    }

    /// Takes the rows of a leaf in the place of those that were there. Where it is refused, there
    /// are none.
    public mutating func read(_ leaf: borrowing TableLeaf) throws(FormatError) {
        removeAll()
        try leaf.check(.runs)
        var heads = RunHeadSource(leaf.hot)
        do throws(RunHeadFault) {
            var name = 0..<0
            while try heads.next(behind: name, of: names, &labels) {
                name = append(heads.ownName, sharing: heads.sharedCount, with: name)
                rows.append(Row(heads, nameEnd: name.upperBound, labelEnd: labels.count))
            }
        } catch {
            removeAll()
            throw error.error
        }
    }

    /// Appends a name that begins with some bytes of the one before.
    private mutating func append(
        _ own: RawSpan, sharing shared: Int, with previous: Range<Int>
    ) -> Range<Int> {
        let end = previous.upperBound
        let name = end..<(end + shared + own.byteCount)
        if name.upperBound > names.count {
            names += repeatElement(0, count: max(4096, names.count))
        }
        unsafe names.withUnsafeMutableBytes { names in
            // Safe: a name has at most 512 bytes, the memory was made for it, and what it shares
            // was there before.
            let target = unsafe names.baseAddress.unsafelyUnwrapped + end
            unsafe target.copyMemory(
                from: target - previous.count, byteCount: shared)
            unsafe own.withUnsafeBytes {
                unsafe (target + shared).copyMemory(
                    from: $0.baseAddress.unsafelyUnwrapped, byteCount: $0.count)
            }
        }
        return name
    }

    private func nameRange(_ row: Int) -> Range<Int> {
        (row > 0 ? rows[row - 1].nameEnd : 0)..<rows[row].nameEnd
    }

    /// The name of a run, in bytes; not checked to be UTF-8.
    public func name(_ row: Int) -> ArraySlice<UInt8> { names[nameRange(row)] }

    /// See ``RunTableRow/labels``.
    public func labels(_ row: Int) -> ArraySlice<RunTableRow.Label> {
        labels[(row > 0 ? rows[row - 1].labelEnd : 0)..<rows[row].labelEnd]
    }
}
