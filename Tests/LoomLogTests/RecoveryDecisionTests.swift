import LoomFormat
import Testing

@testable import LoomLog

/// The recovery table, tried on every combination of facts against the rules as FORMAT.md words
/// them.
@Suite struct RecoveryDecisionTests {
    private static let ends = [128, 4096, 8192]
    private static let kinds: [BlockKind?] = [nil, .events, .filler, .syncMark, .close, .seal]
    private static let stops: [TailFacts.Stop] = [
        .blank, .partial, .misplaced, .malformed, .unknown,
    ]
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
        if !facts.meetsManifest { return "B" }
        if [.misplaced, .malformed].contains(facts.stop) { return "C" }
        switch facts.lastKind {
        case .some(.seal): return facts.isBlankBehind ? "E" : "D"
        case .some(.close) where facts.isBlankBehind && facts.manifestEnd == facts.validEnd:
            return "F"
        default: break
        }
        if facts.mark != .none { return "G" }
        let isProof = facts.lastKind == .syncMark || facts.lastKind == .close
        return isProof && facts.isBlankBehind ? "H" : "I"
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
                                    check(
                                        TailFacts(
                                            stop: stop, validEnd: end, lastKind: kind,
                                            isBlankBehind: isBlank, durableUpTo: durable,
                                            manifestEnd: manifest, meetsManifest: true,
                                            mark: mark), &seen)
                                }
                            }
                        }
                    }
                }
            }
        }
        #expect(Set(seen.keys) == Set("ABCDEFGHI"), "\(seen)")
    }

    /// Decides the facts with a chain that meets the manifest's end, and with one that does not.
    private func check(_ facts: TailFacts, _ seen: inout [Character: Int]) {
        for meets in [true, false] {
            var facts = facts
            facts.meetsManifest = meets
            let rule = expected(facts)
            seen[rule, default: 0] += 1
            if RecoveryDecision(facts).rule.rawValue != String(rule) {
                Issue.record("\(facts): rule \(rule)")
            }
        }
    }
}
