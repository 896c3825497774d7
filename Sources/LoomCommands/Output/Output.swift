internal import Foundation
internal import Synchronization
internal import SystemPackage

/// Standard output: data only. A reader that goes away is not an error; a full disk is.
public enum Output {
    private static let endStatus = Mutex<Int32>(0)
    private static let change = Mutex<Change?>(nil)
    private static let cleanUp = Mutex<@Sendable () -> Void>({})

    /// What to do before the process ends because nobody reads any more, or nothing can be written.
    static func whenNobodyReads(_ body: @escaping @Sendable () -> Void) {
        cleanUp.withLock { $0 = body }
    }

    /// With which status to end when the reader goes away: 0, or what the command came to.
    static func setEndStatus(_ status: Int32) { endStatus.withLock { $0 = status } }

    /// What the command did to the log before it prints: told when it cannot print.
    static func setChange(_ done: Change) { change.withLock { $0 = done } }

    /// Writes lines.
    public static func write(_ lines: [String]) {
        write(Array(lines.map { $0 + "\n" }.joined().utf8))
    }

    /// Writes bytes.
    static func write(_ bytes: [UInt8]) {
        do throws(Errno) {
            try writeAll(bytes)
        } catch .brokenPipe {
            endUnread()
        } catch {
            unwritable(error).tell()
            cleanUp.withLock { $0 }()
            Foundation.exit(ExitStatus.io.rawValue)
        }
    }

    private static func unwritable(_ error: Errno) -> CommandFailure {
        let message = "standard output cannot be written: \(error)"
        guard let change = Self.change.withLock({ $0 }) else {
            return CommandFailure(
                message: message, hint: "nothing in the log was changed; write elsewhere",
                status: .io)
        }
        return CommandFailure(
            message: "\(message); \(change.what), and that is in the log", hint: change.look,
            status: .io)
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

    /// A number of things with its noun.
    static func count(_ count: some BinaryInteger, _ noun: String) -> String {
        "\(count) \(count == 1 ? noun : noun + "s")"
    }

    /// Rows in columns at least as wide as `widths`, which grow with the cells.
    static func table(_ rows: [[String]], _ widths: inout [Int]) -> [String] {
        for row in rows {
            // The last column needs no width.
            for (column, cell) in row.dropLast().enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        return rows.map { row in
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

/// What a command did to the log before it printed anything.
struct Change: Sendable {
    /// As a sentence: `run demo is paused at step 5`.
    let what: String
    /// The command that shows it.
    let look: String

    /// Reads what the command prints. That it was done stays true when this fails.
    func reading<Result>(_ body: () throws -> Result) throws -> Result {
        Output.setChange(self)
        do {
            return try body()
        } catch {
            throw UnreadChange(change: self, cause: error)
        }
    }
}

/// A change that was made, and that could not be read back.
struct UnreadChange: Error {
    let change: Change
    let cause: any Error
}
