internal import LoomFormat
internal import LoomLog

/// The events of one run, or of all, one at a time: up to the end of the log, or to a place in it.
struct EventCursor {
    private var cursor: LogCursor
    private let run: RunID?
    private var unit: [LogEvent] = []
    private var index = 0
    /// The read ends before the event of this sequence, so that a second pass sees what the first
    /// one saw and nothing that was written since.
    var end: UInt64

    /// - Parameters:
    ///   - segment: The segment to begin with; what lies before it is not read.
    ///   - end: The sequence to stop before.
    init(
        _ log: LogReader, run: RunID?, from segment: UInt64? = nil, before end: UInt64 = .max
    ) throws(LogError) {
        cursor = try log.cursor(fromSegment: segment)
        (self.run, self.end) = (run, end)
    }

    /// The sequence behind everything that was read.
    var nextSequence: UInt64 { cursor.position.nextSequence }

    /// The next event, or `nil` at the end; called again at the present end of the log, it returns
    /// what was written in the meantime.
    mutating func next() throws(LogError) -> LogEvent? {
        while true {
            if index < unit.count {
                guard unit[index].sequence < end else { return nil }
                defer { index += 1 }
                return unit[index]
            }
            guard nextSequence < end, let next = try cursor.nextUnit(of: run) else { return nil }
            (unit, index) = (next, 0)
        }
    }
}
