import LoomFormat
import LoomModel
import LoomRunner
import LoomStorage
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomRuns

/// What reviewers found in deletion and compaction.
@Suite(.timeLimit(.minutes(5))) struct ReviewedRewriteTests {
    private let storage = SimulatedStorage(seed: 41)

    private let options = LogOptions.archivingRuns(segmentBytes: 64 << 10)

    /// What a run begins with.
    private let begin: [RunEvent.Content] = [
        .created(RunCreation(loop: "raw", state: [0x31])), .resumed(holder: "h"),
    ]

    private func unit(
        _ contents: [RunEvent.Content], at position: UInt64, epoch: UInt64
    ) throws -> RecordUnit {
        var unit = RecordUnit(run: try RunID("r"), epoch: epoch, position: position)
        for content in contents {
            unit.append(RunEvent(time: EventTime(microseconds: 1), content).encoded())
        }
        return unit
    }

    /// A run that is archived, and deleted behind that.
    private func writeDeleted(to writer: LogWriter) throws {
        try writer.append(try unit(begin + [.cancelled(reason: "")], at: 0, epoch: 1))
        _ = try writer.compact()
        try writer.append(try unit([.deleted], at: 3, epoch: 2))
    }

    /// Archives what was appended, and does nothing else: as an archiver does it.
    private func archive(_ writer: LogWriter) {
        writer.core.monitor.withLock { $0.isRolling = true }
        writer.runTimers()
        writer.runTimers()
    }

    /// The epochs of all events that a list of the whole log tells.
    private func epochs() throws -> [UInt64] {
        let source = try LogRunSource(path: "/a.loom", storage: storage)
        var (tail, epochs) = (try source.tail(of: nil, last: nil), [UInt64]())
        while let unit = try tail.next() { epochs += unit.map(\.event.place.epoch) }
        return epochs
    }

    /// The check of an archive before it is listed took them for missing: the segment stayed live
    /// for good, and so did every later one.
    @Test("a late event of a deleted run is passed over, and is in nobody's way", arguments: 0..<3)
    func lateEvents(kind: Int) throws {
        let late = try unit([.labelled([])], at: kind == 0 ? 5 : 0, epoch: 1)
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        try writer.append(try unit(begin + [.cancelled(reason: "")], at: 0, epoch: 1))
        if kind == 2 { _ = try writer.compact() }
        try writer.append(try unit([.deleted], at: 3, epoch: 2))
        try writer.append(try unit(begin, at: 0, epoch: 3))
        try writer.append(late)
        try writer.append(try unit([.paused(.budget)], at: 2, epoch: 3))
        let reader = try RunReader(path: "/a.loom", storage: storage)
        let (run, known) = (try RunID("r"), try reader.get(RunID("r")))
        #expect(known.summary.status == .paused && known.state == [0x31])
        _ = try writer.compact()
        for reader in [reader, try RunReader(path: "/a.loom", storage: storage)] {
            #expect(try reader.get(run) == known)
            #expect(try reader.verify(run).notes.isEmpty)
        }
        _ = try writer.reindex(onlyDamaged: false)
        #expect(try RunReader(path: "/a.loom", storage: storage).get(run) == known)
        try writer.close()
    }

    /// Its row lost the epoch: a list of all events told those of the deleted run again, and no
    /// compaction left them out of older archives any more.
    @Test("a name that began anew stays so when tables are made anew")
    func reindexed() throws {
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        try writeDeleted(to: writer)
        try writer.append(try unit(begin, at: 0, epoch: 3))
        archive(writer)
        let run = try RunID("r")
        #expect(try epochs() == [3, 3])
        let known = try RunReader(path: "/a.loom", storage: storage).get(run)
        let archives = writer.core.manifests.manifest.segments.prefix { $0.role == .archive }
        #expect(archives.count == 2)
        _ = try writer.reindex(onlyDamaged: false)
        #expect(try epochs() == [3, 3])
        #expect(try RunReader(path: "/a.loom", storage: storage).get(run) == known)
        _ = try writer.compact(CompactionOrder(endsSegment: false))
        var stored = 0
        try LogReader(path: "/a.loom", storage: storage).scan { _ in stored += 1 }
        #expect(stored == 2)
        try writer.close()
    }

    /// Of a run with an event that this version does not know, the row was as if it told nothing.
    @Test("a list of all events has none of a deleted run, whatever began anew under its name")
    func unknownKinds() throws {
        let writer = try LogWriter(path: "/a.loom", options: options, storage: storage)
        try writeDeleted(to: writer)
        var anew = try unit(begin, at: 0, epoch: 3)
        anew.append([200, 1])
        try writer.append(anew)
        archive(writer)
        #expect(writer.core.manifests.manifest.segments.count { $0.role == .archive } == 2)
        #expect(try epochs() == [3, 3])
        try writer.close()
    }

    /// A run that is completed.
    private func complete(_ name: String, in store: LogRunStore) async throws {
        var run = try await RawRun(name, in: store, state: [0x31])
        for word in 0..<4 as Range<UInt8> { try await run.commit([word]) }
        let last = AttemptID(step: 4, attempt: 0)
        try await run.write([.attemptStarted(last), .runCompleted(last, result: [0x32])])
        await run.release()
    }

    /// Both changes of a run were made at a time: one met the other as its holder, and was skipped.
    @Test("a run that two rules are about gets what both do to it, and is told once")
    func twoRules() async throws {
        let store = try LogRunStore(path: "/a.loom", options: options, storage: storage)
        for number in 0..<30 { try await complete("r\(number)", in: store) }
        let thin = RetentionRule(RunSelection(), .setPolicy(.interval(2)))
        let thinner = RetentionRule(RunSelection(), .setPolicy(.compact))
        let first = try await store.compact(CompactionRequest(RetentionRules([thin, thinner])))
        #expect(first.policyCount == 30 && first.skippedCount == 0)
        let row = try #require(try store.row(of: RunID("r7")))
        #expect(row.outline.policies.changes.map(\.policy) == [.full, .interval(2), .compact])
        let thinnest = RetentionRule(RunSelection(), .setPolicy(.interval(4)))
        let all = RetentionRules([thinnest, RetentionRule(RunSelection(), .delete)])
        let forecast = try CompactionForecast(
            store.reader, all, now: EventTime(microseconds: 1 << 50))
        #expect(forecast.runs.count == 30 && forecast.runs.allSatisfy(\.isDeleted))
        let second = try await store.compact(CompactionRequest(all))
        #expect(second.deletedCount == 30 && second.skippedCount == 0 && second.policyCount == 0)
        #expect(try RunReader(log: store.reader).list().isEmpty)
        try store.close()
    }

    /// Only the status was compared, which another run of the name has, too.
    @Test("a run that is another by the time a rule comes to it is left alone")
    func anotherRun() async throws {
        let store = try LogRunStore(path: "/a.loom", options: options, storage: storage)
        for number in 0..<80 { try await complete("r\(100 + number)", in: store) }
        let rules = RetentionRules([RetentionRule(RunSelection(), .delete)])
        let run = try RunID("r179")
        let began = Monitor(false)
        let report = try await store.compact(CompactionRequest(rules)) { _ in
            let isFirst = began.withLock { value in
                defer { value = true }
                return !value
            }
            guard isFirst else { return }
            let done = Monitor(false)
            Task {
                try? await RunControl(store: store).delete(run)
                try? await complete("r179", in: store)
                done.withLock { $0 = true }
                done.notifyAll()
            }
            done.wait { $0 ? .finish(()) : .wait(until: nil) }
        }
        #expect(report.deletedCount == 79 && report.skippedCount == 1)
        #expect(try RunReader(log: store.reader).list().map(\.run) == [run])
        try store.close()
    }
}
