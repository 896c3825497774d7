@testable import LoomLog
@testable import LoomRuns

extension LogOptions {
    /// Those of a log whose segments of so many bytes are archived when its timers run, and which
    /// are merged by nobody.
    static func archivingRuns(segmentBytes: Int) -> LogOptions {
        var options = LogOptions(durability: .off)
        options.driver = .inline
        (options.firstSegmentBytes, options.segmentBytesMax) = (segmentBytes, segmentBytes)
        options.archiving = ArchivingOptions(RunIndexer())
        options.archiving?.merges = false
        return options
    }
}
