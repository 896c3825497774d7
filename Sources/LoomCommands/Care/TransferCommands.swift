internal import ArgumentParser
internal import Foundation
internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRunner
internal import LoomRuns
internal import SystemPackage

struct ExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Take runs out of the log, as one file or as lines of JSON.",
        discussion: """
            The file has all events of the runs, packed and hashed; import checks it and appends \
            them to another log. --jsonl prints one object an event, with states as JSON.

              loomlog export demo other -o runs.loomrun
              loomlog export demo --jsonl > demo.jsonl
            """)
    @OptionGroup var log: LogArguments
    @Argument(help: "The runs.") var runs: [String]
    @Option(name: .shortAndLong, help: "The file to make; it must not exist.") var output: String?
    @Flag(help: "Print the events as lines of JSON.") var jsonl = false

    func validate() throws {
        guard (output == nil) == jsonl else {
            throw ValidationError("say where to: -o FILE or --jsonl")
        }
        for run in runs { _ = try RunArguments.named(run) }
    }

    func run() async throws {
        try await reporting {
            let reader = try LogReader(path: log.directory)
            let export = try RunExport(
                try runs.map { try RunArguments.named($0) }, from: RunReader(log: reader))
            guard let output else {
                return try export.writeLines { Output.write([$0.canonicalText]) }
            }
            guard !FileManager.default.fileExists(atPath: output) else {
                throw UsageError("\(output) exists", hint: "give another name, or remove it first")
            }
            let (events, bytes) = try export.write(
                to: FilePath(output), storeID: reader.storeID)
            Output.write([Output.printable("\(output) has \(events) events in \(bytes) bytes")])
        }
    }
}

struct ImportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Append runs of an export to the log, as new runs.",
        discussion: """
            A run is there whole or not at all. One whose name exists is refused; an import that \
            was cut can be repeated. A run that was being driven when it was exported is paused.

              loomlog import runs.loomrun
              loomlog import demo.loomrun --as copy
              loomlog export demo --jsonl | loomlog import --jsonl - --log other.loom
              Tools/import-loom-runner agent.sqlite | loomlog import --jsonl -
            """)
    @OptionGroup var log: LogArguments
    @Argument(help: "The file; - for standard input, with --jsonl.") var file: String
    @Flag(help: "The file has lines of JSON.") var jsonl = false
    @Option(name: .customLong("as"), help: "The name of the run here, of a file with one run.")
    var name: String?
    @Flag(help: "Check the file, every hash and every event, and change nothing.")
    var dryRun = false
    @Flag(help: "Wait while another process has the log, instead of giving up.") var wait = false
    @OptionGroup var output: OutputArguments

    func validate() throws {
        if let name { _ = try RunArguments.named(name) }
        if file.hasSameBytes(as: "-") && !jsonl {
            throw ValidationError("standard input takes --jsonl")
        }
    }

    func run() async throws {
        try await reporting {
            let name = try name.map { try RunArguments.named($0) }
            var checked = RunImport(into: nil, as: name)
            if dryRun {
                try read(into: &checked)
                return tell(checked.runs)
            }
            // Before a log is made or changed: what can be read twice is checked first.
            if !jsonl { try read(into: &checked) }
            tell(
                try await log.writing(creates: true, waits: wait) { store in
                    var runs = RunImport(into: store, as: name)
                    try read(into: &runs)
                    return runs.runs
                })
        }
    }

    private func read(into runs: inout RunImport) throws {
        if jsonl {
            var (lines, input) = (RunLineImport(), try InputLines(file))
            while let line = try input.next() { try lines.take(line, into: &runs) }
        } else {
            try RunTransfer.read(FilePath(file), into: &runs)
        }
        try runs.finish()
    }

    private func tell(_ runs: [ImportedRun]) {
        if runs.isEmpty { Output.note("warning: there are no runs in \(file)") }
        let verb = dryRun ? "can be imported" : "imported"
        output.print(
            .array(
                runs.map {
                    .object([
                        "run_id": .string($0.run.rawValue),
                        "events": .integer(Int64($0.eventCount)),
                        "was_there": .bool($0.wasThere), "paused": .bool($0.isPaused),
                    ])
                }),
            runs.map {
                "\($0.run)  \($0.eventCount) events "
                    + ($0.wasThere ? "were there already" : verb)
                    + ($0.isPaused ? ", paused: it was being driven" : "")
            })
    }
}

/// The lines of a file or of standard input, one in memory at a time.
private struct InputLines {
    private let handle: FileHandle
    private let name: String
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false

    private static let lineBytesMax = 512 << 20

    init(_ path: String) throws {
        name = path
        if path.hasSameBytes(as: "-") {
            handle = .standardInput
        } else if let opened = FileHandle(forReadingAtPath: path) {
            handle = opened
        } else {
            throw CommandFailure(
                message: "\(path): there is no such file, or it cannot be read",
                hint: "check the file's name", status: .notFound)
        }
    }

    mutating func next() throws -> [UInt8]? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0A) {
                defer { start = end + 1 }
                return Array(buffer[start..<end])
            }
            if isAtEnd {
                defer { (buffer, start) = ([], 0) }
                return start < buffer.count ? Array(buffer[start...]) : nil
            }
            buffer.removeFirst(start)
            start = 0
            searched = buffer.count
            guard buffer.count <= Self.lineBytesMax else {
                throw CommandFailure(
                    message: "\(name): a line of more than \(Self.lineBytesMax) bytes",
                    hint: "these are no events of a log", status: .damaged)
            }
            let more = try handle.read(upToCount: 1 << 20) ?? Data()
            isAtEnd = more.isEmpty
            buffer += more
        }
    }
}
