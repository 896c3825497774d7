public import LoomFormat
internal import LoomLog
public import LoomModel
public import LoomRuns
internal import LoomStorage
public import SystemPackage

/// Takes runs out of a log, as files that an import takes.
public struct RunExport {
    private let reader: RunReader
    private let runs: [RunID]

    /// Prepares the export of some runs.
    ///
    /// - Throws: `RunReadError` for a run that does not exist.
    public init(_ runs: [RunID], from reader: RunReader) throws {
        self.reader = reader
        // Each once, in order of the bytes of their names.
        self.runs = Set(runs).sorted()
        for run in self.runs where try reader.source.row(of: run) == nil {
            throw RunReadError.unknownRun(run)
        }
    }

    /// Writes the runs into one file, which is durable when this returns.
    ///
    /// - Returns: How many events and bytes it has.
    /// - Throws: `LogError`, also when something of that name is there.
    public func write(
        to path: FilePath, storeID: StoreID
    ) throws -> (eventCount: UInt64, byteCount: Int) {
        var file = try RunFileWriter(path, storeID: storeID, semantics: RunIndexer())
        do {
            for run in runs {
                var events = try reader.source.events([RunPart(run)])
                try file.write(run) {
                    try events.next().map {
                        (epoch: $0.place.epoch, position: $0.place.position, body: $0.body)
                    }
                }
            }
            return try file.finish()
        } catch {
            file.discard()
            throw error
        }
    }

    /// Calls `body` with one line of JSON for each event.
    public func writeLines(_ body: (JSONValue) throws -> Void) throws {
        var lines = EventLineWriter()
        for run in runs {
            var events = try reader.source.events([RunPart(run)])
            while let event = try events.next() { try body(try lines.line(event)) }
        }
    }
}

/// Reads runs from a file that an export made.
public enum RunTransfer {
    /// Hands every event of a file to an import, all hashes checked on the way.
    public static func read(_ path: FilePath, into runs: inout RunImport) throws {
        var file = try RunFile(path)
        while let event = try file.next() {
            try runs.take(
                StoredEvent(
                    run: event.run,
                    place: RunFold.Place(position: event.position, epoch: event.epoch),
                    body: event.body))
        }
    }
}

/// Reads the lines of an export, or of a program that makes some.
public struct RunLineImport {
    private var lines = EventLineReader()
    private var count = 0

    /// Creates a reader.
    public init() {}

    /// Hands the event of a line to an import.
    ///
    /// - Throws: ``RunLineError`` for a line that is no event.
    public mutating func take(_ line: [UInt8], into runs: inout RunImport) throws {
        count += 1
        if line.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) { return }
        let event: StoredEvent
        do {
            event = try lines.event(try JSONValue(parsing: line))
        } catch {
            throw RunLineError(line: count, reason: ErrorText.words(error))
        }
        try runs.take(event)
    }
}

/// A line that is no event of a run.
public struct RunLineError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The line's number, from 1 on.
    public let line: Int
    /// Why.
    public let reason: String

    /// One line.
    public var description: String { "line \(line): \(reason)" }
}
