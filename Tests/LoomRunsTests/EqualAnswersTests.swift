import Foundation
import LoomFormat
import LoomModel
import LoomTesting
import Testing

@testable import LoomRuns

/// A log answers every read alike, whatever became of its files: ended, archived, merged, indexed
/// anew, and in the middle of it. Issue 12, Proof.
///
/// The answers to compare with come from a list of what was written, which has no index.
/// LOOMLOG_HEAVY=1 makes more stores (Tools/prove), LOOMLOG_SEED=7 that of one seed.
@Suite(.timeLimit(.minutes(60))) struct EqualAnswersTests {
    private static let environment = ProcessInfo.processInfo.environment
    static let isHeavy = environment["LOOMLOG_HEAVY"] != nil
    private static let seeds: Range<UInt64> =
        if let seed = UInt64(environment["LOOMLOG_SEED"] ?? "") {
            seed..<(seed + 1)
        } else {
            // In a debug build two short ones: a long one takes half a minute there.
            isHeavy ? 0..<1000 : 2..<4
        }

    /// A reader, and when it began.
    private typealias Reader = (name: String, runs: RunReader)

    private func compare(
        _ readers: [Reader], _ queries: [(query: RunQuery, answer: Answer)], _ stage: String
    ) {
        for (name, runs) in readers {
            for (query, answer) in queries {
                let found = query.answer(runs)
                guard found != answer else { continue }
                Issue.record(
                    "\(stage), \(name): \(query.name)\n\(found.difference(from: answer))")
                return
            }
        }
    }

    private func answered(
        _ queries: [RunQuery], _ listed: ListedEvents
    ) -> [(query: RunQuery, answer: Answer)] {
        let runs = RunReader(source: listed)
        return queries.map { ($0, $0.answer(runs)) }
    }

    /// Writes everything, with some archiving and merging and some reads between.
    private func write(
        _ store: RewrittenStore, _ queries: inout RunQueries, _ seed: UInt64
    ) throws -> [Reader] {
        var readers: [Reader] = [("one of the beginning", try store.reader())]
        var count = 0
        while try store.write() {
            count += 1
            if store.chance(8) { store.archive(rolls: store.chance(2)) }
            if store.chance(30) { try store.merge() }
            if store.chance(40) { try store.reindex() }
            if store.chance(40) { readers.append(("one of write \(count)", try store.reader())) }
            guard store.chance(12) else { continue }
            compare(
                readers.suffix(3), answered(queries.some(8), store.listed),
                "seed \(seed), write \(count)")
        }
        return [readers[0]] + readers.dropFirst().suffix(2)
    }

    private func check(_ seed: UInt64) throws {
        let store = try RewrittenStore(seed: seed, isLong: Self.isHeavy || seed % 4 == 0)
        var queries = RunQueries(random: SeededGenerator(seed ^ 77), listed: store.listed)
        var readers = try write(store, &queries, seed)
        let asked = answered(queries.all(pages: Self.isHeavy ? 4 : 2), store.listed)
        let stages: [(String, () throws -> Void)] = [
            ("written", {}), ("archived", { store.archive(rolls: true) }),
            ("merged", { for _ in 0..<3 { try store.merge() } }),
            ("indexed anew", store.reindexAll),
            ("merged into one", store.mergeAll), ("swept", { store.archive(rolls: false) }),
            ("closed", store.close),
        ]
        for (name, rewrite) in stages {
            let stage = "seed \(seed), \(name)"
            let run = store.listed.names.filter { run in
                (try? store.listed.row(of: run)).flatMap { $0 }?.readError == .some(nil)
            }.randomElement(using: &store.random)
            let reader = readers.randomElement(using: &store.random)?.runs
            guard let run, let reader else {
                try rewrite()
                continue
            }
            var cursors = try OpenCursors.open(
                reader, run, store.listed, count: Int.random(in: 0...9, using: &store.random))
            try rewrite()
            if let problem = try store.problem() { Issue.record("\(stage): \(problem)") }
            if let problem = try cursors.problem() { Issue.record("\(stage): \(problem)") }
            readers.append((name, try store.reader()))
            compare([readers[0]] + readers.suffix(2), asked, stage)
        }
    }

    @Test("every read answers alike, before and after every rewrite", arguments: seeds)
    func answers(seed: UInt64) throws { try check(seed) }
}

/// Cursors over one run that are opened before a rewrite, and drained after it.
private struct OpenCursors: ~Copyable {
    private let run: RunID
    private let expected: RunReader
    private let hides: Bool
    private var history: RunRows<HistoryRow>
    private var attempts: RunRows<AttemptRow>
    private var calls: RunRows<ToolCallRow>
    private var list: RunList
    private var tail: any RunEventTail
    private var states: [HistoryRow] = []
    private var tries: [AttemptRow] = []
    private var callRows: [ToolCallRow] = []
    private var names: [RunID] = []
    private var events: [StoredEvent] = []

    private init(
        _ run: RunID, _ listed: ListedEvents, history: consuming RunRows<HistoryRow>,
        attempts: consuming RunRows<AttemptRow>, calls: consuming RunRows<ToolCallRow>,
        list: consuming RunList, tail: any RunEventTail
    ) {
        (self.run, expected, self.tail) = (run, RunReader(source: listed), tail)
        hides = listed.hides(run)
        self.history = history
        self.attempts = attempts
        self.calls = calls
        self.list = list
    }

    /// - Parameter count: How many rows are fetched before.
    static func open(
        _ reader: RunReader, _ run: RunID, _ listed: ListedEvents, count: Int
    ) throws -> OpenCursors {
        var cursors = OpenCursors(
            run, listed, history: try reader.historyRows(run),
            attempts: try reader.attemptRows(run), calls: try reader.toolCallRows(run),
            list: try reader.listRows(RunFilter(), limit: nil, offset: 0, pageCount: 3),
            tail: try reader.source.tail(of: run, last: nil))
        for _ in 0..<count { try cursors.fetch() }
        return cursors
    }

    private mutating func fetch() throws {
        if let row = try history.next() { states.append(row) }
        if let row = try attempts.next() { tries.append(row) }
        if let row = try calls.next() { callRows.append(row) }
        if names.count < 3, let row = try list.next() { names.append(row.run) }
        events += try tail.next()?.map(\.event) ?? []
    }

    mutating func problem() throws -> String? {
        while let row = try history.next() { states.append(row) }
        while let row = try attempts.next() { tries.append(row) }
        while let row = try calls.next() { callRows.append(row) }
        while let row = try list.next() { names.append(row.run) }
        while let unit = try tail.next() { events += unit.map(\.event) }
        if try states != expected.history(run) { return "states of \(run)" }
        if try tries != expected.attempts(run) { return "attempts of \(run)" }
        if try callRows != expected.toolCalls(run) { return "tool calls of \(run)" }
        if try names != expected.list().map(\.run) { return "the list" }
        var (wanted, known) = (try expected.source.tail(of: run, last: nil), [StoredEvent]())
        while let unit = try wanted.next() { known += unit.map(\.event) }
        func kept(_ events: [StoredEvent]) -> [KeptBytes] {
            events.map { KeptBytes($0.body, hides: hides) }
        }
        if kept(events) == kept(known) { return nil }
        let same = zip(kept(events), kept(known)).prefix { $0 == $1 }.count
        return "the tail of \(run): \(events.count) events of \(known.count), another at \(same)"
    }
}
