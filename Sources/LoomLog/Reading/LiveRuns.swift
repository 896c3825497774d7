internal import LoomFormat

/// Where the units of each run stand in the live segments: 16 bytes for each unit.
struct LiveRuns {
    /// A unit of a run.
    struct Unit {
        /// Which of ``LiveRuns/segments``.
        let segment: UInt32
        let offset: UInt32
        /// The position behind the run's events up to and with this unit.
        let end: UInt64
    }

    /// What is known of one run.
    struct Run {
        fileprivate(set) var units: [Unit] = []
        /// Tells it from what was known of a run of this name before all its units went.
        fileprivate(set) var serial = 0
        /// How many units before those went, as they were archived.
        fileprivate(set) var first = 0
        /// Epoch of the last event, and the position behind it.
        fileprivate(set) var epoch: UInt64 = 0
        fileprivate(set) var position: UInt64 = 0
        /// Whether some unit holds events of another run, too: then only a scan finds them all.
        fileprivate(set) var isMixed = false

        /// The number behind the last unit, counted from the first that was ever seen.
        var end: Int { first + units.count }

        /// The number of the first unit that may have an event at a position or behind it.
        func unit(at position: UInt64) -> Int {
            var (low, high) = (0, units.count)
            while low < high {
                let middle = (low + high) / 2
                if units[middle].end > position { high = middle } else { low = middle + 1 }
            }
            return first + low
        }
    }

    private(set) var runs: [RunID: Run] = [:]
    /// The segments in the order in which they were met.
    private(set) var segments: [UInt64] = []
    /// The sequence behind everything that was seen.
    private(set) var nextSequence: UInt64 = 0
    private var serial = 0

    /// Takes a unit in; one that was seen before changes nothing.
    mutating func see(_ events: [LogEvent]) {
        guard let first = events.first, first.sequence >= nextSequence else { return }
        if segments.last != first.segmentID { segments.append(first.segmentID) }
        let segment = UInt32(clamping: segments.count - 1)
        let isMixed = events.contains { $0.run != first.run }
        for event in events { see(event, segment, isMixed: isMixed) }
        nextSequence = (events.last?.sequence ?? 0) + 1
    }

    private mutating func see(_ event: LogEvent, _ segment: UInt32, isMixed: Bool) {
        if runs[event.run] == nil {
            serial += 1
            runs[event.run, default: Run()].serial = serial
        }
        func see(in run: inout Run) {
            let behind = event.position == .max ? .max : event.position + 1
            let end = max(run.units.last?.end ?? 0, behind)
            let unit = Unit(segment: segment, offset: UInt32(clamping: event.offset), end: end)
            if let last = run.units.last, last.segment == segment, last.offset == unit.offset {
                run.units[run.units.count - 1] = unit
            } else {
                run.units.append(unit)
            }
            (run.epoch, run.position) = (event.epoch, behind)
            if isMixed { run.isMixed = true }
        }
        see(in: &runs[event.run, default: Run()])
    }

    /// Forgets the units of segments that are not live any more: they are the oldest ones.
    mutating func keep(only live: Set<UInt64>) {
        guard segments.contains(where: { !live.contains($0) }) else { return }
        let isLive = segments.map(live.contains)
        var kept: [RunID: Run] = [:]
        for (id, run) in runs {
            let count = run.units.prefix { !isLive[Int($0.segment)] }.count
            if count == run.units.count { continue }
            var run = run
            run.units.removeFirst(count)
            run.first += count
            kept[id] = run
        }
        runs = kept
    }
}
