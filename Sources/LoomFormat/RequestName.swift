/// The name of a request in a log's inbox: when it was made, and its identity.
///
/// Requests are served in order of their names. See FORMAT.md, Requests.
public struct RequestName: Hashable, Comparable, Sendable {
    /// Microseconds since 1970-01-01 UTC, by the clock of whoever asks.
    public let microseconds: UInt64
    /// The request's identity.
    public let id: RequestID

    /// Creates a name.
    public init(microseconds: UInt64, id: RequestID) {
        self.microseconds = microseconds
        self.id = id
    }

    /// The files that a request can have.
    public enum File: String, Hashable, Sendable, CaseIterable {
        /// A request that is still being written.
        case unfinished = ".tmp"
        /// A request that nobody has taken up.
        case waiting = ".req"
        /// A request that the process with the log has taken up.
        case taken = ".taken"
        /// Why a request was refused that no run could answer.
        case refusal = ".no"
        /// What long work has come to.
        case answer = ".answer"
        /// A refusal or an answer that is still being written.
        case unfinishedAnswer = ".new"
    }

    /// The name of one of its files.
    public func file(_ file: File) -> String { "\(self)\(file.rawValue)" }

    /// Reads the name of a file in the inbox; `nil` for what is none.
    public static func parse(_ name: String) -> (name: RequestName, file: File)? {
        let bytes = Array(name.utf8)
        guard bytes.count > stemByteCount, bytes[16] == UInt8(ascii: "-"),
            let microseconds = UInt64(hexDigits: bytes[..<16]),
            let id = RequestID(String(decoding: bytes[17..<stemByteCount], as: UTF8.self)),
            let file = File.allCases.first(where: {
                $0.rawValue.utf8.elementsEqual(bytes[stemByteCount...])
            })
        else { return nil }
        return (RequestName(microseconds: microseconds, id: id), file)
    }

    private static let stemByteCount = 16 + 1 + 32

    /// Order by time, then by identity: that of the names' bytes.
    public static func < (a: RequestName, b: RequestName) -> Bool {
        (a.microseconds, a.id.high, a.id.low) < (b.microseconds, b.id.high, b.id.low)
    }
}

extension RequestName: CustomStringConvertible {
    /// 16 hexadecimal digits, a hyphen, 32 hexadecimal digits.
    public var description: String { "\(microseconds.paddedHex)-\(id)" }
}
