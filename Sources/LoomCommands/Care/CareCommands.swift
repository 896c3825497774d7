internal import ArgumentParser
internal import Foundation
internal import LoomFormat
internal import LoomInspect
internal import LoomLog
internal import LoomModel

struct DumpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump",
        abstract: "Print what the log's files hold, one JSON object a line.",
        discussion: "Reads the bytes by itself, without the engine. For people who debug the log.")
    @OptionGroup var log: LogArguments

    func run() async throws {
        var dump = LogDump(path: log.directory) { Output.write([$0.canonicalText]) }
        do throws(LogDump.Refusal) {
            try dump.run()
        } catch {
            let line = JSONValue.object([
                "type": .string("error"), "code": .string(error.code),
                "message": .string(error.description),
            ])
            Output.write([line.canonicalText])
            let status: ExitStatus =
                switch error.code {
                case "not-a-log": .notFound
                case "io": .io
                default: .damaged
                }
            CommandFailure(
                message: "\(error)",
                hint: status == .damaged
                    ? "what stands above it could be read"
                    : "check the path given by --log or LOOMLOG_DIR, and its permissions",
                status: status
            ).tell()
            throw ExitCode(status.rawValue)
        }
    }
}

struct InfoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Show the log itself: its segments, its size, its writer.")
    @OptionGroup var log: LogArguments
    @OptionGroup var output: OutputArguments

    func run() async throws {
        try await reporting {
            let reader = try LogReader(path: log.directory)
            let writer = try reader.writer()
            let overview = try reader.overview()
            output.print(
                .object([
                    "store": .string(reader.storeID.description),
                    "segments": .integer(Int64(overview.segmentCount)),
                    "archives": .integer(Int64(overview.archiveCount)),
                    "bytes": .integer(Int64(overview.byteCount)),
                    "file_bytes": .integer(Int64(overview.fileByteCount)),
                    "spare_bytes": .integer(Int64(overview.spareByteCount)),
                    "free_bytes": overview.availableByteCount.map { .integer(Int64($0)) } ?? .null,
                    "short_of_space": .bool(overview.isShortOfSpace),
                    "next_sequence": .integer(Int64(overview.position.nextSequence)),
                    "writer": writer.map { .string($0) } ?? .null,
                    "ended": .string(overview.ending),
                    "restored_from": overview.copyTime
                        .map { .string(EventTime(microseconds: $0).iso8601) } ?? .null,
                    "recoveries": .array(overview.recoveries.map(\.json)),
                ]),
                [
                    "log       \(log.directory)", "store     \(reader.storeID)",
                    "segments  \(overview.segmentCount), \(overview.archiveCount) of them archives",
                    "bytes     \(overview.byteCount)",
                    "on disk   \(overview.fileByteCount) bytes in segment files",
                    Self.diskLine(overview),
                    "events    \(overview.position.nextSequence - 1)",
                    "writer    \(writer ?? "none")", "ended     \(overview.ending)",
                ] + overview.copyLines + overview.recoveries.map { "recovered \($0.line)" })
        }
    }

    /// What the disk has left, and what that means when it is little.
    private static func diskLine(_ overview: LogOverview) -> String {
        guard let free = overview.availableByteCount else { return "free      unknown" }
        let line = "free      \(free) bytes on this disk"
        guard overview.isShortOfSpace else { return line }
        return line
            + ": nearly full; the last segment has room for \(overview.spareByteCount) bytes more, "
            + "and a writer takes further space only when it needs it"
    }
}

extension LogOverview {
    /// How the log ends now, in words.
    fileprivate var ending: String {
        switch endRule {
        case nil: "open"
        case .closed, .sealed: "closed"
        case .copied: "a backup"
        case .marked, .provenByBlock: "torn, proven"
        default: "torn, unproven"
        }
    }
}

extension LogOverview {
    /// What a backup, and a log that was restored from one, says of itself.
    fileprivate var copyLines: [String] {
        guard let copyTime else { return [] }
        let time = EventTime(microseconds: copyTime).iso8601
        return [
            endRule == .copied
                ? "backup    made at \(time); its first writer pauses what was being driven then"
                : "restored  from the backup of \(time)"
        ]
    }
}

extension LogRecovery {
    private var verdict: String {
        isCopy ? "a backup" : isProven.map { $0 ? "torn, proven" : "torn, unproven" } ?? "torn"
    }

    fileprivate var line: String {
        var line = "segment \(segmentID)"
        line += offset.map { " at offset \($0): \(verdict)" } ?? ", archived: \(verdict)"
        if isProven == false { line += ": at most what was not yet synced may be missing" }
        if discardedBytes > 0 { line += "; \(discardedBytes) bytes set aside" }
        return line
    }

    fileprivate var json: JSONValue {
        .object([
            "segment": .integer(Int64(segmentID)),
            "offset": offset.map { .integer(Int64($0)) } ?? .null,
            "ended": .string(verdict), "discarded_bytes": .integer(Int64(discardedBytes)),
            "next_sequence": .integer(Int64(position.nextSequence)),
        ])
    }
}
