import Foundation

/// Processor time as Linux tells it.
public enum ProcessorTime {
    /// Seconds of each thread that lives, by its name; of several of one name the sum.
    public static func ofThreads() -> [String: Double] {
        let folder = "/proc/self/task"
        var times: [String: Double] = [:]
        for thread in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            guard let name = text("\(folder)/\(thread)/comm"),
                let figures = text("\(folder)/\(thread)/schedstat"),
                let nanoseconds = figures.split(separator: " ").first.flatMap({ Double($0) })
            else { continue }
            times[name.trimmingCharacters(in: .whitespacesAndNewlines), default: 0] +=
                nanoseconds / 1e9
        }
        return times
    }

    /// Seconds of the processes that this one has waited for.
    public static func ofChildren() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &usage)
        return [usage.ru_utime, usage.ru_stime].reduce(0) {
            $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6
        }
    }

    /// Seconds of this process, all threads together.
    public static func ofProcess() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}

/// Memory as Linux tells it.
public enum Memory {
    /// The most KiB that this process had in memory, file pages included.
    public static func most() -> Int { kibibytes("VmHWM:") }

    /// KiB that it has of its own now: what is mapped from a file belongs to the file.
    public static func own() -> Int { kibibytes("RssAnon:") }

    /// Begins ``most()`` anew.
    public static func forgetMost() {
        try? "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)
    }

    private static func kibibytes(_ name: String) -> Int {
        let line = text("/proc/self/status")?.split(separator: "\n").first { $0.hasPrefix(name) }
        return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
    }
}

private func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
