internal import LoomFormat
internal import LoomStorage

/// What a rewrite does to the events of runs, as it goes through them.
final class RewriteTally: Sendable {
    private let runs: Monitor<[RunID: RewrittenRun]>

    init() { runs = Monitor([:]) }

    /// The runs of which events change.
    var changed: [RunID: RewrittenRun] { runs.withLock { $0 } }
    var isEmpty: Bool { runs.withLock { $0.isEmpty } }

    func note(_ run: RunID, _ rewritten: RewrittenRun) {
        guard rewritten.goneCount > 0 || !rewritten.changed.isEmpty else { return }
        runs.withLock { $0[run, default: RewrittenRun()].add(rewritten) }
    }
}

/// Does what other semantics do, and compares what comes out with what went in.
struct MeasuringSemantics: ArchiveSemantics {
    let base: any ArchiveSemantics
    let tally: RewriteTally

    var summaryVersion: UInt32 { base.summaryVersion }

    func begin(
        _ run: RunID, after past: (any ArchivedPast)?, newest: [UInt8]?, rewriting own: [UInt8]?
    ) throws(LogError) -> any ArchiveSlice {
        let slice = try base.begin(run, after: past, newest: newest, rewriting: own)
        return MeasuringSlice(run: run, base: slice, tally: tally)
    }

    func leavesOut(_ summary: [UInt8]) -> Bool { base.leavesOut(summary) }

    func letsLeaveOut(_ body: RawSpan) -> Bool { base.letsLeaveOut(body) }

    func letsLeaveOut(kind: UInt8) -> Bool { base.letsLeaveOut(kind: kind) }

    func movesWhole(_ row: RunTableRow, newest: [UInt8]?) -> Bool {
        base.movesWhole(row, newest: newest)
    }

    func end(of row: RunTableRow) -> ArchivedEnd? { base.end(of: row) }
}

/// Compares each event that a slice gives with the one that it took.
private struct MeasuringSlice: ArchiveSlice {
    private let run: RunID
    private var base: any ArchiveSlice
    private let tally: RewriteTally
    private var comparison = RewriteComparison()

    var deletedEpoch: UInt64? { base.deletedEpoch }

    init(run: RunID, base: any ArchiveSlice, tally: RewriteTally) {
        (self.run, self.base, self.tally) = (run, base, tally)
    }

    var counts: RowCountVector { base.counts }

    mutating func pass(
        epoch: UInt64, position: UInt64, _ head: EventHead, _ body: RawSpan
    ) -> Bool? {
        guard
            let isWholeState = base.pass(epoch: epoch, position: position, head, body)
        else { return nil }
        comparison.take(body)
        comparison.give(body)
        return isWholeState
    }

    mutating func take(
        epoch: UInt64, position: UInt64, sequence: UInt64, _ body: RawSpan, give: Give
    ) throws(LogError) {
        // One owner, so that nothing is copied.
        var comparison = RewriteComparison()
        swap(&comparison, &self.comparison)
        comparison.take(body)
        try base.take(epoch: epoch, position: position, sequence: sequence, body) {
            (epoch, position, sequence, body, progress) throws(LogError) in
            comparison.give(body)
            try give(epoch, position, sequence, body, progress)
        }
        swap(&comparison, &self.comparison)
    }

    mutating func finish(give: Give) throws(LogError) -> ArchivedRun? {
        var comparison = self.comparison
        let row = try base.finish {
            (epoch, position, sequence, body, progress) throws(LogError) in
            comparison.give(body)
            try give(epoch, position, sequence, body, progress)
        }
        tally.note(run, comparison.finished())
        return row
    }
}

/// The events that a slice took, beside those that it gave.
private struct RewriteComparison {
    /// An event that was taken and not given yet.
    private struct Taken {
        let hash: UInt64
        let kind: UInt8
    }

    private var waiting: [Taken] = []
    /// How many of those were given.
    private var given = 0
    private var sum = RewrittenRun()
    /// How many events of each kind were taken.
    private var kinds: [UInt8: UInt64] = [:]
    private var gaveSome = false

    /// A slice that gives none of so many gives none at all: then nothing waits any more.
    private static let waitingMax = 1 << 20

    mutating func take(_ body: RawSpan) {
        var reader = ByteReader(body)
        let kind = (try? reader.readUInt8()) ?? 0
        sum.eventCount += 1
        sum.bytesBefore += UInt64(body.byteCount)
        kinds[kind, default: 0] += 1
        if waiting.count < Self.waitingMax {
            waiting.append(Taken(hash: BlockHash.hash(body), kind: kind))
        }
    }

    mutating func give(_ body: RawSpan) {
        gaveSome = true
        sum.bytesAfter += UInt64(body.byteCount)
        guard given < waiting.count else { return }
        let taken = waiting[given]
        if taken.hash != BlockHash.hash(body) { sum.changed[taken.kind, default: 0] += 1 }
        given += 1
        if given == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            given = 0
        }
    }

    /// What came of all of them: a slice gives as many as it takes, or none.
    mutating func finished() -> RewrittenRun {
        if !gaveSome { (sum.changed, sum.goneCount) = (kinds, sum.eventCount) }
        return sum
    }
}
