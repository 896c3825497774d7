internal import LoomFormat
internal import LoomStorage

/// The space that the writer secures next: a new segment file, or more room in the active one.
///
/// A pure choice from the writer's state. How much is filled depends on what the disk has left: see
/// ``bytes(available:)``.
struct SpacePlan {
    enum Target {
        /// A file for the segment that follows.
        case segment
        /// The active file, which a clean close had cut down to what it holds.
        case growth(file: any StorageFile, from: Int)
    }

    let target: Target
    /// Bytes to fill when there is room enough.
    let ideal: Int
    /// Fewer bytes than this are of no use.
    let least: Int
    /// Bytes that the largest waiting unit needs; 0 when none waits.
    let need: Int
    /// Whether an append waits for the space.
    let isNeeded: Bool
    /// Bytes that the disk must have besides: a roll writes a manifest.
    let reserve: Int
    /// The sequence that a new segment would begin near.
    let nextSequence: UInt64

    /// Plans for the unit that waits, or ahead of need.
    init(_ state: WriterState, _ options: LogOptions, segmentCount: Int) {
        let active = state.active
        nextSequence = state.nextSequence
        need = state.rollBytes
        isNeeded = state.isRolling
        let wanted = active.offset + need
        let mustGrow = active.capacity < active.leastCapacity
        let canGrow = active.capacity < active.goal && wanted <= active.goal
        if !active.isSealed, mustGrow || canGrow {
            let end = max(active.leastCapacity, canGrow ? wanted : 0)
            let most = max(active.goal, end)
            // Steps double: a short visit to a long log fills little.
            let step = max(options.firstSegmentBytes, active.grownBytes)
            least = max(0, end - active.capacity).roundedUp(to: FormatLimits.pageBytes)
            ideal = max(least, min(step, most - active.capacity))
                .roundedUp(to: FormatLimits.pageBytes)
            target = .growth(file: active.file, from: active.capacity)
        } else {
            let doubled = min(options.segmentBytesMax, active.goal * 2)
            least = max(options.firstSegmentBytes, need).roundedUp(to: FormatLimits.pageBytes)
            ideal = max(least, doubled.roundedUp(to: FormatLimits.pageBytes))
            target = .segment
        }
        reserve =
            2 * (segmentCount + 2) * ManifestSegment.byteCount + 8 * FormatLimits.pageBytes
    }

    /// Returns how many bytes to fill, or `nil` when the disk has too few.
    ///
    /// Ahead of need, as much as is filled must stay free: the last of a disk belongs to whoever
    /// needs it first. A unit that waits may take what is there, and where the disk is short the
    /// segment gets smaller before the unit is refused.
    func bytes(available: Int) -> Int? {
        let free = max(0, available - reserve)
        let limit = isNeeded ? free : free / 2
        if ideal <= limit { return ideal }
        guard least <= limit else { return nil }
        return max(least, limit / 2 / FormatLimits.pageBytes * FormatLimits.pageBytes)
    }
}
