package import LoomFormat

/// Leaves the bytes of states out of the events of a part of a run: those that its policies hide.
///
/// All is decided by what is known before the first event, so that no event waits for another: what
/// the newest outline of the run shows, and with what the part ends. Policies hide more and more of
/// the steps that are over, so no answer changes.
///
/// What stays of the states: those that are shown; that of the step which the run is at, as it may
/// be shown yet; the last one of the part, which later parts go on from; and the whole ones that
/// outlines name, as reads begin there. The delta of a state that stays is against the last one
/// that stayed. Where a whole state between the two was left out, it is whole itself: a read never
/// follows more deltas than it did, and one that was about to begin at the whole state that went
/// finds the next one.
///
/// Run twice it gives the same events.
package struct StateBlanking {
    private let policies: PolicyView
    /// States of this step and later ones may be shown yet, whatever the policies say now.
    private let openStep: UInt64
    /// The step that reads the part's last state.
    private let lastStep: UInt64
    /// Positions of whole states that others name.
    private let named: [UInt64]
    /// What leads from the last state that stayed to the present one.
    private var pending = DeltaChain()

    /// A state that consists of more pieces than these stays: composing deltas costs their number.
    private static let piecesMax = 4096
    /// Bytes that the deltas may hold beside twice the state before those are let go that it has no
    /// more.
    private static let spareBytesMax = 1 << 20

    /// - Parameters:
    ///   - newest: What is known of the run by now.
    ///   - part: What is known behind the part's last event.
    /// - Returns: `nil` where nothing may be left out.
    package init?(newest: RunOutline, part: RunOutline) {
        guard newest.hidesStoredBytes, part.isBegun, part.violations.isEmpty,
            part.summary.deletedEpoch == newest.summary.deletedEpoch
        else { return nil }
        policies = newest.policies
        openStep = newest.summary.stepIndex
        lastStep = part.summary.stepIndex
        named = [newest.state.wholeState, part.state.wholeState]
    }

    /// What is stored in the place of an event's content; `nil` where it stays as it is.
    ///
    /// - Parameters:
    ///   - event: The next event that the fold of the run accepted.
    ///   - isPlain: Whether its bytes are those that this version writes. The state of one that has
    ///     more stays.
    /// - Throws: `FormatError` where its delta does not fit; it fitted when it was folded.
    package mutating func replacement(
        of event: RunEvent, at position: UInt64, isPlain: Bool
    ) throws(FormatError) -> RunEvent.Content? {
        switch event.content {
        case .created, .migrated:
            pending = DeltaChain()
            return nil
        case .snapshot(let step, let state):
            if state.isEmpty { return nil }
            guard isPlain, hides(step), !named.contains(position) else {
                pending = DeltaChain()
                return nil
            }
            try append(StateDelta.whole(state))
            return .snapshot(step: step, state: [])
        case .stepCommitted(let id, let delta):
            let goesOn = !pending.isEmpty
            if !delta.isEmpty { try append(delta) }
            let step = id.step &+ 1
            if isPlain, hides(step), step != lastStep, pending.pieceCount <= Self.piecesMax {
                return delta.isEmpty ? nil : .stepCommitted(id, delta: [])
            }
            defer { pending = DeltaChain() }
            // A whole state needs nothing before it.
            let staysAsIs = !goesOn || StateDelta.isWhole(delta.rawSpan)
            return staysAsIs ? nil : .stepCommitted(id, delta: try composed())
        default: return nil
        }
    }

    private func hides(_ step: UInt64) -> Bool { step < openStep && !policies.showsState(step) }

    private mutating func append(_ delta: [UInt8]) throws(FormatError) {
        try pending.append(delta.rawSpan)
        if pending.heldBytes > 2 * pending.resultLength + Self.spareBytesMax {
            try pending.letGo()
        }
    }

    private func composed() throws(FormatError) -> [UInt8] {
        let delta = pending.encoded()
        guard delta.count <= FormatLimits.unitBytesMax else {
            throw .invalid("a delta of \(delta.count) bytes")
        }
        return delta
    }
}

extension RunOutline {
    /// Whether bytes of the run that are still stored may be hidden: not where its events are not
    /// understood to the last.
    package var hidesStoredBytes: Bool {
        isBegun && policies.hidesAnything && violations.isEmpty && unknownEvent == nil
    }
}
