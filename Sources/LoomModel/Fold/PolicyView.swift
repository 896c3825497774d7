/// What the read side of a run shows, by its checkpoint policy: pure, and the same before and after
/// compaction, which only returns the space of what is not shown.
///
/// | policy | states | attempts |
/// |---|---|---|
/// | full | all | all |
/// | interval(n) | 0 and every nth | all; hash and output only where that state is shown |
/// | compact | all | those that failed, were interrupted or were retries |
///
/// Policies combine: a later one applies from its step on, and of the steps before, what both show
/// is shown. The result of a completed run is always shown.
public struct PolicyView: Hashable, Sendable {
    private var changes: [(step: UInt64, policy: CheckpointPolicy)] = []

    /// Creates the view of a run that is yet without a policy: shows everything.
    public init() {}

    /// From this step on, a policy applies.
    public mutating func change(to policy: CheckpointPolicy, at step: UInt64) {
        changes.append((step, policy))
    }

    /// The policies that a step is seen through: the one that held then, and every later one.
    private func policies(at step: UInt64) -> [CheckpointPolicy] {
        let held = changes.lastIndex { $0.step <= step } ?? 0
        return changes[min(held, changes.count)...].map(\.policy)
    }

    /// Whether the state that a step reads is shown.
    public func showsState(_ step: UInt64) -> Bool {
        policies(at: step).allSatisfy { policy in
            if case .interval(let every) = policy { return step % max(every, 1) == 0 }
            return true
        }
    }

    /// Whether an attempt that was the first of its step and went well is shown.
    public func showsOrdinaryAttempt(_ step: UInt64) -> Bool {
        !policies(at: step).contains(.compact)
    }

    /// Whether attempts are left out anywhere.
    public var leavesAttemptsOut: Bool { changes.contains { $0.policy == .compact } }

    /// Whether two views show the same.
    public static func == (a: PolicyView, b: PolicyView) -> Bool {
        a.changes.elementsEqual(b.changes) { $0 == $1 }
    }

    /// Hashes what decides the view.
    public func hash(into hasher: inout Hasher) {
        for change in changes {
            hasher.combine(change.step)
            hasher.combine(change.policy)
        }
    }
}
