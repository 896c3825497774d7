import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomStorage
import SystemPackage
import Testing

@testable import LoomRuns

/// Runs that are taken out of a log and put into another one: as a file, and as lines of JSON.
@Suite(.timeLimit(.minutes(5))) struct TransferTests {
    let folder: FilePath
    private var log: FilePath { folder.appending("from.loom") }

    init() throws {
        folder = FilePath(NSTemporaryDirectory()).appending("transfer-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            atPath: folder.string, withIntermediateDirectories: true)
    }

    /// A log of random runs, each in units as its epochs have them.
    private func makeLog(_ seeds: ClosedRange<UInt64>) throws -> [RandomRun] {
        let runs = try seeds.map { try RandomRun("run \($0)", seed: $0, count: 80) }
        let writer = try LogWriter(path: log, options: LogOptions(durability: .off))
        for run in runs {
            for event in run.events {
                var unit = RecordUnit(
                    run: run.run, epoch: event.place.epoch, position: event.place.position)
                unit.append(event.body)
                try writer.append(unit)
            }
        }
        try writer.close()
        return runs
    }

    /// Everything that a reader says of a run, but where in a log it is.
    private func answers(_ run: RunID, _ reader: RunReader) throws -> [AnyHashable] {
        var answers: [AnyHashable] = [
            try reader.get(run), try reader.stats(run), try reader.explain(run),
        ]
        answers += try reader.history(run).map { AnyHashable($0) }
        answers += try reader.attempts(run).map { AnyHashable($0) }
        answers += try reader.toolCalls(run).map { AnyHashable($0) }
        return answers
    }

    private func events(_ run: RunID, _ reader: RunReader) throws -> [StoredEvent] {
        var cursor = try reader.source.events([RunPart(run)])
        var events: [StoredEvent] = []
        while let event = try cursor.next() {
            events.append(StoredEvent(run: event.run, place: event.place, body: event.body))
        }
        return events
    }

    private func check(_ runs: [RandomRun], _ path: FilePath, exactly: Bool) throws {
        let (before, after) = (try RunReader(path: log), try RunReader(path: path))
        for run in runs {
            let (old, new) = (try events(run.run, before), try events(run.run, after))
            let wasRunning = run.outline.summary.status == .running
            #expect(new.count == old.count + (wasRunning ? 1 : 0))
            #expect(new.map(\.place).starts(with: old.map(\.place)))
            if exactly { #expect(new.starts(with: old)) }
            if wasRunning {
                #expect(try after.get(run.run).summary.status == .paused)
            } else {
                #expect(try answers(run.run, before) == answers(run.run, after))
            }
        }
    }

    private func importing(
        to path: FilePath, as name: String? = nil, _ body: (inout RunImport) throws -> Void
    ) throws -> [ImportedRun] {
        let store = try LogRunStore(path: path, options: LogOptions(durability: .off))
        defer { try? store.close() }
        var runs = RunImport(into: store, as: try name.map { try RunID($0) })
        try body(&runs)
        try runs.finish()
        return runs.runs
    }

    @Test("a file of runs gives the same events and answers in another log, once")
    func file() throws {
        let runs = try makeLog(1...25)
        let reader = try LogReader(path: log)
        let export = try RunExport(runs.map(\.run).shuffled(), from: RunReader(log: reader))
        let path = folder.appending("runs.loomrun")
        let written = try export.write(to: path, storeID: reader.storeID)
        #expect(written.eventCount == UInt64(runs.reduce(0) { $0 + $1.events.count }))
        #expect(throws: (any Error).self) {
            try export.write(to: path, storeID: reader.storeID)
        }
        let target = folder.appending("to.loom")
        let imported = try importing(to: target) { try RunTransfer.read(path, into: &$0) }
        #expect(imported.count { !$0.wasThere } == 25)
        try check(runs, target, exactly: true)
        let again = try importing(to: target) { try RunTransfer.read(path, into: &$0) }
        #expect(again.count { $0.wasThere } == 25)
        try check(runs, target, exactly: true)
        // Into the log that it came from: what was running is there as it was, and more would come.
        #expect(throws: RunImportError.severalRuns) {
            try importing(to: target, as: "one") { try RunTransfer.read(path, into: &$0) }
        }
    }

    /// Its events had the epochs of the deleted run: they were passed over by every read, and the
    /// import said that all was well.
    @Test("a run that was exported and deleted comes back")
    func deleted() async throws {
        let runs = try makeLog(60...75).filter { $0.outline.summary.status == .completed }
        try #require(!runs.isEmpty)
        let reader = try LogReader(path: log)
        let export = try RunExport(runs.map(\.run), from: RunReader(log: reader))
        let path = folder.appending("runs.loomrun")
        _ = try export.write(to: path, storeID: reader.storeID)
        let target = folder.appending("to.loom")
        _ = try importing(to: target) { try RunTransfer.read(path, into: &$0) }
        for round in 1...3 {
            let store = try LogRunStore(path: target, options: LogOptions(durability: .off))
            let rules = RetentionRules([RetentionRule(RunSelection(), .delete)])
            let report = try await store.compact(
                CompactionRequest(rules, removesAtOnce: round == 2))
            #expect(report.deletedCount == runs.count)
            try store.close()
            let gone = try RunReader(path: target)
            for run in runs {
                #expect(throws: RunReadError.self) { try gone.get(run.run) }
            }
            let imported = try importing(to: target) { try RunTransfer.read(path, into: &$0) }
            #expect(imported.allSatisfy { !$0.wasThere }, "round \(round)")
            let again = try importing(to: target) { try RunTransfer.read(path, into: &$0) }
            #expect(again.allSatisfy { $0.wasThere }, "round \(round)")
            let (before, after) = (try RunReader(path: log), try RunReader(path: target))
            for run in runs {
                // But for `get` and `explain`, which tell the epoch.
                let told = try answers(run.run, before).dropFirst(3)
                #expect(try told == answers(run.run, after).dropFirst(3))
                #expect(
                    try events(run.run, before).map(\.body) == events(run.run, after).map(\.body))
            }
        }
    }

    @Test("lines of JSON give the same states and answers in another log")
    func lines() throws {
        let runs = try makeLog(30...50)
        let export = try RunExport(runs.map(\.run), from: RunReader(path: log))
        var lines: [[UInt8]] = []
        try export.writeLines { lines.append($0.canonicalBytes) }
        let target = folder.appending("to.loom")
        _ = try importing(to: target) { imported in
            var reader = RunLineImport()
            for line in lines { try reader.take(line, into: &imported) }
        }
        try check(runs, target, exactly: false)
        // And their lines are the same again.
        let other = try RunReader(path: target)
        for run in runs where run.outline.summary.status != .running {
            var again: [[UInt8]] = []
            try RunExport([run.run], from: other).writeLines { again.append($0.canonicalBytes) }
            var first: [[UInt8]] = []
            try RunExport([run.run], from: RunReader(path: log))
                .writeLines { first.append($0.canonicalBytes) }
            #expect(again == first)
        }
    }

    @Test(
        "a name that exists is refused, an import that was cut goes on, another name may be given")
    func names() throws {
        let runs = try makeLog(60...61)
        let target = folder.appending("to.loom")
        let all = runs[0].events
        // The beginning of it, as a cut import of a large run leaves it.
        let writer = try LogWriter(path: target, options: LogOptions(durability: .off))
        for event in all.prefix(20) {
            var unit = RecordUnit(
                run: event.run, epoch: event.place.epoch, position: event.place.position)
            unit.append(event.body)
            try writer.append(unit)
        }
        try writer.close()
        let imported = try importing(to: target) { runs in for event in all { try runs.take(event) }
        }
        #expect(imported.first?.wasThere == false)
        try check([runs[0]], target, exactly: true)
        #expect(throws: RunImportError.runExists(runs[0].run)) {
            try importing(to: target) { imported in
                for event in runs[1].events {
                    try imported.take(
                        StoredEvent(run: runs[0].run, place: event.place, body: event.body))
                }
            }
        }
        try check([runs[0]], target, exactly: true)
        _ = try importing(to: target, as: "another") { imported in
            for event in all { try imported.take(event) }
        }
        #expect(try events(RunID("another"), RunReader(path: target)).count >= all.count)
    }

    @Test(
        "damage to a file is found before anything is imported, and no line of a wrong kind passes")
    func damage() throws {
        let runs = try makeLog(70...74)
        let reader = try LogReader(path: log)
        let path = folder.appending("runs.loomrun")
        _ = try RunExport(runs.map(\.run), from: RunReader(log: reader))
            .write(to: path, storeID: reader.storeID)
        let whole = [UInt8](try Data(contentsOf: URL(filePath: path.string)))
        var random = SystemRandomNumberGenerator()
        for _ in 0..<60 {
            var bytes = whole
            if Bool.random() {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] ^=
                    1 << UInt8.random(in: 0...7)
            } else {
                bytes.removeLast(Int.random(in: 1..<bytes.count))
            }
            try Data(bytes).write(to: URL(filePath: path.string))
            #expect(throws: LogError.self) {
                var checked = RunImport(into: nil)
                try RunTransfer.read(path, into: &checked)
            }
        }
        for line in [
            "", "[]", "{}", "{\"run\":\"a\"}", "nothing",
            "{\"run\":\"a\",\"position\":0,\"epoch\":1,\"time\":1,\"type\":\"created\"}",
            "{\"run\":\"a\",\"position\":0,\"epoch\":1,\"time\":1,\"type\":\"retried\"}",
            "{\"run\":\"a\",\"position\":0,\"epoch\":1,\"body_base64\":\"====\"}",
            "{\"run\":\"a\",\"position\":-1,\"epoch\":1,\"time\":1,\"type\":\"retried\"}",
        ] where !line.isEmpty {
            #expect(throws: (any Error).self, "\(line)") {
                var (reader, checked) = (RunLineImport(), RunImport(into: nil))
                try reader.take(Array(line.utf8), into: &checked)
            }
        }
    }
}
