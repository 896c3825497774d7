internal import LoomFormat

/// Which runs a list wants, as far as the hot columns of the tables tell: no cold part is decoded
/// and no name copied for any other.
package struct RunHeadFilter: Sendable {
    /// Codes of the statuses that are wanted; status 0, not known, is always given.
    package var statuses: Set<UInt8>? {
        didSet { wantedStatuses = statuses.map { $0.reduce(0) { $0 | 1 << UInt16($1) } } ?? .max }
    }
    /// The same, a bit for each code.
    fileprivate private(set) var wantedStatuses = UInt16.max
    /// The code of the category of the last failure.
    package var category: UInt8?
    /// The loop.
    package var loop: String?
    /// Names and values of labels, all of which the run has.
    package var labels: [(name: String, value: String)] = []
    /// How the bytes of the name begin.
    package var prefix: [UInt8] = []
    /// The run whose row is the first to be given, or the next behind it.
    package var from: [UInt8] = []
    /// Times of creation, both included.
    package var created: ClosedRange<UInt64> = 0...UInt64.max
    /// Times of the last event, both included.
    package var updated: ClosedRange<UInt64> = 0...UInt64.max

    /// Creates a filter that every run passes.
    package init() {}
}

/// A run in archives that passed a filter.
package struct ArchivedHead: Hashable, Sendable {
    /// The bytes of its name.
    package let name: [UInt8]
    /// When it was created.
    package let created: UInt64
    /// Whether its columns tell all that the filter asks: of a run that is deleted, or that cannot
    /// be read, they do not.
    package let isKnown: Bool
}

/// The hot columns of one leaf of a runs table, in flat arrays that are used again for the next.
private struct HotColumns {
    private var names: [UInt8] = []
    private var nameEnds: [Int] = []
    private(set) var codes: [UInt8] = []
    private(set) var loops: [UInt32] = []
    private(set) var created: [UInt64] = []
    private(set) var updated: [UInt64] = []
    private var labels: [RunTableRow.Label] = []
    private var labelEnds: [Int] = []

    var count: Int { codes.count }

    mutating func removeAll() {
        names.removeAll(keepingCapacity: true)
        nameEnds.removeAll(keepingCapacity: true)
        codes.removeAll(keepingCapacity: true)
        loops.removeAll(keepingCapacity: true)
        created.removeAll(keepingCapacity: true)
        updated.removeAll(keepingCapacity: true)
        labels.removeAll(keepingCapacity: true)
        labelEnds.removeAll(keepingCapacity: true)
    }

    mutating func read(_ payload: RawSpan) throws(FormatError) {
        removeAll()
        var cursor = try RunTableCursor(try TableLeaf(payload))
        while try cursor.next() {
            cursor.appendName(to: &names)
            nameEnds.append(names.count)
            codes.append(cursor.status | cursor.category << 4)
            loops.append(cursor.loop)
            created.append(cursor.created)
            updated.append(cursor.updated)
            if !cursor.labels.isEmpty { labels += cursor.labels }
            labelEnds.append(labels.count)
        }
    }

    func nameRange(_ row: Int) -> Range<Int> { (row > 0 ? nameEnds[row - 1] : 0)..<nameEnds[row] }
    func name(_ row: Int) -> ArraySlice<UInt8> { names[nameRange(row)] }
    func labels(_ row: Int) -> ArraySlice<RunTableRow.Label> {
        labels[(row > 0 ? labelEnds[row - 1] : 0)..<labelEnds[row]]
    }

    /// Compares the name of a row with that of another: below 0, 0 or above.
    func compare(_ row: Int, with other: borrowing HotColumns, _ otherRow: Int) -> Int {
        let (a, b) = (nameRange(row), other.nameRange(otherRow))
        let order = unsafe names.withUnsafeBytes { x in
            unsafe other.names.withUnsafeBytes { y in
                unsafe Self.compare(
                    UnsafeRawBufferPointer(rebasing: x[a]), UnsafeRawBufferPointer(rebasing: y[b]))
            }
        }
        return order != 0 ? order : a.count - b.count
    }

    /// The first row from one on whose name is not below that of another; the rows are looked at in
    /// growing steps, as they often take turns.
    func firstRow(
        from start: Int, before end: Int, notBelow other: borrowing HotColumns, _ otherRow: Int
    ) -> Int {
        var (low, high, step) = (start, start, 1)
        while high < end, compare(high, with: other, otherRow) < 0 {
            low = high + 1
            high += step
            step *= 2
        }
        high = min(high, end)
        while low < high {
            let middle = (low + high) / 2
            if compare(middle, with: other, otherRow) < 0 {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// The first of some rows that fits a filter.
    func firstFitting(
        _ rows: Range<Int>, _ filter: RunHeadFilter, _ numbers: WantedNumbers?
    ) -> Int? {
        for row in rows where fits(row, filter, numbers) { return row }
        return nil
    }

    func fits(_ row: Int, _ filter: RunHeadFilter, _ numbers: WantedNumbers?) -> Bool {
        let status = codes[row] & 0xF
        if status == 0 { return true }
        guard let numbers, filter.wantedStatuses & 1 << status != 0,
            filter.category.map({ $0 == codes[row] >> 4 }) ?? true,
            filter.created.contains(created[row]), filter.updated.contains(updated[row]),
            numbers.loop.map({ $0 == loops[row] }) ?? true
        else { return false }
        return numbers.labels.isEmpty || numbers.labels.allSatisfy(labels(row).contains)
    }

    private static func compare(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
        let count = min(a.count, b.count)
        var index = 0
        while index + 8 <= count {
            let (x, y) = unsafe (
                a.loadUnaligned(fromByteOffset: index, as: UInt64.self),
                b.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            )
            if x != y { return x.bigEndian < y.bigEndian ? -1 : 1 }
            index += 8
        }
        while index < count {
            let (x, y) = unsafe (a[index], b[index])
            if x != y { return Int(x) - Int(y) }
            index += 1
        }
        return 0
    }
}

/// The rows of one archive in order of name, a leaf in memory at a time.
private final class HotRows {
    private let archive: ArchiveReader
    private var leaf: Int
    private var payload: [UInt8] = []
    var columns = HotColumns()
    var row = 0
    /// The wanted loop and labels as this archive numbers texts; `nil` where it does not have them.
    let numbers: WantedNumbers?

    private let prefix: [UInt8]

    init(_ archive: ArchiveReader, _ filter: RunHeadFilter) throws(LogError) {
        (self.archive, prefix) = (archive, filter.prefix)
        numbers = try WantedNumbers(archive, filter)
        let start =
            filter.from.lexicographicallyPrecedes(filter.prefix) ? filter.prefix : filter.from
        leaf = archive.directory.leafIndex(ofRun: start) ?? 0
        try readLeaf()
        while !isOver, columns.name(row).lexicographicallyPrecedes(start) {
            try advance(to: row + 1)
        }
    }

    var isOver: Bool { row >= columns.count }

    func advance(to next: Int) throws(LogError) {
        row = next
        if row >= columns.count {
            leaf += 1
            try readLeaf()
        }
    }

    private func readLeaf() throws(LogError) {
        // First of all: behind an error nothing is left of the leaf before.
        row = 0
        columns.removeAll()
        guard leaf < archive.directory.leafCount(of: .runs) else { return }
        let place = archive.directory.leaf(leaf, of: .runs)
        try archive.readHotPart(of: place, into: &payload)
        let payload = payload
        var columns = HotColumns()
        swap(&columns, &self.columns)
        defer { swap(&columns, &self.columns) }
        try archive.refusing(place, "table refused") { () throws(FormatError) in
            try columns.read(payload.rawSpan)
        }
    }

    var hasPrefix: Bool { columns.name(row).starts(with: prefix) }

    /// Where the rows from the present one on end that begin with the prefix and are below the row
    /// that each of the others stands at.
    func end(below others: ArraySlice<(rows: HotRows, index: Int)>) -> Int {
        var end = columns.count
        for (other, _) in others {
            end = columns.firstRow(from: row, before: end, notBelow: other.columns, other.row)
        }
        guard !prefix.isEmpty, end > row else { return end }
        // Names are in order: where the last one has the prefix, all of them have.
        while !columns.name(end - 1).starts(with: prefix) { end -= 1 }
        return end
    }

    /// The run of a row, when that fits.
    func head(_ row: Int, _ filter: RunHeadFilter) -> ArchivedHead? {
        guard columns.fits(row, filter, numbers) else { return nil }
        return ArchivedHead(
            name: Array(columns.name(row)), created: columns.created[row],
            isKnown: columns.codes[row] & 0xF != 0)
    }
}

/// The texts of a filter as one archive numbers them.
private struct WantedNumbers {
    var loop: UInt32?
    var labels: [RunTableRow.Label] = []

    /// `nil` when the archive does not have one of the texts: then no run of it fits.
    init?(_ archive: ArchiveReader, _ filter: RunHeadFilter) throws(LogError) {
        var wanted: Set<ByteString> = []
        if let loop = filter.loop { wanted.insert(ByteString(loop)) }
        for label in filter.labels {
            wanted.insert(ByteString(label.name))
            wanted.insert(ByteString(label.value))
        }
        let numbers = try wanted.isEmpty ? [:] : archive.textNumbers(of: wanted)
        if let loop = filter.loop {
            guard let number = numbers[ByteString(loop)] else { return nil }
            self.loop = number
        }
        for label in filter.labels {
            guard let name = numbers[ByteString(label.name)],
                let value = numbers[ByteString(label.value)]
            else { return nil }
            labels.append(.init(name: name, value: value))
        }
    }
}

/// The runs of several archives that pass a filter, in order of name, newest row wins.
package struct RunHeads {
    private var filter: RunHeadFilter
    private let index: LogIndex?
    /// The archives that have rows left: a heap by name, among equal names the newest first.
    private var heap: [(rows: HotRows, index: Int)] = []

    /// - Parameter index: Told of tables that cannot be read.
    init(
        _ set: ArchiveSet, _ filter: RunHeadFilter, _ index: LogIndex? = nil
    ) throws(LogError) {
        (self.filter, self.index) = (filter, index)
        for (index, archive) in set.archives.enumerated() {
            let rows = try HotRows(archive, filter)
            if !rows.isOver { heap.append((rows, index)) }
        }
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(index) }
    }

    /// Fetches the next run; `nil` behind the last.
    ///
    /// - Throws: ``LogError`` with code `rewritten` where tables are made anew: a newer look gives
    ///   the rest.
    package mutating func next() throws(LogError) -> ArchivedHead? {
        do throws(LogError) {
            return try fetch()
        } catch {
            throw index?.answer(to: error) ?? error
        }
    }

    /// Leaves out from now on what was created at other times.
    package mutating func narrow(toCreated times: ClosedRange<UInt64>) { filter.created = times }

    private mutating func fetch() throws(LogError) -> ArchivedHead? {
        while let (rows, _) = heap.first {
            guard rows.hasPrefix else { return nil }
            let end = rows.end(below: heap[1..<min(3, heap.count)])
            if end == rows.row {
                // An older archive has a row of this run, too.
                let head = rows.head(rows.row, filter)
                try passOver(rows)
                if let head { return head }
            } else if let row = rows.columns.firstFitting(rows.row..<end, filter, rows.numbers) {
                let head = rows.head(row, filter)
                try advance(0, to: row + 1)
                return head
            } else {
                try advance(0, to: end)
            }
        }
        return nil
    }

    /// Passes over the first row, and over the older rows of the same run.
    private mutating func passOver(_ first: HotRows) throws(LogError) {
        // The older ones first, while the newest still has its name.
        while true {
            let children = 1..<min(3, heap.count)
            guard
                let child = children.first(where: { isSame(heap[$0].rows, first) })
            else { break }
            try advance(child, to: heap[child].rows.row + 1)
        }
        try advance(0, to: first.row + 1)
    }

    private func isSame(_ a: HotRows, _ b: HotRows) -> Bool {
        a.columns.compare(a.row, with: b.columns, b.row) == 0
    }

    private mutating func advance(_ index: Int, to row: Int) throws(LogError) {
        try heap[index].rows.advance(to: row)
        if heap[index].rows.isOver {
            heap.swapAt(index, heap.count - 1)
            heap.removeLast()
            if index >= heap.count { return }
        }
        sink(index)
    }

    private mutating func sink(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count {
                if isBefore(heap[child], heap[least]) { least = child }
            }
            if least == index { return }
            heap.swapAt(index, least)
            index = least
        }
    }

    private func isBefore(
        _ a: (rows: HotRows, index: Int), _ b: (rows: HotRows, index: Int)
    ) -> Bool {
        let order = a.rows.columns.compare(a.rows.row, with: b.rows.columns, b.rows.row)
        return order != 0 ? order < 0 : a.index > b.index
    }
}
