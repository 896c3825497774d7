import Foundation
import LoomFormat
import LoomLog
import LoomModel
import Testing

extension CommandProcessTests {
    /// A timeout of 1e18 s was refused with "must be above zero".
    @Test("a number that an option cannot take is refused with the bound that it breaks")
    func optionBounds() async throws {
        let most = "at most 1000000000 seconds"
        let cases: [(option: String, value: String, says: String)] = [
            ("--timeout", "1e18", most), ("--timeout", "inf", most),
            ("--timeout", "nan", "not a number"), ("--timeout", "0", "above zero"),
            ("--timeout", "-1", "above zero"), ("--grace", "1e18", most),
            ("--grace", "nan", "not a number"), ("--grace", "-0.5", "below zero"),
            ("--start-timeout", "1e10", most), ("--start-timeout", "nan", "not a number"),
            ("--start-timeout", "0", "above zero"), ("--max-steps", "-1", "below zero"),
            ("--max-attempts", "0", "1 or more"), ("--line-max", "0", "1024 or more"),
            ("--payload-limit", "0", "1 or more"), ("--policy", "interval:0", "interval:0"),
        ]
        for (option, value, says) in cases {
            let said = try await folder.call(
                "loomlog", ["run", "x", option, value], then: ["--", "true"])
            #expect(said.status == 64 && said.isOneError, said.words)
            #expect(said.errors.contains(option) && said.errors.contains(says), said.words)
        }
    }

    @Test("every number of the command may be as large as its type")
    func largestNumbers() async throws {
        let most = "\(Int.max)"
        let said = try await folder.call(
            "loomlog",
            [
                "run", "demo", "--json", "--max-steps", most, "--max-attempts", most,
                "--payload-limit", most, "--line-max", most, "--timeout", "1e9", "--grace", "1e9",
                "--start-timeout", "1e9", "--policy", "interval:\(UInt64.max)",
            ], then: CommandFolder.example("counter.py"))
        #expect(said.json["status"] == .string("completed"), said.words)
        let reads = [
            ["history", "demo", "--limit", most, "--offset", most],
            ["attempts", "demo", "--limit", most, "--step", "\(UInt64.max)"],
            ["tool-calls", "demo", "--limit", most, "--offset", most],
            ["list", "--limit", most, "--offset", most], ["tail", "--limit", most],
            ["tail", "--limit", "0"], ["stats", "demo"], ["explain", "demo"],
        ]
        for words in reads {
            let read = try await folder.call("loomlog", words)
            #expect(read.status == 0, read.words)
        }
        let resolved = try await folder.call(
            "loomlog", ["resolve", "demo", "\(UInt64.max)", "--did-not-happen"])
        #expect(resolved.status == 66 && resolved.isOneError, resolved.words)
        let shown = try await folder.call("loomlog", ["show", "demo", "--step", "\(UInt64.max)"])
        #expect(shown.status == 66 && shown.isOneError, shown.words)
    }

    /// The process was trapped.
    @Test("a tail shows numbers of any size that a log holds")
    func largeNumbers() async throws {
        let run = try RunID("demo")
        let writer = try LogWriter(path: folder.log)
        var unit = RecordUnit(run: run, epoch: .max, position: 1 << 63)
        unit.append(RunEvent(time: EventTime(microseconds: .max), .retried).encoded())
        _ = try writer.append(unit)
        try writer.close()
        for words in [["tail", "--jsonl"], ["tail"], ["dump"], ["list"], ["get", "demo"]] {
            let said = try await folder.call("loomlog", words)
            #expect([0, 65, 66].contains(said.status), said.words)
        }
        let tail = try await folder.call("loomlog", ["tail", "--jsonl"])
        #expect(tail.output.contains("\(UInt64(1) << 63)"), tail.words)
    }
}
