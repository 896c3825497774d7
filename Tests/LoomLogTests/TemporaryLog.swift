import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage

/// A folder for one test, removed with it.
final class TemporaryFolder {
    let path: FilePath

    init(below parent: String = NSTemporaryDirectory()) throws {
        let url = URL(filePath: parent).appending(path: "loomlog-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = FilePath(url.path)
    }

    deinit { try? FileManager.default.removeItem(atPath: path.string) }

    var log: FilePath { path.appending("runs.loom") }
}

extension RecordUnit {
    /// A unit of one event, whose body says which it is.
    static func numbered(
        _ number: Int, run: String = "demo", size: Int = 0, isBarrier: Bool = false
    ) throws -> RecordUnit {
        var unit = RecordUnit(
            run: try RunID(run), epoch: 1, position: UInt64(number), isBarrier: isBarrier)
        unit.append(body(number, size: size))
        return unit
    }

    static func body(_ number: Int, size: Int = 0) -> [UInt8] {
        var body = Array("event \(number) ".utf8)
        while body.count < size { body.append(UInt8(truncatingIfNeeded: body.count * 7 + number)) }
        return body
    }
}

/// All events of a log.
func readAll(_ path: FilePath, storage: any Storage = POSIXStorage()) throws -> [LogEvent] {
    var events: [LogEvent] = []
    try LogReader(path: path, storage: storage).scan { events.append($0) }
    return events
}
