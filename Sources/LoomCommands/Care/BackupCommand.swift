internal import ArgumentParser
internal import Foundation
internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import SystemPackage

struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Make a backup of the log, or bring one up to date, also while it is written.",
        discussion: """
            The backup is a log itself: look at it with --log. To restore, copy the directory. The \
            first program that writes there pauses the runs that were driven when the backup was \
            made, as nobody knows what they did after that.

              loomlog backup /backups/runs.loom              once, or again for what is new
              loomlog backup /backups/runs.loom --follow     every second, until Ctrl-C
              cp -r /backups/runs.loom runs.loom             restores it

            Files that never change again are linked where the file system allows it. A link \
            keeps a file that is deleted; it does not keep one that the disk damages: --copy does, \
            and so does another device. A backup takes files as they are: whether events can be \
            read is told by verify, of the backup as of any log.
            """)
    @OptionGroup var log: LogArguments
    @Argument(help: ArgumentHelp("The directory of the backup.", valueName: "directory"))
    var directory: String
    @Flag(name: .shortAndLong, help: "Go on every second, so that at most 2 seconds are lost.")
    var follow = false
    @Flag(help: "Copy every file, also where it could be linked.") var copy = false
    @OptionGroup var output: ListArguments

    func validate() throws {
        if directory.isEmpty { throw ValidationError("the directory has no name") }
        if follow && output.json {
            throw ValidationError("--follow has no end, so no array: use --jsonl")
        }
    }

    func run() async throws {
        try await reporting {
            guard follow else {
                var backup = try backup()
                tell(try backup.run(), lag: nil)
                return
            }
            let stop = StopSignals(note: "ending after this round; once more to end at once")
            try await stop.cancelling { try await goOn() }
        }
    }

    private func backup() throws -> LogBackup {
        let (from, to) = (real(log.directory.string), real(directory))
        guard !(from + "/").hasBytePrefix(to + "/"), !(to + "/").hasBytePrefix(from + "/") else {
            throw UsageError(
                "\(directory) and the log are one directory, or one is in the other",
                hint: "make the backup elsewhere, best on another disk")
        }
        return try LogBackup(of: log.directory, to: FilePath(directory), linksFiles: !copy)
    }

    private func real(_ path: String) -> String {
        URL(filePath: path).resolvingSymlinksInPath().path
    }

    private func goOn() async throws {
        var backup = try backup()
        var lag = BackupLag()
        while true {
            // A signal that comes meanwhile is answered behind a last round.
            let isLast = Task.isCancelled
            lag.begin()
            do throws(LogError) {
                let round = try backup.run()
                lag.end()
                tell(round, lag: lag)
            } catch {
                guard error.code == .outOfSpace, !isLast else { throw error }
                Output.note("warning: \(error); trying again")
            }
            if isLast { return }
            Output.endIfNobodyReads()
            try? await Task.sleep(for: lag.rest)
        }
    }

    private func tell(_ round: BackupRound, lag: BackupLag?) {
        if let warning = lag?.warning { Output.note("warning: \(warning)") }
        if lag != nil, !output.jsonl, !round.isNew {
            lag?.show(round)
            return
        }
        if lag != nil, round.changedNothing { return }
        let json = JSONValue.object([
            "next_sequence": .number(round.position.nextSequence),
            "time": .string(EventTime(microseconds: round.time).iso8601),
            "linked_files": .integer(Int64(round.linkedFileCount)),
            "copied_files": .integer(Int64(round.copiedFileCount)),
            "copied_bytes": .integer(Int64(round.copiedByteCount)),
            "removed_files": .integer(Int64(round.removedFileCount)),
            "lag_ms": lag.map { .integer($0.milliseconds) } ?? .null,
        ])
        let line =
            "\(directory) has \(round.position.nextSequence - 1) events: "
            + "\(round.linkedFileCount) files linked, \(round.copiedFileCount) copied, "
            + "\(round.copiedByteCount) bytes copied, \(round.removedFileCount) files removed"
        Output.write(
            [output.json || output.jsonl ? json.canonicalText : Output.printable(line)])
    }
}

/// How far a backup that follows a log is behind it.
private struct BackupLag {
    private static let period = Duration.seconds(1)
    private static let bearable = Duration.seconds(2)
    private let clock = ContinuousClock()
    private var begun: ContinuousClock.Instant?
    /// What was written before this instant was in the backup when the last round ended.
    private var covered: ContinuousClock.Instant?
    private var last = Duration.zero

    mutating func begin() { begun = clock.now }

    /// A round is durable: until then, what came since the round before could have been lost.
    mutating func end() {
        last = (covered ?? begun).map { $0.duration(to: clock.now) } ?? .zero
        covered = begun
    }

    /// The time to the next round.
    var rest: Duration {
        guard let begun else { return .zero }
        return max(.zero, Self.period - begun.duration(to: clock.now))
    }

    var milliseconds: Int64 {
        last.components.seconds * 1000 + last.components.attoseconds / 1_000_000_000_000_000
    }

    var warning: String? {
        guard last > Self.bearable else { return nil }
        return "the backup was \(milliseconds) ms behind the log"
    }

    /// On a terminal's standard error.
    func show(_ round: BackupRound) {
        guard isatty(STDERR_FILENO) == 1 else { return }
        Output.raw("\rthrough event \(round.position.nextSequence - 1), \(milliseconds) ms behind ")
    }
}
