import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

/// A real process that appends, killed with SIGKILL at random instants on the real disk. The heavy
/// form runs 200 kills: LOOMLOG_KILLS=200 swift test --filter KillTests (Tools/kill-writer).
@Suite(.serialized) struct KillTests {
    static let kills = Int(ProcessInfo.processInfo.environment["LOOMLOG_KILLS"] ?? "") ?? 12

    private static let writer = URL(filePath: CommandLine.arguments[0])
        .deletingLastPathComponent().appending(path: "crash-writer")

    @Test("acknowledged events survive kill -9 and are a prefix in order")
    func killAndReopen() throws {
        let folder = try TemporaryFolder(
            below: FileManager.default.currentDirectoryPath + "/.build")
        let text = try Self.corpus(in: folder)
        let lines = try String(contentsOfFile: text, encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false).map { Array($0.utf8) }
        var acknowledged = 0
        for kill in 0..<Self.kills {
            let mode = Durability.allCases[kill % 3]
            let surface = kill % 2 == 0 ? "mapped" : "positional"
            // Every other one only after it has acknowledged something, however slow its start.
            let told = try Self.runAndKill(
                folder.log, text, mode, surface, waits: kill % 2 == 1)
            acknowledged = max(acknowledged, told)
            // A kill can come before the log was made.
            guard FileManager.default.fileExists(atPath: folder.log.string) else { continue }
            let before = try readAll(folder.log)
            let opened = try LogWriter(path: folder.log)
            #expect(opened.recovery.ending != .tornUnproven, "kill \(kill): \(opened.recovery)")
            try opened.close()
            let events = try readAll(folder.log)
            #expect(events.count >= acknowledged, "kill \(kill), \(mode)")
            // A unit that was stored and not yet published is kept by recovery, and no reader saw
            // it.
            #expect(
                (before.count...(before.count + 1)).contains(events.count),
                "a reader saw \(before.count) events, the writer \(events.count)")
            for (index, event) in events.enumerated() {
                guard event.position == UInt64(index), event.body == lines[index % lines.count]
                else {
                    Issue.record("kill \(kill): event \(index) is not line \(index)")
                    return
                }
            }
            acknowledged = events.count
        }
        #expect(acknowledged > 0)
    }

    /// Any text will do: the documents of this repository and the sources under test.
    private static func corpus(in folder: TemporaryFolder) throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        var text = try String(contentsOf: root.appending(path: "FORMAT.md"), encoding: .utf8)
        let sources = root.appending(path: "Sources/LoomLog")
        for name in FileManager.default.enumerator(atPath: sources.path) ?? .init() {
            guard let name = name as? String, name.hasSuffix(".swift") else { continue }
            text += try String(contentsOf: sources.appending(path: name), encoding: .utf8)
        }
        let path = folder.path.appending("corpus.txt").string
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    /// Starts the writer, kills it after a random time, returns the last line number that it told.
    private static func runAndKill(
        _ log: FilePath, _ text: String, _ mode: Durability, _ surface: String, waits: Bool
    ) throws -> Int {
        let process = Process()
        process.executableURL = writer
        process.arguments = [log.string, text, mode.rawValue, surface]
        // A file, not a pipe: a pipe fills up and the writer waits.
        let output = "\(log.string).acknowledged"
        _ = FileManager.default.createFile(atPath: output, contents: nil)
        process.standardOutput = FileHandle(forWritingAtPath: output)
        try process.run()
        let size = { try FileManager.default.attributesOfItem(atPath: output)[.size] as? Int }
        for _ in 0..<2_000 {
            guard waits, try size() == 0 else { break }
            usleep(5_000)
        }
        usleep(UInt32.random(in: 1_000...120_000))
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        let told = try String(contentsOfFile: output, encoding: .utf8)
        let numbers = told.split(separator: "\n")
        return numbers.last.flatMap { Int($0) } ?? 0
    }
}
