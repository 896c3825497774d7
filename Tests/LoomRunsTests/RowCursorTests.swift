import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import SystemPackage
import Testing

/// Rows fetched one at a time, also while the log grows.
@Suite struct RowCursorTests {
    private let storage = SimulatedStorage()

    private func open() throws -> LogRunStore {
        var options = LogOptions()
        options.driver = .inline
        options.firstSegmentBytes = 64 << 10
        options.segmentBytesMax = 128 << 10
        return try LogRunStore(path: "/runs.loom", options: options, storage: storage)
    }

    private func reader() throws -> RunReader {
        try RunReader(path: "/runs.loom", storage: storage)
    }

    private static func state(_ number: Int, _ count: Int = 8) -> [UInt8] {
        Array("\"\(String(repeating: "\(number % 10)", count: count))\"".utf8)
    }

    /// A run that grew between the passes of one read would show rows of two moments.
    @Test("what is written after a read began is not in its rows")
    func consistent() async throws {
        let store = try open()
        var raw = try await RawRun("grows", in: store, state: Self.state(0))
        for step in 1...5 {
            try await raw.commit(
                Self.state(step), key: .explicit("\(step)"), result: Self.state(step))
        }
        let reader = try reader()
        var history = try reader.historyRows(raw.run)
        var attempts = try reader.attemptRows(raw.run)
        var calls = try reader.toolCallRows(raw.run)
        var runs = try reader.listRows()
        // With keys of the run, the first row has looked ahead to the present end.
        #expect(try calls.next()?.start.key == .explicit("1"))
        for step in 6...9 {
            try await raw.commit(
                Self.state(step), key: .explicit("\(step)"), result: Self.state(step))
        }
        _ = try await RawRun("new", in: store, state: Self.state(0))
        var steps: [UInt64] = []
        try history.forEach { row in
            steps.append(row.step)
            return true
        }
        #expect(steps == [0, 1, 2, 3, 4, 5])
        var count = 0
        while try attempts.next() != nil { count += 1 }
        #expect(count == 5)
        count = 1
        while try calls.next() != nil { count += 1 }
        #expect(count == 5)
        // A list has the runs of the moment that it began, each as it is when its row is fetched.
        let view = try runs.next()
        #expect(view?.run == raw.run && view?.state == Self.state(9))
        #expect(view?.summary.stepIndex == 9)
        #expect(try runs.next() == nil && runs.next() == nil)
        try store.close()
    }

    @Test("a body that has seen enough stops the read")
    func stops() async throws {
        let store = try open()
        var raw = try await RawRun("long", in: store, state: Self.state(0))
        for step in 1...20 { try await raw.commit(Self.state(step)) }
        var rows = try reader().historyRows(raw.run)
        var seen = 0
        try rows.forEach { _ in
            seen += 1
            return seen < 3
        }
        #expect(seen == 3)
        #expect(try rows.next()?.step == 3)
        #expect(rows.form.run == raw.run && rows.form.codec == "json")
        try store.close()
    }

    /// A later step that is answered from an earlier one changes the row of that one.
    @Test("a page of calls has what later steps made of them")
    func lateChanges() async throws {
        let store = try open()
        var raw = try await RawRun("keys", in: store, state: Self.state(0))
        let call = try await raw.write([.attemptStarted(AttemptID(step: 0, attempt: 0))]) + 1
        func start(_ name: String, _ key: ToolKey) -> RunEvent.Content {
            .toolStarted(
                ToolStart(
                    attempt: AttemptID(step: 0, attempt: 0), name: name, safety: .once, key: key,
                    request: Array("1".utf8)))
        }
        let result = Array("7".utf8)
        try await raw.write([
            start("kept", .explicit("k")),
            .toolFinished(ToolFinish(start: call, outcome: .completed(result: result))),
            start("open", .explicit("o")), start("own", .occurrence(0)),
            .toolFinished(ToolFinish(start: call + 3, outcome: .completed(result: result))),
        ])
        try await raw.endStep(Self.state(1))
        for step in 1...3 as ClosedRange<UInt64> {
            let attempt = AttemptID(step: step, attempt: 0)
            try await raw.write([
                .attemptStarted(attempt), .toolReused(attempt, finish: call + 1),
            ])
            try await raw.endStep(Self.state(Int(step)))
        }
        try await raw.write([
            .toolThrew(
                start: call + 2,
                Failure(message: "late", category: .unknown, isRetryable: false)),
            .toolFinished(ToolFinish(start: call + 2, outcome: .didNotHappen)), .paused(.budget),
            // Without an author, as the first versions wrote what a person said anew.
            .toolFinished(ToolFinish(start: call + 2, outcome: .completed(result: result))),
            .toolFinished(ToolFinish(start: call, outcome: .didNotHappen, by: .correction)),
        ])
        let reader = try reader()
        let rows = try reader.toolCalls(raw.run)
        #expect(rows.map(\.start.name) == ["kept", "open", "own"])
        #expect(rows.map(\.reuseCount) == [3, 0, 0])
        #expect(rows.map(\.status) == [.didNotHappen, .completed, .completed])
        #expect(rows.map(\.result) == [nil, result, result])
        #expect(rows.map(\.author) == [.correction, .person, .tool])
        for (index, row) in rows.enumerated() {
            #expect(try reader.toolCalls(raw.run, limit: 1, offset: index) == [row])
        }
        try store.close()
    }

    /// Runs that overlap, ended or not, damaged or not, in a batch each.
    @Test("a list has the same rows, however few states it holds at once")
    func batches() async throws {
        let store = try open()
        var raws: [RawRun] = []
        for number in 0..<9 {
            raws.append(
                try await RawRun("run-\(number)", in: store, state: Self.state(number, 5000)))
        }
        for step in 1...6 {
            for index in raws.indices where index != 4 {
                try await raws[index].commit(
                    Self.state(step + index, 5000), key: .explicit("\(step)"),
                    result: Self.state(step, 2000))
            }
        }
        // One ends; of another a delta does not fit, of another the end of an event is missing.
        try await raws[1].write([
            .attemptStarted(AttemptID(step: 6, attempt: 0)),
            .runCompleted(AttemptID(step: 6, attempt: 0), result: Self.state(9, 3000)),
        ])
        let attempt = AttemptID(step: 6, attempt: 0)
        let delta = StateDelta.encode(
            from: [UInt8](repeating: 1, count: 64), to: [UInt8](repeating: 1, count: 65))
        try await raws[2].write([
            .attemptStarted(attempt), .stepCommitted(attempt, delta: delta),
        ])
        try await raws[3].write(raw: [1, 1, 9])
        try await raws[5].write([
            .snapshot(step: 6, state: Self.state(3, 40)), .labelled([Label(name: "a", value: "b")]),
        ])
        try store.close()
        let reader = try reader()
        let all = try reader.list()
        #expect(all.map(\.run) == raws.map(\.run))
        for (index, view) in all.enumerated() {
            #expect(view.isInterrupted == (index != 1))
            #expect((view.readError != nil) == [2, 3].contains(index), "\(view.run)")
            guard view.readError == nil else {
                #expect(throws: RunReadError.self) { try reader.get(view.run) }
                continue
            }
            #expect(try reader.get(view.run) == view)
        }
        #expect(all[5].state == Self.state(3, 40))
        for count in [1, 2, 4] {
            let rows = try reader.listRows(RunFilter(), limit: nil, offset: 0, pageCount: count)
            #expect(try rows.all() == all)
        }
        #expect(try reader.list(limit: 2, offset: 4) == Array(all[4...5]))
        var filter = RunFilter()
        filter.status = "damaged"
        #expect(try reader.list(filter).map(\.run) == [raws[2].run, raws[3].run])
        filter.status = "completed"
        #expect(try reader.list(filter) == [all[1]])
    }

    @Test("a tail begins with the last events, wherever they are, and goes on")
    func tails() async throws {
        let store = try open()
        var raw = try await RawRun("followed", in: store, state: Self.state(0))
        var other = try await RawRun("other", in: store, state: Self.state(0))
        for step in 1...20 {
            try await raw.commit(Self.state(step), result: RawRun.noise(step, 16_000))
            try await other.commit(Self.state(step))
        }
        // Of a kind of a later version: neither shown nor counted.
        try await raw.write(raw: [99, 1])
        let reader = try reader()
        #expect(try LogReader(path: "/runs.loom", storage: storage).overview().segmentCount > 2)
        func sequences(_ tail: inout RunTail) throws -> [UInt64] {
            var found: [UInt64] = []
            while let rows = try tail.next() { found += rows.map(\.sequence) }
            return found
        }
        for run in [nil, raw.run, other.run] {
            var whole = try reader.tail(run)
            var all = try sequences(&whole)
            #expect(all.count > 40)
            for count in [-1, 0, 1, 7, all.count - 1, all.count, .max] {
                var tail = try reader.tail(run, last: count)
                #expect(try sequences(&tail) == all.suffix(max(0, count)), "\(count)")
                if count == 7 {
                    try await raw.commit(Self.state(1))
                    try await other.commit(Self.state(1))
                    let later = try sequences(&tail)
                    #expect(later == (try sequences(&whole)))
                    #expect(!later.isEmpty)
                    all += later
                }
            }
        }
        let nobody = try RunID("nobody")
        #expect(throws: RunReadError.unknownRun(nobody)) { try reader.tail(nobody, last: 1) }
        #expect(throws: RunReadError.unknownRun(nobody)) {
            _ = try reader.toolCalls(nobody)
        }
        try store.close()
    }
}
