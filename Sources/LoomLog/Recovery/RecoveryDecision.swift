internal import LoomFormat

/// What was seen at the end of the active segment. Facts only; ``RecoveryDecision`` judges them.
///
/// Offsets are those of the file. `validEnd` is the end of the last unit, or other block, that
/// verifies in an unbroken chain from the start of the segment.
struct TailFacts: Hashable, Sendable {
    /// What stands at the first place where the chain does not go on.
    enum Stop: Hashable, Sendable {
        /// Zeros, or the end of the file.
        case blank
        /// Bytes that a cut store can leave: no whole block of this place.
        case partial
        /// A block whose own hashes verify and that does not follow: no crash can leave that.
        case misplaced
        /// A block whose hash verifies and that this version does not know.
        case unknown
        /// A unit whose blocks verify and whose content the format forbids.
        case malformed
    }

    var stop: Stop
    var validEnd: Int
    /// The kind of the block that ends there.
    var lastKind: BlockKind?
    /// Whether everything behind the valid end is zero.
    var isBlankBehind: Bool
    /// The largest durable offset told by a block whose header verifies, before or behind the end.
    var durableUpTo: Int
    /// The end that the manifest recorded when it was written: synced before it was.
    var manifestEnd: Int
    /// Whether the chain passes the recorded end with the recorded hash and sequence.
    var meetsManifest: Bool
    /// What MARK says when it counts on this boot.
    var mark: MarkFact
    /// Whether the manifest is a backup's, and no writer has begun a segment since.
    var isCopy = false

    enum MarkFact: Hashable, Sendable {
        /// No mark, or one of another boot or file.
        case none
        /// It names this segment, or an earlier one and so nothing here: offsets that it vouches
        /// for.
        case upTo(published: Int, durable: Int)
        /// It names a segment that the manifest does not list.
        case ahead
    }
}

/// What a writer does with the end of the log: a pure function of ``TailFacts``.
///
/// Goal: a torn tail never blocks opening, and damage never passes as a torn tail. The rules are
/// tried in order and the first that holds decides. See FORMAT.md, Recovery, where they have the
/// same letters.
///
/// ```text
/// A  a block of a newer version stands at the end               refuse: unsupported
/// B  manifest, a block, or MARK vouch for bytes past the end     refuse: corrupt
/// C  a whole block that does not follow, or a malformed unit     refuse: corrupt
/// D  the last block is a seal and not only zeros follow         refuse: corrupt
/// E  the last block is a seal                                    the roll is finished: new segment
/// J  the segment is the last one of a backup                     copied: new segment
/// F  the last block is a close, only zeros follow, and the
///    manifest names this end                                     go on in this segment
/// G  MARK counts on this boot                                    torn, proven: new segment
/// H  the last block is a sync mark or a close, only zeros follow torn, proven: new segment
/// I  anything else: power was lost while bytes were unsynced     torn, unproven: new segment
/// ```
///
/// What it does not protect from: after a power loss, damage inside the last sync group looks the
/// same as a tear, which is why rule I says so.
enum RecoveryDecision: Hashable, Sendable {
    case refuseUnsupported
    case refuseCorrupt(Reason)
    case continueInPlace
    case startSegment(after: SegmentState, proof: Proof)

    enum Reason: String, Hashable, Sendable {
        case manifestVouches = "the manifest proves that the log went on behind this place"
        case manifestDiffers = "the manifest names another block than the one that stands here"
        case blockVouches = "a later block proves that these bytes were durable"
        case markVouches = "MARK proves that these bytes were written on this boot"
        case markAhead = "MARK names a segment that no manifest lists"
        case misplacedBlock = "a whole block stands here that does not follow the one before"
        case malformedUnit = "a unit that verifies holds what the format forbids"
        case bytesBehindSeal = "bytes follow the block that ends the segment"
    }

    /// What proves that nothing acknowledged is missing.
    enum Proof: Hashable, Sendable {
        /// The seal of a full segment.
        case sealed
        /// MARK of this boot.
        case marked
        /// A sync mark, or a close block that no manifest names.
        case block
        /// The manifest of a backup, which ended here.
        case copied
        /// Nothing.
        case unproven
    }

    init(_ facts: TailFacts) {
        if facts.stop == .unknown {
            self = .refuseUnsupported  // A
        } else if let reason = facts.vouchedPastEnd {
            self = .refuseCorrupt(reason)  // B
        } else if facts.stop == .misplaced {
            self = .refuseCorrupt(.misplacedBlock)  // C
        } else if facts.stop == .malformed {
            self = .refuseCorrupt(.malformedUnit)  // C
        } else if facts.lastKind == .seal {
            // D, E: nothing is ever written behind a seal, not even by a crash.
            self =
                facts.isBlankBehind
                ? .startSegment(after: .sealed, proof: .sealed) : .refuseCorrupt(.bytesBehindSeal)
        } else if facts.isCopy {
            // Before F: where its original closed the log, this one may not go on in its segment.
            self = .startSegment(after: .recovered, proof: .copied)  // J
        } else if facts.lastKind == .close && facts.isBlankBehind && facts.isNamedByManifest {
            self = .continueInPlace  // F
        } else {
            self = .torn(facts)
        }
    }

    private static func torn(_ facts: TailFacts) -> RecoveryDecision {
        if case .upTo = facts.mark {
            return .startSegment(after: .recovered, proof: .marked)  // G
        }
        if [.syncMark, .close].contains(facts.lastKind) && facts.isBlankBehind {
            return .startSegment(after: .recovered, proof: .block)  // H
        }
        return .startSegment(after: .recovered, proof: .unproven)  // I
    }

    /// The rule that decided.
    var rule: EndOfLog.Rule {
        switch self {
        case .refuseUnsupported: .newerVersion
        case .refuseCorrupt(.misplacedBlock), .refuseCorrupt(.malformedUnit): .misplaced
        case .refuseCorrupt(.bytesBehindSeal): .behindSeal
        case .refuseCorrupt: .vouched
        case .continueInPlace: .closed
        case .startSegment(_, .sealed): .sealed
        case .startSegment(_, .marked): .marked
        case .startSegment(_, .block): .provenByBlock
        case .startSegment(_, .copied): .copied
        case .startSegment(_, .unproven): .unproven
        }
    }

    /// Whether the log may not be opened.
    var isRefusal: Bool {
        switch self {
        case .refuseUnsupported, .refuseCorrupt: true
        case .continueInPlace, .startSegment: false
        }
    }
}

extension TailFacts {
    /// Whether the manifest records this very end.
    var isNamedByManifest: Bool { meetsManifest && manifestEnd == validEnd }

    /// Who vouches for bytes past the valid end, if anybody does.
    var vouchedPastEnd: RecoveryDecision.Reason? {
        if manifestEnd > validEnd { return .manifestVouches }
        if !meetsManifest { return .manifestDiffers }
        // Of a backup they were said where the original stood: its manifest says what it has.
        if durableUpTo > validEnd, !isCopy { return .blockVouches }
        switch mark {
        case .ahead: return .markAhead
        case .upTo(let published, let durable):
            return max(published, durable) > validEnd ? .markVouches : nil
        case .none: return nil
        }
    }
}
