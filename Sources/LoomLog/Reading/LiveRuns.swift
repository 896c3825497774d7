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
        /// Whether some event may delete it.
        fileprivate(set) var mayBeDeleted = false
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

    private var runs: [Run] = []
    /// Where in `runs` each one is.
    private var places = RunNumbers()
    /// The segments in the order in which they were met.
    private(set) var segments: [UInt64] = []
    /// The sequence behind everything that was seen.
    private(set) var nextSequence: UInt64 = 0
    private var serial = 0

    private struct Place: Equatable {
        let segment: UInt32
        let offset: Int
    }

    /// The unit of the last event, and the run of the unit's first.
    private var (lastPlace, runOfUnit): (Place?, Int) = (nil, 0)

    /// The names of the runs, in any order.
    var names: some Collection<RunID> { places.names }

    /// What is known of a run.
    subscript(_ run: RunID) -> Run? { places[run].map { runs[$0] } }

    /// Takes events in; what was seen before, or is archived by now, changes nothing.
    mutating func see(_ events: UnitEvents) {
        let end = events.sequence &+ events.count
        guard end > nextSequence, !events.isArchived else { return }
        nextSequence = end
        if segments.last != events.segmentID { segments.append(events.segmentID) }
        let segment = UInt32(clamping: segments.count - 1)
        let place = Place(segment: segment, offset: events.offset)
        let number = self.place(of: events.run)
        Self.see(events, place, in: &runs[number], &serial)
        if place != lastPlace { (lastPlace, runOfUnit) = (place, number) }
        // Usually a unit is of one run.
        guard number != runOfUnit else { return }
        for run in [number, runOfUnit] { runs[run].isMixed = true }
    }

    private mutating func place(of run: RunID) -> Int {
        let place = places.number(run)
        if place == runs.count { runs.append(Run()) }
        return place
    }

    private static func see(
        _ events: UnitEvents, _ place: Place, in run: inout Run, _ serial: inout Int
    ) {
        if run.serial == 0 {
            serial += 1
            run.serial = serial
        }
        let (sum, isAbove) = events.position.addingReportingOverflow(events.count)
        let behind = isAbove ? .max : sum
        let unit = Unit(
            segment: place.segment, offset: UInt32(clamping: place.offset),
            end: max(run.units.last?.end ?? 0, behind))
        if let last = run.units.last, last.segment == unit.segment, last.offset == unit.offset {
            run.units[run.units.count - 1] = unit
        } else {
            run.units.append(unit)
        }
        let last = events.position &+ (events.count &- 1)
        (run.epoch, run.position) = (events.epoch, ArchiveWriter.end(of: last))
        if events.mayDelete { run.mayBeDeleted = true }
    }

    /// Forgets the units of segments that are not live any more: they are the oldest ones.
    mutating func keep(only live: Set<UInt64>) {
        guard segments.contains(where: { !live.contains($0) }) else { return }
        let isLive = segments.map(live.contains)
        var (kept, places): ([Run], RunNumbers) = ([], RunNumbers())
        for id in names {
            guard var run = self[id] else { continue }
            let count = run.units.prefix { !isLive[Int($0.segment)] }.count
            if count == run.units.count { continue }
            run.units.removeFirst(count)
            run.first += count
            _ = places.number(id)
            kept.append(run)
        }
        (runs, self.places) = (kept, places)
        // The unit that is gone on with is looked at as if it began.
        lastPlace = nil
    }
}
