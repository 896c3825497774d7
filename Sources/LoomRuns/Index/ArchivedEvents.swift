internal import LoomFormat
internal import LoomLog
internal import LoomModel

/// What older archives hold of a run, as a fold that goes on from an outline looks it up.
struct ArchivedEvents: RunPast {
    private let past: any ArchivedPast

    init(_ past: any ArchivedPast) { self.past = past }

    func events(
        _ positions: Range<UInt64>, _ body: (RunEvent, RunFold.Place) -> Bool
    ) throws(LogError) {
        try past.events(positions) { (epoch, position, bytes) throws(LogError) in
            let event: RunEvent?
            do throws(FormatError) {
                event = try RunEvent(decoding: bytes)
            } catch {
                // It was read when the outline was made.
                throw LogError(.corrupt, "event \(position) of an archived run: \(error)")
            }
            return event.map { body($0, .init(position: position, epoch: epoch)) } ?? true
        }
    }

    func calls(of key: ToolKey) throws(LogError) -> [PastCall] {
        guard let fingerprint = key.fingerprint else { return [] }
        return try past.calls(of: fingerprint).map { PastCall(start: $0.start, end: $0.end) }
    }
}

extension ArchivedPast {
    /// The run's outline, if a fold can go on from it: one whose events the fold accepted.
    var outline: RunOutline? { row.outline.flatMap { $0.canBeResumed ? $0 : nil } }
}

extension RunTableRow {
    /// The outline of the run; `nil` where this version has to fold the run anew, as the row has
    /// none, one of another version, or one that leaves out what this version may know.
    var outline: RunOutline? {
        guard !summary.isEmpty, !flags.contains(.unknownKinds),
            let outline = try? RunOutline(decoding: summary.rawSpan),
            outline.isBegun || outline.isDeleted
        else { return nil }
        return outline
    }
}

extension RunTableRow {
    /// The epoch up to which events of the name are of a run that was deleted: also where a fold
    /// cannot go on from the row, as it has events of kinds that are not known.
    var deletedEpoch: UInt64? {
        guard !summary.isEmpty else { return nil }
        return (try? RunOutline(decoding: summary.rawSpan))?.summary.deletedEpoch
    }
}

extension ToolKey {
    /// The fingerprint of a key that outlives its step.
    var fingerprint: KeyFingerprint? {
        switch self {
        case .explicit(let key): KeyFingerprint(kind: 1, key: Array(key.utf8))
        case .shared(let key): KeyFingerprint(kind: 3, key: Array(key.utf8))
        case .occurrence: nil
        }
    }
}
