public import LoomFormat
internal import LoomStorage
public import SystemPackage

/// How a log ends: what stands at the end of its active segment, and what FORMAT.md section 11
/// makes of it.
///
/// Readers, recovery and repair all judge the end of a log by this one value, so that none of them
/// takes for an end what another calls damage.
public struct EndOfLog: Sendable {
    /// The rules of FORMAT.md section 11, by their letters there.
    public enum Rule: String, Hashable, Sendable, CaseIterable {
        /// A: a block of a newer version stands at the end.
        case newerVersion = "A"
        /// B: something vouches for bytes past the end.
        case vouched = "B"
        /// C: a whole block stands there that does not follow, or a unit that holds what the format
        /// forbids.
        case misplaced = "C"
        /// D: bytes follow the seal.
        case behindSeal = "D"
        /// E: the segment is sealed: the roll is to be finished.
        case sealed = "E"
        /// F: the log was closed, and the manifest names this end.
        case closed = "F"
        /// G: MARK counts on this boot.
        case marked = "G"
        /// H: a sync mark or a close block proves the end.
        case provenByBlock = "H"
        /// I: power was lost while bytes were unsynced.
        case unproven = "I"
        /// J: the log is a backup, and no writer has gone on with it.
        case copied = "J"
    }

    /// The segment's file.
    public let path: FilePath
    /// The segment.
    public let segmentID: UInt64
    /// Offset after the last whole unit or other block.
    public let validEnd: Int
    /// Sequence of the event that comes next.
    public let nextSequence: UInt64
    /// Bytes behind the valid end, up to the last that is not zero.
    public let discardedBytes: Int
    /// The rule that decides.
    public let rule: Rule
    /// Where the chain stops: the valid end, or a block behind it.
    public let offset: Int
    /// The runs whose events stand behind the damage; of a log that is not refused, none. At most
    /// a message's worth of them.
    public let runsBehind: [RunID]

    let facts: TailFacts
    let decision: RecoveryDecision
    let behind: SpaceBehind
    private let fault: BlockFault?

    /// Judges the end that a reader came to.
    ///
    /// Reads what lies behind it, once; of a log that is refused, also the blocks found there.
    init(
        _ segment: SegmentReader, _ stop: SegmentReader.Stop, file: any StorageFile,
        mark: MarkFile.Words?
    ) throws(LogError) {
        path = segment.path
        segmentID = segment.entry.segmentID
        validEnd = segment.validEnd
        nextSequence = segment.nextSequence
        behind = try SpaceBehind(
            file, salt: segment.header.salt, from: segment.validEnd, to: try segmentLimit(file))
        discardedBytes = behind.usedBytes
        if case .fault(let fault, let offset) = stop {
            (self.fault, self.offset) = (fault, offset)
        } else {
            (fault, offset) = (nil, segment.validEnd)
        }
        facts = TailFacts(
            stop: .init(fault), validEnd: segment.validEnd, lastKind: segment.lastKind,
            isBlankBehind: behind.usedBytes == 0,
            durableUpTo: max(segment.durableUpTo, behind.durableUpTo),
            manifestEnd: Int(segment.entry.validEnd), meetsManifest: segment.meetsManifest,
            mark: .init(mark, segmentID: segment.entry.segmentID),
            isCopy: segment.entry.ending == .copied)
        decision = RecoveryDecision(facts)
        rule = decision.rule
        runsBehind = decision.isRefusal ? behind.runs(file, segment) : []
    }

    /// Why the log is refused, with file, offset and runs; `nil` when it is not refused.
    public var refusal: LogError? {
        let what: String
        switch decision {
        case .refuseUnsupported: what = "written by a newer version"
        // What stands there first, as it is the cause; then who proves that it is no mere end.
        case .refuseCorrupt(let reason):
            what = "damaged: " + (fault.map { "\($0); " } ?? "") + reason.rawValue
        case .continueInPlace, .startSegment: return nil
        }
        var message = what
        if let fault, decision == .refuseUnsupported { message += "; \(fault)" }
        if !runsBehind.isEmpty {
            let names = runsBehind.prefix(5).map(\.rawValue).joined(separator: ", ")
            let more = runsBehind.count > 5 ? " and others" : ""
            message += "; events of \(names)\(more) stand behind it"
        }
        let isNewer = decision == .refuseUnsupported
        return LogError(
            isNewer ? .unsupportedVersion : .corrupt, message, path: path, offset: offset)
    }
}

extension TailFacts.Stop {
    /// Sorts a fault by what a crash can leave.
    init(_ fault: BlockFault?) {
        self =
            switch fault {
            case nil: .blank
            case .header(.unsupported): .unknown
            case .header, .payload: .partial
            case .chain, .order: .misplaced
            case .content: .malformed
            }
    }
}

extension TailFacts.MarkFact {
    /// Sorts the words of a mark that counts by the segment that they name.
    init(_ words: MarkFile.Words?, segmentID: UInt64) {
        guard let words else {
            self = .none
            return
        }
        let low = UInt32(truncatingIfNeeded: segmentID)
        func offset(_ word: MarkWord) -> Int? {
            if word.segmentLow == low { return word.offset }
            return word.segmentLow < low ? 0 : nil
        }
        guard let published = offset(words.published), let durable = offset(words.durable) else {
            self = .ahead
            return
        }
        self = .upTo(published: published, durable: durable)
    }
}
