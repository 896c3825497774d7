internal import Foundation
internal import Synchronization
internal import SystemPackage

/// Standard output: data only. A reader that goes away is not an error; a full disk is.
public enum Output {
    private static let endStatus = Mutex<Int32>(0)
    private static let cleanUp = Mutex<@Sendable () -> Void>({})

    /// What to do before the process ends because nobody reads any more.
    static func whenNobodyReads(_ body: @escaping @Sendable () -> Void) {
        cleanUp.withLock { $0 = body }
    }

    /// With which status to end when the reader goes away: 0, or what the command came to.
    static func setEndStatus(_ status: Int32) { endStatus.withLock { $0 = status } }

    /// Writes lines.
    public static func write(_ lines: [String]) {
        let text = lines.map { $0 + "\n" }.joined()
        do throws(Errno) {
            try writeAll(Array(text.utf8))
        } catch .brokenPipe {
            endUnread()
        } catch {
            CommandFailure(
                message: "standard output: \(error)", hint: "the log is as it was; write elsewhere",
                status: .io
            ).tell()
            Foundation.exit(ExitStatus.io.rawValue)
        }
    }

    private static func writeAll(_ bytes: [UInt8]) throws(Errno) {
        do {
            try FileDescriptor.standardOutput.writeAll(bytes)
        } catch {
            throw error as? Errno ?? .ioError
        }
    }

    /// Ends the process when standard output is a pipe that nobody reads any more.
    static func endIfNobodyReads() {
        var output = pollfd(fd: STDOUT_FILENO, events: 0, revents: 0)
        guard unsafe poll(&output, 1, 0) == 1, output.revents & Int16(POLLERR) != 0 else { return }
        endUnread()
    }

    private static func endUnread() -> Never {
        cleanUp.withLock { $0 }()
        Foundation.exit(endStatus.withLock { $0 })
    }

    /// Opens what of 0, 1 and 2 is closed: else the log's first file would be standard output.
    static func openClosedStreams() {
        for number in 0...2 as ClosedRange<Int32> where fcntl(number, F_GETFD) == -1 {
            // The lowest free number is this one.
            _ = unsafe open("/dev/null", O_RDWR)
        }
    }

    /// Text without control characters: what a log holds must not steer a terminal.
    static func printable(_ text: String) -> String {
        func isControl(_ scalar: Unicode.Scalar) -> Bool {
            scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
        }
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        var clean = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { clean.append(isControl(scalar) ? "\u{FFFD}" : scalar) }
        return String(clean)
    }

    /// Writes one line to standard error: for people.
    public static func note(_ line: String) { raw("\(printable(line))\n") }

    static func raw(_ text: String) { raw(Array(text.utf8)) }

    static func raw(_ bytes: [UInt8]) {
        try? FileHandle.standardError.write(contentsOf: Data(bytes))
    }

    /// To be called first: a broken pipe is then an error of a write and no signal.
    public static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

    /// Rows under their headings, in columns.
    public static func table(_ headings: [String], _ rows: [[String]]) -> [String] {
        let all = [headings] + rows
        let widths = headings.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                guard column < row.count - 1 else { continue }
                line += String(repeating: " ", count: widths[column] - cell.count + 2)
            }
            while line.hasSuffix(" ") { line.removeLast() }
            return line
        }
    }
}
