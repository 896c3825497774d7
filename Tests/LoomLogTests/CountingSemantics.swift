import LoomFormat

@testable import LoomLog

/// Counts the events of each run: what they mean is the business of the layer above.
struct CountingSemantics: ArchiveSemantics {
    var summaryVersion: UInt32 { 7 }

    func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?
    ) -> any ArchiveSlice {
        let before = past.map { Self.count(in: $0.row.summary) } ?? 0
        return Slice(name: run.rawValue, before: before, count: before)
    }

    func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool { true }

    /// The count that a summary tells.
    static func count(in summary: [UInt8]) -> UInt64 {
        UInt64(String(decoding: summary, as: UTF8.self).prefix { $0 != " " }) ?? 0
    }

    struct Slice: ArchiveSlice {
        let name: String
        let before: UInt64
        var count: UInt64

        mutating func take(
            epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
        ) throws(LogError) {
            count += 1
            let progress = ArchiveProgress(
                counts: RowCountVector(steps: count), isWholeState: count % 10 == 1)
            try give(epoch, position, sequence, body, progress)
        }

        mutating func finish(give: Give) -> ArchivedRun? {
            var row = ArchivedRun()
            (row.status, row.loop) = (UInt8(count % 5), "loop \(count % 3)")
            row.labels = [("name", name)]
            row.countsBefore = RowCountVector(steps: before)
            row.summary = Array("\(count) events".utf8)
            row.calls = [
                .init(key: KeyFingerprint(kind: 1, key: Array("k".utf8)), start: 0, end: nil)
            ]
            return row
        }
    }
}

/// Knows nothing of events.
struct PlainSemantics: ArchiveSemantics {
    var summaryVersion: UInt32 { 7 }

    func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?
    ) -> any ArchiveSlice { Slice() }

    func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool { true }

    struct Slice: ArchiveSlice {
        mutating func take(
            epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
        ) throws(LogError) { try give(epoch, position, sequence, body, ArchiveProgress()) }

        mutating func finish(give: Give) -> ArchivedRun? { ArchivedRun() }
    }
}
