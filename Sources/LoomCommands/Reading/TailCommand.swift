internal import ArgumentParser
internal import Foundation
internal import LoomFormat
internal import LoomModel
internal import LoomRuns

struct TailCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail", abstract: "Print the last events of a run, or of all, as they come.",
        discussion: "With --follow it goes on until Ctrl-C, also while a program writes.")
    @OptionGroup var log: LogArguments
    @Argument(help: "The run (default: all).") var run: String?
    @OptionGroup var output: ListArguments
    @Option(parsing: .unconditional, help: "How many events of the past to print.")
    var limit = 20
    @Flag(name: .shortAndLong, help: "Wait for more.") var follow = false

    private static let pollMicroseconds: UInt32 = 100_000

    func validate() throws {
        if limit < 0 { throw ValidationError("--limit is below zero") }
        if let run { _ = try RunArguments.named(run) }
        if follow && output.json {
            throw ValidationError("--follow has no end, so no array: use --jsonl")
        }
    }

    func run() async throws {
        try await reporting {
            let run = try run.map { try RunArguments.named($0) }
            var tail = try log.reader().tail(run, last: limit)
            try output.printRows { rows in
                func printPresent() throws {
                    while let more = try tail.next() {
                        for row in more { rows.print(row.json, [row.line]) }
                    }
                }
                try printPresent()
                while follow {
                    rows.flush()
                    // Nothing may come for long: then no write notices that the reader is gone.
                    Output.endIfNobodyReads()
                    usleep(Self.pollMicroseconds)
                    try printPresent()
                }
            }
        }
    }
}

extension RunTail.Row {
    fileprivate var line: String {
        let (type, text) = event.content.words
        return "\(event.time.iso8601)  \(run) #\(place.position)  \(type)  \(text)"
    }

    fileprivate var json: JSONValue {
        let (type, text) = event.content.words
        return .object([
            "sequence": .number(sequence), "run_id": .string(run.rawValue),
            "position": .number(place.position), "epoch": .number(place.epoch),
            "time": .string(event.time.iso8601), "type": .string(type), "text": .string(text),
        ])
    }
}
