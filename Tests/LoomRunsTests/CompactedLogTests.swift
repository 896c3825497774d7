import Foundation
import LoomFormat
import LoomModel
import LoomRunner
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomRuns

/// Runs in a log that is compacted: every answer stays, and what is hidden or deleted is gone.
@Suite(.timeLimit(.minutes(10))) struct CompactedLogTests {
    /// Runs dealt at random, with events that take turns in the log.
    private func write(
        _ runs: [RandomRun], to writer: LogWriter, _ random: inout SeededGenerator
    ) throws {
        var next = runs.map { _ in 0 }
        var open = Array(runs.indices)
        while !open.isEmpty {
            let chosen = Int.random(in: 0..<open.count, using: &random)
            let index = open[chosen]
            let events = runs[index].events
            let place = events[next[index]].place
            var unit = RecordUnit(
                run: runs[index].run, epoch: place.epoch, position: place.position)
            let count = Int.random(in: 1...4, using: &random)
            while next[index] < events.count, unit.eventCount < count,
                events[next[index]].place.epoch == place.epoch
            {
                unit.append(events[next[index]].body)
                next[index] += 1
            }
            try writer.append(unit)
            if next[index] == events.count { open.remove(at: chosen) }
            if Int.random(in: 0..<100, using: &random) == 0 { writer.runTimers() }
        }
    }

    /// Every answer about some runs.
    private func answers(_ reader: RunReader, _ runs: [RunID]) throws -> [AnyHashable] {
        var answers = try reader.list().map { AnyHashable($0) }
        for run in runs {
            do {
                let view = try reader.get(run)
                answers += [
                    view, try reader.explain(run), try reader.stats(run),
                    try reader.verify(run).notes, try reader.toolCalls(run),
                ]
                answers += try reader.history(run).map { AnyHashable($0) }
                answers += try reader.attempts(run).map { AnyHashable($0) }
                answers += try reader.history(run, limit: 3, offset: 2).map { AnyHashable($0) }
                for step in 0...view.summary.stepIndex where step % 3 == 0 {
                    do {
                        answers.append(try reader.state(run, at: step))
                    } catch let error as RunReadError {
                        answers.append("\(error)")
                    }
                }
            } catch let error as RunReadError {
                answers.append("\(run): \(error)")
            }
        }
        return answers
    }

    private func reader(_ storage: SimulatedStorage) throws -> RunReader {
        try RunReader(path: "/a.loom", storage: storage)
    }

    /// Sequences, runs and positions of all events.
    private func places(_ storage: SimulatedStorage) throws -> [LogEvent] {
        var events: [LogEvent] = []
        try LogReader(path: "/a.loom", storage: storage).scan { events.append($0) }
        return events
    }

    private func checkSame(_ before: [AnyHashable], _ after: [AnyHashable], _ words: String) {
        #expect(before.count == after.count, "\(words)")
        for (old, new) in zip(before, after) where old != new {
            Issue.record("\(words): \(new), not \(old)")
            return
        }
    }

    @Test(
        "every answer is the same after compacting, and no event is missing",
        arguments: 0..<(EqualAnswersTests.isHeavy ? 4 : 2))
    func answersStay(seed: Int) throws {
        var random = SeededGenerator(UInt64(seed))
        let storage = SimulatedStorage(seed: UInt64(seed))
        let runs = try (0..<(EqualAnswersTests.isHeavy ? 20 : 12)).map { number in
            try RandomRun(
                "run \(number)", seed: UInt64(seed * 100 + number), count: 90,
                oddities: number % 5 == 0 ? .extraSnapshots : [])
        }
        let names = runs.map(\.run)
        let writer = try LogWriter(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 64 << 10), storage: storage)
        try write(runs, to: writer, &random)
        let old = try reader(storage)
        let known = try answers(old, names)
        let events = try places(storage)
        // A reader that began before goes on with what it has.
        var cursor = try LogReader(path: "/a.loom", storage: storage).cursor()
        _ = try cursor.nextUnit()
        for round in 0..<3 {
            let result = try writer.compact(CompactionOrder(removesAtOnce: round == 0))
            #expect(round == 0 ? result.rewritten > 0 : result.rewritten == 0)
            checkSame(known, try answers(try reader(storage), names), "round \(round)")
            checkSame(known, try answers(old, names), "round \(round), a reader of before")
            let after = try places(storage)
            #expect(after.map(\.sequence) == events.map(\.sequence))
            #expect(after.map(\.position) == events.map(\.position))
            #expect(after.map(\.run) == events.map(\.run))
        }
        var rest = 0
        while let unit = try cursor.nextUnit() { rest += unit.count }
        #expect(rest > 0 && rest < events.count)
        _ = try writer.reindex(onlyDamaged: false)
        checkSame(known, try answers(try reader(storage), names), "with tables made anew")
        try writer.close()
        try LogWriter(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 64 << 10), storage: storage
        ).close()
        checkSame(known, try answers(try reader(storage), names), "opened again")
    }

    /// A completed run whose states are noise.
    private func noise(
        _ name: String, in store: LogRunStore, seed: UInt64, steps: Int = 12,
        policy: CheckpointPolicy = .full
    ) async throws -> [[UInt8]] {
        var noise = SeededGenerator(seed)
        func state() -> [UInt8] {
            Array((0..<600).map { _ in UInt8(truncatingIfNeeded: noise.next()) })
        }
        var states = [state()]
        var run = try await RawRun(name, in: store, state: states[0], policy: policy)
        for step in 0..<UInt64(steps) {
            let id = AttemptID(step: step, attempt: 0)
            states.append(state())
            let delta = StateDelta.encode(
                from: states[Int(step)], to: states[Int(step) + 1])
            try await run.write([.attemptStarted(id), .stepCommitted(id, delta: delta)])
        }
        let last = AttemptID(step: UInt64(steps), attempt: 0)
        try await run.write([.attemptStarted(last), .runCompleted(last, result: [0x31])])
        await run.release()
        return states
    }

    /// How many of some values stand in any file.
    private func found(
        _ values: [[UInt8]], in storage: SimulatedStorage, below folder: String = "/a.loom"
    ) throws -> Int {
        var files: [Data] = []
        for folder in [folder, folder + "/seg"] {
            for name in try storage.list(.init(folder)) {
                guard let file = try? storage.open(.init("\(folder)/\(name)"), for: .reading)
                else { continue }
                files.append(Data(try file.readBytes(count: file.size(), at: 0)))
                try file.close()
            }
        }
        return values.count { value in
            let part = Data(value[100..<140])
            return files.contains { $0.range(of: part) != nil }
        }
    }

    @Test("a deleted run is gone for reads and from files, and its name begins anew")
    func deletes() async throws {
        let storage = SimulatedStorage(seed: 3)
        let store = try LogRunStore(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 64 << 10), storage: storage)
        let kept = try await noise("kept", in: store, seed: 1, steps: 60)
        let secret = try await noise("secret", in: store, seed: 2, steps: 60)
        store.log.runTimers()
        _ = try await noise("other", in: store, seed: 4, steps: 60)
        store.log.runTimers()
        #expect(try found(secret, in: storage) == secret.count)
        let keptRun = try RunID("kept")
        let known = try answers(try reader(storage), [keptRun])
        let epoch = try #require(try store.row(of: RunID("secret"))?.outline.summary.epoch)
        var selection = RunSelection()
        selection.runs = [try RunID("secret")]
        let rules = RetentionRules([RetentionRule(selection, .delete)])
        let forecast = try CompactionForecast(
            store.reader, rules, now: EventTime(microseconds: 1 << 50))
        #expect(forecast.runs.map(\.run.rawValue) == ["secret"])
        #expect(forecast.runs[0].isDeleted && forecast.runs[0].bytesAfter == 0)
        let report = try await store.compact(CompactionRequest(rules, removesAtOnce: true))
        #expect(report.deletedCount == 1 && report.rewrittenCount > 1)
        #expect(try found(secret, in: storage) == 0)
        #expect(try found(kept, in: storage) == kept.count)
        let after = try answers(try reader(storage), [keptRun])
        #expect(after.suffix(known.count - 3) == known.suffix(known.count - 3))
        #expect(throws: RunReadError.self) { try reader(storage).get(RunID("secret")) }
        #expect(try reader(storage).list().map(\.run.rawValue) == ["kept", "other"])
        #expect(try await store.compact().rewrittenCount == 0)
        // Under a higher epoch, from its first position on.
        let again = try await noise("secret", in: store, seed: 5)
        let row = try #require(try store.row(of: RunID("secret")))
        #expect(row.outline.summary.epoch > epoch)
        _ = try await store.compact()
        let history = try reader(storage).history(RunID("secret")).map(\.state)
        #expect(history == again)
        try store.close()
        let reopened = try LogRunStore(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 64 << 10), storage: storage)
        #expect(try RunReader(log: reopened.reader).history(RunID("secret")).map(\.state) == again)
        let claim = try await reopened.claim(RunID("secret"), holder: "x")
        #expect(claim.epoch > row.outline.summary.epoch)
        try reopened.close()
    }

    @Test("the rules of a store are applied by itself when an archive was made")
    func retention() async throws {
        let folder = try TemporaryLog()
        var options = LogOptions.archivingRuns(segmentBytes: 64 << 10)
        options.driver = .threads
        let rules = RetentionRules([RetentionRule(RunSelection(), .setPolicy(.interval(20)))])
        let store = try LogRunStore(path: folder.path, options: options, retention: rules)
        var open = try await RawRun("open", in: store, state: [0x30])
        try await open.write([.attemptStarted(AttemptID(step: 0, attempt: 0))])
        for number in 0..<8 {
            _ = try await noise("run \(number)", in: store, seed: UInt64(number), steps: 60)
        }
        let reader = RunReader(log: store.reader)
        func policy(_ run: String) throws -> CheckpointPolicy? {
            try reader.get(RunID(run)).summary.policy
        }
        for _ in 0..<1000 {
            if try policy("run 0") == .interval(20) { break }
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(try policy("run 0") == .interval(20))
        #expect(try policy("open") == .full)
        await open.release()
        try store.close()
    }

    @Test("old runs get a stronger policy once, and the forecast is exact")
    func policies() async throws {
        let storage = SimulatedStorage(seed: 4)
        let store = try LogRunStore(
            path: "/a.loom", options: .archivingRuns(segmentBytes: 64 << 10), storage: storage)
        let states = try await noise("old", in: store, seed: 1, steps: 80)
        let hidden = try await noise("hidden", in: store, seed: 2, steps: 20, policy: .interval(40))
        var open = try await RawRun("open", in: store, state: [0x30])
        try await open.write([.attemptStarted(AttemptID(step: 0, attempt: 0))])
        _ = try await noise("more", in: store, seed: 3, steps: 80, policy: .interval(10))
        store.log.runTimers()
        _ = try await store.compact()
        let rules = RetentionRules([RetentionRule(RunSelection(), .setPolicy(.interval(20)))])
        let now = EventTime(microseconds: 1 << 50)
        let forecast = try CompactionForecast(store.reader, rules, now: now)
        #expect(forecast.runs.map(\.run.rawValue) == ["more", "old"])
        let run = forecast.runs[1]
        #expect(run.policy == .interval(20) && !run.isDeleted)
        #expect(run.bytesAfter < run.bytesBefore / 4 && forecast.bytesAfter < forecast.bytesBefore)
        let commits = run.events.first { $0.kind == "step_committed" }?.count ?? 0
        // All but those that are shown and the last ones of parts.
        #expect(commits > 65 && commits <= 76)
        let others = states.indices.filter { $0 % 20 != 0 }.map { states[$0] }
        #expect(try found(others, in: storage) == others.count)
        #expect(try found(Array(hidden[1..<20]), in: storage) <= 1)
        let report = try await store.compact(CompactionRequest(rules))
        #expect(report.policyCount == 2 && report.deletedCount == 0)
        // Besides the archive of the two events.
        let manifest = try ManifestStore(
            directory: LogDirectory(root: "/a.loom"), storage: storage
        ).load().manifest
        let archives = manifest.segments.filter { $0.role == .archive }
        #expect(archives.dropLast().reduce(0) { $0 + $1.validEnd } == forecast.bytesAfter)
        let history = try reader(storage).history(RunID("old"))
        #expect(try found(others, in: storage) < archives.count)
        #expect(history.map(\.step) == [0, 20, 40, 60, 80])
        #expect(history.map(\.state) == history.map { states[Int($0.step)] })
        let second = try await store.compact(CompactionRequest(rules))
        #expect(second.policyCount == 0 && second.rewrittenCount == 0)
        await open.release()
        try store.close()
    }
}
