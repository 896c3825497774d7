internal import LoomFormat

/// How long the state of a run is and where it begins to be stored, followed without its bytes, so
/// that a delta that does not fit is found by every read alike.
public struct StateExtent: Hashable, Sendable {
    /// Bytes of the present state.
    public internal(set) var length: UInt64 = 0
    /// The position of the last event that carries a whole state.
    public internal(set) var wholeState: UInt64 = 0
    /// The most bytes that whoever follows the states from there on has to keep.
    public internal(set) var heldBytes: UInt64 = 0

    /// The extent of no state.
    public init() {}

    /// Applies an event; one without a state changes nothing.
    ///
    /// - Throws: `FormatError` for a delta that is malformed or against a state of another length;
    ///   then nothing has changed.
    mutating func apply(_ event: RunEvent, at position: UInt64) throws(FormatError) {
        switch event.content {
        case .created(let creation): reset(to: creation.state.count, position)
        // One that was not kept says nothing.
        case .snapshot(_, let state): if !state.isEmpty { reset(to: state.count, position) }
        case .migrated(_, let state): reset(to: state.count, position)
        case .stepCommitted(_, let delta): _ = try append(delta.rawSpan)
        default: break
        }
    }

    /// The same for the events of an advance.
    mutating func apply(_ advance: StepAdvance, at position: UInt64) throws(FormatError) {
        _ = try append(advance.change.delta.rawSpan)
        if let state = advance.change.snapshot { reset(to: state.count, position + 1) }
    }

    /// Applies the delta of a commit.
    ///
    /// One without bytes says that the state was not kept: the next one is against the state
    /// before.
    ///
    /// - Returns: Whether the delta is a whole state.
    mutating func append(_ delta: RawSpan) throws(FormatError) -> Bool {
        if delta.isEmpty { return false }
        let (base, result) = try StateDelta.lengths(of: delta)
        if let base, UInt64(base) != length {
            throw .invalid("a delta against \(base) bytes, not \(length)")
        }
        length = UInt64(result)
        heldBytes = max(heldBytes + UInt64(delta.byteCount), length)
        return base == nil
    }

    private mutating func reset(to length: Int, _ position: UInt64) {
        (self.length, wholeState, heldBytes) = (UInt64(length), position, UInt64(length))
    }
}
