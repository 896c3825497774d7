public import ArgumentParser
internal import Foundation
public import LoomFormat
public import LoomModel
public import LoomRuns
public import SystemPackage

/// Which log.
public struct LogArguments: ParsableArguments {
    /// The directory of the log.
    @Option(
        name: .customLong("log"),
        help: "The directory of the log (default: $LOOMLOG_DIR, then ./runs.loom).")
    public var path: String?

    /// Creates the defaults.
    public init() {}

    /// Refuses an empty name.
    public func validate() throws {
        if path == "" { throw ValidationError("--log has no name") }
    }

    /// The directory.
    public var directory: FilePath {
        let environment = ProcessInfo.processInfo.environment["LOOMLOG_DIR"]
        // An empty variable is none, as everywhere.
        let inherited = environment.flatMap { $0.isEmpty ? nil : $0 }
        return FilePath(path ?? inherited ?? "runs.loom")
    }

    /// A reader of it.
    public func reader() throws -> RunReader { try RunReader(path: directory) }
}

/// Which run: by option or as the argument.
public struct RunArguments: ParsableArguments {
    /// The run, as an option.
    @Option(name: .customLong("run-id"), help: "The run.")
    public var option: String?
    /// The run, as an argument.
    @Argument(help: ArgumentHelp("The run.", valueName: "run"))
    public var argument: String?

    /// Creates the defaults.
    public init() {}

    /// Refuses none or two names.
    public func validate() throws {
        guard (option == nil) != (argument == nil) else {
            throw ValidationError("name one run, by --run-id or as the argument")
        }
        _ = try run()
    }

    /// The run.
    public func run() throws -> RunID { try Self.named(option ?? argument ?? "") }

    static func named(_ name: String) throws -> RunID {
        do throws(FormatError) {
            return try RunID(name)
        } catch {
            throw ValidationError("\(error)")
        }
    }
}

/// A page of a list.
public struct PageArguments: ParsableArguments {
    /// How many rows.
    @Option(parsing: .unconditional, help: "The most rows to print.")
    public var limit: Int?
    /// How many to pass over.
    @Option(parsing: .unconditional, help: "Rows to pass over.")
    public var offset = 0

    /// Creates the defaults.
    public init() {}

    /// Refuses negative numbers.
    public func validate() throws {
        if let limit, limit < 0 { throw ValidationError("--limit is below zero") }
        if offset < 0 { throw ValidationError("--offset is below zero") }
    }
}

/// How to print.
public struct OutputArguments: ParsableArguments {
    /// One line of JSON.
    @Flag(help: "Print one line of JSON with sorted keys.")
    public var json = false

    /// Creates the defaults.
    public init() {}

    /// Prints one value: as JSON, or as the lines that people read.
    public func print(_ value: JSONValue, _ lines: @autoclosure () -> [String]) {
        Output.write(json ? [value.canonicalText] : lines().map(Output.printable))
    }
}

/// Lists print as one array, or as one line a row.
public struct ListArguments: ParsableArguments {
    /// One array.
    @Flag(help: "Print one line of JSON with sorted keys.")
    public var json = false
    /// One line a row.
    @Flag(help: "Print each row as one line of JSON.")
    public var jsonl = false

    /// Creates the defaults.
    public init() {}

    /// Refuses both.
    public func validate() throws {
        if json && jsonl { throw ValidationError("--json or --jsonl, not both") }
    }
}

/// A number of seconds that an option takes.
enum SecondsOption {
    /// The longest time: 31 years.
    static let most = 1e9

    /// Refuses what is no time, with the bound that it breaks.
    static func check(_ seconds: Double, _ option: String, mayBeZero: Bool) throws {
        if seconds.isNaN { throw ValidationError("\(option) is not a number") }
        if mayBeZero ? seconds < 0 : seconds <= 0 {
            throw ValidationError(
                mayBeZero ? "\(option) is below zero" : "\(option) must be above zero")
        }
        if seconds > most {
            throw ValidationError("\(option) is \(seconds), and may be at most 1000000000 seconds")
        }
    }
}
