import Foundation
import LoomFormat
import LoomInspect
import LoomLog
import LoomModel
import LoomStorage
import SystemPackage
import Testing

/// Whoever reads a log, by whatever path, judges it by the same rules (promise 12): the cursor, the
/// writer and the dump are held against each other on a corpus of damaged copies. The cases and
/// verdicts are left in .build/damage-corpus, where Tools/second-reader/check holds the Python
/// reader against them. LOOMLOG_HEAVY=1 flips every used byte.
@Suite struct DamageCorpusTests {
    private static let isHeavy = ProcessInfo.processInfo.environment["LOOMLOG_HEAVY"] != nil

    /// What a reader says of a copy.
    private struct Verdict: Equatable, CustomStringConvertible {
        var code: String
        var events = 0
        var file: FilePath?
        var offset: Int?

        static func == (a: Verdict, b: Verdict) -> Bool {
            a.code == b.code && a.events == b.events && a.file == b.file && a.offset == b.offset
        }

        var description: String {
            code == "ok"
                ? "ok, \(events) events" : "\(code) at \(file?.string ?? "-"):\(offset ?? -1)"
        }

        init(events: Int) { (code, self.events) = ("ok", events) }

        init(_ error: LogError) {
            code =
                switch error.code {
                case .corrupt: "corrupt"
                case .unsupportedVersion: "unsupported"
                case .notALog, .notFound: "not-a-log"
                default: "\(error)"
                }
            (file, offset) = (error.path, error.offset)
        }
    }

    private func read(_ storage: SimulatedStorage) -> Verdict {
        var count = 0
        do {
            try LogReader(path: DamagedStore.path, storage: storage).scan { _ in count += 1 }
            return Verdict(events: count)
        } catch let error as LogError {
            return Verdict(error)
        } catch {
            return Verdict(events: -1)
        }
    }

    /// Opens for writing, and says what a reader finds afterwards.
    private func write(_ storage: SimulatedStorage) -> (opening: Verdict, after: Verdict) {
        do throws(LogError) {
            let writer = try LogWriter(
                path: DamagedStore.path, options: DamagedStore.options, storage: storage)
            let events = Int(writer.position.nextSequence) - 1
            try writer.close()
            return (Verdict(events: events), read(storage))
        } catch {
            return (Verdict(error), read(storage))
        }
    }

    private func dump(_ storage: SimulatedStorage) -> (code: String, events: Int) {
        var events = 0
        var dump = LogDump(path: DamagedStore.path, storage: storage) { line in
            if case .object(let fields) = line, fields["type"] == .string("event") { events += 1 }
        }
        do throws(LogDump.Refusal) {
            try dump.run()
            return ("ok", events)
        } catch {
            return (error.code, 0)
        }
    }

    @Test(
        "reader, writer and dump agree on every damaged copy",
        arguments: DamagedStore.Exit.allCases, DamagedStore.MarkState.allCases)
    func agree(exit: DamagedStore.Exit, mark: DamagedStore.MarkState) throws {
        let store = try DamagedStore(exit, mark)
        let whole = read(store.storage.killImage(.everythingPending))
        #expect(whole == Verdict(events: store.eventCount))
        let active = try #require(
            store.files.keys.filter { $0.hasPrefix(FileName.segments) }.max())
        var counts: [String: Int] = [:]
        var cases: [String] = []
        for damage in store.damages(step: Self.isHeavy ? 1 : 23) {
            let copy = store.storage.killImage(.everythingPending)
            try damage.apply(to: copy, store.files[damage.file] ?? [])
            let seen = read(copy)
            let dumped = dump(copy)
            if dumped != (seen.code, seen.code == "ok" ? seen.events : 0) {
                Issue.record("\(damage): reader \(seen), dump \(dumped)")
            }
            check(damage, seen, write(copy), active: active)
            if let problem = silence(store, damage, seen) { Issue.record("\(damage): \(problem)") }
            let isShort = seen.code == "ok" && seen.events < store.eventCount
            counts[isShort ? "unproven, shorter" : seen.code, default: 0] += 1
            cases.append(Self.line(damage, seen))
        }
        try Self.leave(store, cases)
        let words = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
            .joined(separator: ", ")
        print(
            "damage corpus: \(exit), MARK \(mark): \(cases.count) copies: \(words)"
        )
        #expect(counts["corrupt", default: 0] > 50 && counts["ok", default: 0] > 20)
    }

    /// A writer does not read ended segments, so that damage inside them is found by whoever reads
    /// them, before and after. Of everything else it says what a reader says, and where.
    private func check(
        _ damage: Damage, _ seen: Verdict, _ written: (opening: Verdict, after: Verdict),
        active: String
    ) {
        let isElsewhere =
            seen.code != "ok" && seen.offset != nil && seen.offset != 0
            && seen.file != DamagedStore.place(active)
            && seen.file?.lastComponent.map { FileName.segmentID($0.string) } != nil
        if isElsewhere, written.opening.code == "ok" {
            if written.after != seen {
                Issue.record("\(damage): reader \(seen), and after opening \(written.after)")
            }
        } else if written.opening != seen {
            Issue.record("\(damage): reader \(seen), writer \(written.opening)")
        } else if seen.code == "ok", written.after != seen {
            Issue.record("\(damage): reader \(seen), and after opening \(written.after)")
        }
    }

    /// Says when acknowledged events went missing without a word, where that can be known.
    private func silence(
        _ store: DamagedStore, _ damage: Damage, _ seen: Verdict
    ) -> String? {
        guard seen.code == "ok", seen.events != store.eventCount else { return nil }
        let isProvable = store.exit == .closed || store.mark == .counting
        // Without a mark, and without the manifest of the close, the end is only what is there.
        let losesProof = damage.file == FileName.mark || damage.file.hasPrefix("MANIFEST")
        return isProvable && !losesProof
            ? "\(seen.events) events of \(store.eventCount), without an error" : nil
    }

    // MARK: For the second reader

    private static func line(_ damage: Damage, _ verdict: Verdict) -> String {
        var fields: JSONObject = [
            "file": .string(damage.file), "code": .string(verdict.code),
            "events": .integer(Int64(verdict.events)),
        ]
        switch damage.kind {
        case .flip(let offset, let bit):
            fields["flip"] = .array([.integer(Int64(offset)), .integer(Int64(bit))])
        case .cut(let count): fields["cut"] = .integer(Int64(count))
        case .missing: fields["missing"] = .bool(true)
        case .doubled(let name): fields["doubled"] = .string(name)
        case .older: fields["older"] = .bool(true)
        }
        return JSONValue.object(fields).canonicalText
    }

    /// Leaves the files, the cases and the verdicts for a reader in another process.
    private static func leave(_ store: DamagedStore, _ cases: [String]) throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let folder = root.appending(
            path: ".build/damage-corpus/\(store.exit.rawValue)-\(store.mark.rawValue)")
        try? FileManager.default.removeItem(at: folder)
        for (part, files) in [("files", store.files), ("older", store.older)] {
            for (name, bytes) in files {
                let url = folder.appending(path: part).appending(path: name)
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(bytes).write(to: url)
            }
        }
        let counts = store.mark == .counting
        try (["{\"mark\":\(counts)}"] + cases).joined(separator: "\n")
            .write(to: folder.appending(path: "cases.jsonl"), atomically: true, encoding: .utf8)
    }
}
