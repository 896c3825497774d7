import LoomFormat
import Testing

@testable import LoomLog

/// The recovery table, tried on every combination of facts against the rules as FORMAT.md words
/// them.
@Suite struct RecoveryDecisionTests {
    private static let ends = [128, 4096, 8192]
    private static let kinds: [BlockKind?] = [nil, .events, .filler, .syncMark, .close, .seal]
    private static let stops: [TailFacts.Stop] = [.blank, .partial, .misplaced, .unknown]
    private static let marks: [TailFacts.MarkFact] =
        [.none, .ahead]
        + [0, 128, 4096, 8192, 9000].flatMap { published in
            [0, 128, 4096, 9000].map { .upTo(published: published, durable: $0) }
        }

    /// The rules again, in the words of the document and in another shape than the code.
    private func expected(_ facts: TailFacts) -> Character {
        if facts.stop == .unknown { return "A" }
        var vouched = [facts.manifestEnd, facts.durableUpTo]
        if case .upTo(let published, let durable) = facts.mark { vouched += [published, durable] }
        if facts.mark == .ahead || vouched.contains(where: { $0 > facts.validEnd }) { return "B" }
        if facts.stop == .misplaced { return "C" }
        switch facts.lastKind {
        case .some(.seal): return facts.isBlankBehind ? "E" : "D"
        case .some(.close) where facts.isBlankBehind: return "F"
        default: break
        }
        if facts.mark != .none { return "G" }
        return facts.lastKind == .syncMark && facts.isBlankBehind ? "H" : "I"
    }

    private func letter(_ decision: RecoveryDecision) -> Set<Character> {
        switch decision {
        case .refuseUnsupported: ["A"]
        case .refuseCorrupt(.misplacedBlock): ["C"]
        case .refuseCorrupt(.bytesBehindSeal): ["D"]
        case .refuseCorrupt: ["B"]
        case .startSegment(.sealed, .clean): ["E"]
        case .continueInPlace: ["F"]
        case .startSegment(.recovered, .proven): ["G", "H"]
        case .startSegment(.recovered, .unproven): ["I"]
        case .startSegment: []
        }
    }

    @Test("every combination of facts is decided as the document says")
    func exhaustive() {
        var seen: [Character: Int] = [:]
        for stop in Self.stops {
            for end in Self.ends {
                for kind in Self.kinds {
                    for isBlank in [true, false] {
                        for durable in [0, 128, 4096, 9000] {
                            for manifest in [128, 4096, 9000] {
                                for mark in Self.marks {
                                    let facts = TailFacts(
                                        stop: stop, validEnd: end, lastKind: kind,
                                        isBlankBehind: isBlank, durableUpTo: durable,
                                        manifestEnd: manifest, mark: mark)
                                    let rule = expected(facts)
                                    seen[rule, default: 0] += 1
                                    if !letter(RecoveryDecision(facts)).contains(rule) {
                                        Issue.record("\(facts): rule \(rule)")
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        #expect(Set(seen.keys) == Set("ABCDEFGHI"), "\(seen)")
    }
}
