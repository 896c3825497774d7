internal import Foundation

/// How much memory this process has of its own.
package enum ProcessMemory {
    /// Anonymous memory in KiB: what is mapped from a file belongs to the file. `nil` where the
    /// system does not say.
    package static func anonymousKibibytes() -> Int? {
        let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = status?.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
        return line.flatMap { Int($0.filter(\.isNumber)) }
    }
}
