internal import Foundation
public import LoomLog
public import LoomRunner
public import LoomRuns
public import SystemPackage

/// A log in a folder of its own, which goes away with this object.
///
/// ```swift
/// let log = try TemporaryLog()
/// let store = try log.open()
/// …
/// try store.close()
/// #expect(try log.reader().get(RunID("demo")).status == "completed")
/// ```
public final class TemporaryLog: Sendable {
    /// The log's directory; made by the first ``open(_:)``.
    public let path: FilePath
    private let folder: String

    /// Makes a folder below the system's folder for temporary files.
    public init() throws {
        let url = FileManager.default.temporaryDirectory
            .appending(path: "loomlog-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        folder = url.path
        path = FilePath(folder).appending("runs.loom")
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// Opens the log for writing.
    public func open(_ options: LogOptions = LogOptions()) throws -> LogRunStore {
        try LogRunStore(path: path, options: options)
    }

    /// Looks at the log.
    public func reader() throws -> RunReader { try RunReader(path: path) }
}
