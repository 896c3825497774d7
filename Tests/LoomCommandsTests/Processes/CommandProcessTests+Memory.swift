import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomTesting
import Testing

// Reads of large logs: rows come as they are found, and memory is that of a few of them.
extension CommandProcessTests {
    /// 100 KB of JSON that compresses well, as states do.
    private static func text(_ number: Int) -> [UInt8] {
        let letter = UInt8(ascii: "a") + UInt8(number % 26)
        return [0x22] + [UInt8](repeating: letter, count: 100_000) + [0x22]
    }

    private func commit(
        _ run: RunID, _ contents: [RunEvent.Content], at position: inout UInt64,
        in store: LogRunStore
    ) async throws {
        var unit = RecordUnit(run: run, epoch: 1, position: position)
        for content in contents {
            unit.append(RunEvent(time: EventTime(microseconds: position), content).encoded())
        }
        position += UInt64(contents.count)
        #expect(try await store.commit(unit) == .ok)
    }

    /// A run of 24 steps, each with another state and the result of a tool call; and 40 runs.
    private func writeLargeLog() async throws {
        let store = try LogRunStore(path: folder.log)
        func begin(_ name: String, _ state: [UInt8]) async throws -> (RunID, UInt64) {
            let run = try RunID(name)
            _ = try await store.claim(run, holder: store.writer)
            var position: UInt64 = 0
            try await commit(
                run,
                [
                    .created(RunCreation(loop: "large", state: state)),
                    .resumed(holder: store.writer),
                ], at: &position, in: store)
            return (run, position)
        }
        var (long, position) = try await begin("long", Self.text(0))
        // Snapshots stand where a runner writes them: the deltas between two are bounded.
        var track = StateTrack(initial: Self.text(0))
        for step in 0..<24 as Range<UInt64> {
            let attempt = AttemptID(step: step, attempt: 0)
            let start = ToolStart(
                attempt: attempt, name: "fetch", safety: .pure, key: .occurrence(0),
                request: Array("\(step)".utf8))
            let finish = ToolFinish(
                start: position + 1, outcome: .completed(result: Self.text(Int(step))))
            let change = track.commit(Self.text(Int(step) + 1), pauses: false)
            var events: [RunEvent.Content] = [
                .attemptStarted(attempt), .toolStarted(start), .toolFinished(finish),
                .stepCommitted(attempt, delta: change.delta),
            ]
            if let state = change.snapshot {
                events.append(.snapshot(step: step + 1, state: state))
            }
            try await commit(long, events, at: &position, in: store)
        }
        for number in 0..<40 { _ = try await begin("many-\(number)", Self.text(number)) }
        try store.close()
    }

    /// The anonymous memory that a read has when its first output comes, in KiB.
    ///
    /// It waits for its reader then: whoever holds all rows before printing one has them all. The
    /// pipe is closed after it, which ends the read.
    private func memoryAtFirstRow(_ read: String) async throws -> Int {
        let said = try await folder.shell(
            """
            exec 3< <(exec "$LOOMLOG" \(read) --log "$LOG"); pid=$!
            head -c 10000 <&3 >/dev/null
            awk '/^RssAnon:/ {print $2}' "/proc/$pid/status"
            """)
        return try #require(Int(said.output.filter(\.isNumber)), said.words)
    }

    /// 452 MB for a log of 7 MB: every row, and of a list every state, was held before the first
    /// was printed.
    @Test("lists hold a few rows at a time, however large the rows are")
    func memoryOfLists() async throws {
        try await writeLargeLog()
        let least = try await memoryAtFirstRow("get many-1 --json")
        for read in [
            "history long --jsonl", "attempts long --json", "tool-calls long --jsonl",
            "list --limit 1 --json",
        ] {
            let memory = try await memoryAtFirstRow(read)
            #expect(memory < least + 2048, "\(read)")
        }
    }

    /// 106 MB for a log of half a megabyte.
    @Test("get holds no results of tool calls, which it does not show")
    func memoryOfGet() async throws {
        let store = try LogRunStore(path: folder.log)
        for (name, calls) in [("few", 1), ("many", 200)] as [(String, UInt64)] {
            let run = try RunID(name)
            _ = try await store.claim(run, holder: store.writer)
            let attempt = AttemptID(step: 0, attempt: 0)
            var position: UInt64 = 0
            try await commit(
                run,
                [
                    .created(RunCreation(loop: "large", state: Self.text(0))),
                    .resumed(holder: store.writer), .attemptStarted(attempt),
                ], at: &position, in: store)
            for call in 0..<calls {
                let start = ToolStart(
                    attempt: attempt, name: "fetch", safety: .pure, key: .explicit("\(call)"),
                    request: [0x30])
                let finish = ToolFinish(
                    start: position, outcome: .completed(result: Self.text(Int(call))))
                try await commit(
                    run, [.toolStarted(start), .toolFinished(finish)], at: &position, in: store)
            }
        }
        try store.close()
        let least = try await memoryAtFirstRow("get few --json")
        #expect(try await memoryAtFirstRow("get many --json") < least + 2048)
    }
}
