import LoomModel
import Testing

/// What a view shows, against the rule of its doc comment told step by step.
@Suite struct PolicyViewTests {
    struct Change: CustomStringConvertible {
        let step: UInt64
        let policy: CheckpointPolicy
        var description: String { "\(policy) from \(step)" }
    }

    private static let policies: [CheckpointPolicy] = [.full, .interval(3), .compact]
    private static let steps: ClosedRange<UInt64> = 0...4
    /// Enough steps that every interval is met again behind the last change.
    private static let shown = 0..<10

    /// All rows of up to three changes, whose steps never go back: those of a run do not.
    private static let combinations: [[Change]] = {
        var all: [[Change]] = [[]]
        var longest = all
        for _ in 0..<3 {
            longest = longest.flatMap { changes in
                ((changes.last?.step ?? steps.lowerBound)...steps.upperBound).flatMap { step in
                    policies.map { changes + [Change(step: step, policy: $0)] }
                }
            }
            all += longest
        }
        return all
    }()

    private func view(_ changes: [Change]) -> PolicyView {
        var view = PolicyView()
        for change in changes { view.change(to: change.policy, at: change.step) }
        return view
    }

    /// What one policy shows by itself, as in the table of the doc comment.
    private func showsState(_ policy: CheckpointPolicy, _ step: Int) -> Bool {
        switch policy {
        case .full, .compact: true
        case .interval(let every): step == 0 || step % Int(every) == 0
        }
    }

    private func showsOrdinaryAttempt(_ policy: CheckpointPolicy, _ step: Int) -> Bool {
        switch policy {
        case .full, .interval: true
        case .compact: false
        }
    }

    /// Change after change: from its step on the new policy alone, before it what both show.
    private func expected(
        _ changes: [Change], _ shows: (CheckpointPolicy, Int) -> Bool
    ) -> [Bool] {
        var shown = Self.shown.map { _ in true }
        for change in changes {
            for step in Self.shown {
                let isShown = shows(change.policy, step)
                shown[step] = step >= Int(change.step) ? isShown : shown[step] && isShown
            }
        }
        return shown
    }

    @Test("states are shown as the rule says, for up to three changes of policy")
    func states() {
        #expect(Self.combinations.count == 1 + 3 * 5 + 9 * 15 + 27 * 35)
        for changes in Self.combinations {
            let view = view(changes)
            let shown = Self.shown.map { view.showsState(UInt64($0)) }
            #expect(shown == expected(changes, showsState), "\(changes)")
        }
    }

    @Test("ordinary attempts are shown as the rule says, for up to three changes of policy")
    func attempts() {
        for changes in Self.combinations {
            let view = view(changes)
            let shown = Self.shown.map { view.showsOrdinaryAttempt(UInt64($0)) }
            #expect(shown == expected(changes, showsOrdinaryAttempt), "\(changes)")
        }
    }

    @Test("a view says that attempts are left out when one is")
    func leavesOut() {
        for changes in Self.combinations {
            let shown = expected(changes, showsOrdinaryAttempt)
            if shown.contains(false) { #expect(view(changes).leavesAttemptsOut, "\(changes)") }
        }
    }

    @Test("a view does not say that attempts are left out when none is")
    func leavesNothingOut() {
        let wrong = Self.combinations.filter { changes in
            !expected(changes, showsOrdinaryAttempt).contains(false)
                && view(changes).leavesAttemptsOut
        }
        // A compact policy that was replaced before the run had a step was said to.
        #expect(wrong.count == 0, "such as \(wrong.first ?? [])")
    }

    /// A run has its first policy from step 0 on.
    @Test("the number of shown states is that of the states that are shown")
    func counts() {
        let intervals = [2, 4, 6].flatMap { first in
            [3, 4, 9].map { second in
                [
                    Change(step: 0, policy: .interval(first)), Change(step: 3, policy: .full),
                    Change(step: 5, policy: .interval(second)),
                ]
            }
        }
        for changes in Self.combinations + intervals where changes.first?.step ?? 0 == 0 {
            let view = view(changes)
            let shown = expected(changes, showsState)
            for last in Self.shown {
                let count = shown[...last].count { $0 }
                #expect(view.shownStateCount(to: UInt64(last)) == count, "\(changes) to \(last)")
            }
        }
        var view = PolicyView()
        view.change(to: .interval(.max - 1), at: 0)
        view.change(to: .interval(.max - 2), at: 4)
        #expect(view.shownStateCount(to: .max - 1) == 2, "0, and one of the second interval's")
    }

    @Test("a stretch shows its ordinary attempts when each of its steps does")
    func stretches() {
        for changes in Self.combinations where !changes.isEmpty {
            let view = view(changes)
            #expect(view.changes.map(\.step) == changes.map(\.step))
            #expect(view.changes.map(\.policy) == changes.map(\.policy))
            for (index, change) in changes.enumerated() {
                let end = index + 1 < changes.count ? changes[index + 1].step : 10
                for step in change.step..<end {
                    let isShown = view.showsOrdinaryAttempts(ofStretch: index)
                    #expect(isShown == view.showsOrdinaryAttempt(step), "\(changes) at \(step)")
                }
            }
        }
    }

    @Test("views of the same changes are equal and have the same hash")
    func equality() {
        for changes in Self.combinations where !changes.isEmpty {
            #expect(view(changes) == view(changes))
            #expect(view(changes).hashValue == view(changes).hashValue)
            #expect(view(changes) != view(Array(changes.dropLast())))
        }
    }

    @Test("an interval shows step 0 and its multiples, up to the last step that there can be")
    func intervals() {
        for every in [1, 2, 7, UInt64.max] {
            var view = PolicyView()
            view.change(to: .interval(every), at: 0)
            #expect(view.showsState(0))
            #expect(view.showsState(every))
            #expect(view.showsState(1) == (every == 1))
            #expect(view.showsState(.max - 1) == ((UInt64.max - 1) % every == 0))
            #expect(view.showsOrdinaryAttempt(1))
            #expect(!view.leavesAttemptsOut)
        }
    }
}
