internal import LoomFormat
internal import LoomStorage
public import SystemPackage

/// Why a call on the log failed: a code to switch on, one line for people, a hint, the cause.
public struct LogError: Error, Sendable {
    /// What kind of failure it is. More codes may come.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The code's name.
        public let description: String
        private init(_ name: String) { description = name }

        /// Bytes that were durable are damaged. Nothing was changed.
        public static let corrupt = Code("corrupt")
        /// The directory is a copy that was made file by file while a writer had the log open: its
        /// files are not of one moment.
        public static let copiedWhileLive = Code("copiedWhileLive")
        /// The log was written by a newer version.
        public static let unsupportedVersion = Code("unsupportedVersion")
        /// Another writer has the log open.
        public static let locked = Code("locked")
        /// There is no log there.
        public static let notFound = Code("notFound")
        /// Something that is not a log is there, or a log where none was expected.
        public static let notALog = Code("notALog")
        /// No room on the device. Nothing was appended; it works again when there is room.
        public static let outOfSpace = Code("outOfSpace")
        /// An earlier write or sync failed: this writer appends no more. Reading goes on.
        public static let poisoned = Code("poisoned")
        /// The writer was closed.
        public static let closed = Code("closed")
        /// A unit or an option is outside the limits.
        public static let limitExceeded = Code("limitExceeded")
        /// What a reader looks at was rewritten meanwhile: it has to look again.
        package static let rewritten = Code("rewritten")
        /// Too many requests wait in the inbox already. Nothing was asked.
        public static let inboxFull = Code("inboxFull")
        /// The system refused a call.
        public static let io = Code("io")
    }

    /// What kind of failure it is.
    public let code: Code
    /// What happened, in one line.
    public let message: String
    /// The file or folder concerned.
    public let path: FilePath?
    /// Offset in the file, when a place is known.
    public let offset: Int?
    /// The error below this one.
    public let cause: (any Error)?
    /// What to do, where it is not what the code alone says.
    private let advice: String?
    /// The archive whose tables cannot be read, where that is what failed: they are derived.
    private(set) var tablesOf: UInt64?

    /// Creates an error.
    public init(
        _ code: Code, _ message: String, path: FilePath? = nil, offset: Int? = nil,
        cause: (any Error)? = nil, advice: String? = nil
    ) {
        self.code = code
        self.message = message
        self.path = path
        self.offset = offset
        self.cause = cause
        self.advice = advice
    }

    /// What to do about it.
    public var hint: String {
        if let advice { return advice }
        if isDisplaced { return "look for the directory: what was acknowledged went with it" }
        if storageCause?.isNoFile == true {
            let isDerived = [FileName.lock, FileName.mark].contains(path?.lastComponent?.string)
            return isDerived
                ? "remove it: the next writer makes it again"
                : "put the file itself in its place: a link is not followed"
        }
        return switch code {
        case .corrupt: "loomlog dump shows what stands before the damage; nothing was changed"
        case .copiedWhileLive: "make the copy with loomlog backup: it may be made at any time"
        case .unsupportedVersion: "use the version of loomlog that wrote it, or a newer one"
        case .locked: "wait for it to finish, or pass --wait"
        case .notFound: "check the path given by --log or LOOMLOG_DIR"
        case .outOfSpace: "free some space and try again; nothing was lost"
        case .poisoned: "open the log again: it recovers what was acknowledged"
        case .notALog: "a log is a directory that loomlog made: give another path by --log"
        case .closed: "open the log again"
        case .inboxFull: "wait until the process that has the log has served some, or end it"
        case .limitExceeded: "FORMAT.md has the limits; keep large data in files"
        default: "check the path, its permissions and the disk; what was acknowledged stays"
        }
    }
}

extension LogError: CustomStringConvertible {
    /// One line: where, what, why.
    public var description: String {
        var text = ""
        if let path { text += "\(path): " }
        text += message
        if let offset { text += " (offset \(offset))" }
        return text
    }
}

extension LogError {
    /// Adds the engine's view to a failed call of the storage.
    init(_ error: StorageError, doing what: String) {
        let code: Code =
            error.isHeld
            ? .locked
            : error.isOutOfSpace ? .outOfSpace : error.isNoFile ? .corrupt : .io
        self.init(code, Self.message(error, doing: what), path: error.path, cause: error)
    }

    private static func message(_ error: StorageError, doing what: String) -> String {
        if let holder = error.holder { return "the log is open for writing by \(holder)" }
        if let irregular = error.irregular {
            return "\(what): it \(irregular.rawValue), not a regular file"
        }
        if error.isNoFile { return "\(what): it is a folder, not a regular file" }
        if error.isDisplaced {
            return "\(what): it was moved, deleted, replaced or overwritten meanwhile"
        }
        return "\(what): \(error.operation.rawValue) failed: \(error.errno)"
    }

    /// Files of a copy contradict each other as those of a log that was written meanwhile.
    static func copiedWhileLive(
        _ message: String, _ path: FilePath, offset: Int? = nil, cause: (any Error)? = nil
    ) -> LogError {
        LogError(
            .copiedWhileLive, "copied while live: use backup; \(message)", path: path,
            offset: offset, cause: cause)
    }

    /// The writer belongs to the process that opened it, and this is a child that it forked.
    static var forked: LogError {
        LogError(
            .closed, "this process was forked after the log was opened: only the parent writes")
    }

    /// The same, of what was read of an archive's tables.
    func ofTables(_ archive: UInt64) -> LogError {
        guard code == .corrupt || code == .unsupportedVersion else { return self }
        var error = self
        error.tablesOf = archive
        return error
    }

    /// Whether what a reader looked at was rewritten meanwhile, so that it has to look again.
    package var isRewritten: Bool { code == .rewritten }

    private var storageCause: StorageError? {
        (cause as? StorageError) ?? (cause as? LogError)?.storageCause
    }
    private var isDisplaced: Bool { storageCause?.isDisplaced ?? false }

    /// Adds the place to refused bytes.
    init(_ error: FormatError, in path: FilePath, at offset: Int? = nil, what: String) {
        if case .unsupported = error {
            self.init(
                .unsupportedVersion, "\(what): \(error)", path: path, offset: offset, cause: error)
        } else {
            self.init(.corrupt, "\(what): \(error)", path: path, offset: offset, cause: error)
        }
    }
}

/// Runs calls of the storage and wraps what they throw.
func storing<Result>(
    _ what: String, _ body: () throws(StorageError) -> Result
) throws(LogError) -> Result {
    do throws(StorageError) {
        return try body()
    } catch {
        throw LogError(error, doing: what)
    }
}
