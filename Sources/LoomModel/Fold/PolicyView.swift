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
    /// A policy, and the step from which on it applies.
    public struct Change: Hashable, Sendable {
        /// The first step.
        public var step: UInt64
        /// The policy.
        public var policy: CheckpointPolicy
    }

    /// Every change, in order: with the first one at step 0 each begins a stretch of steps.
    public private(set) var changes: [Change] = []

    /// Creates the view of a run that is yet without a policy: shows everything.
    public init() {}

    /// From this step on, a policy applies.
    public mutating func change(to policy: CheckpointPolicy, at step: UInt64) {
        changes.append(Change(step: step, policy: policy))
    }

    /// The policies that a step is seen through: the one that held then, and every later one.
    private func policies(at step: UInt64) -> ArraySlice<Change> {
        let held = changes.lastIndex { $0.step <= step } ?? 0
        return changes[min(held, changes.count)...]
    }

    /// Whether the state that a step reads is shown.
    public func showsState(_ step: UInt64) -> Bool {
        policies(at: step).allSatisfy { change in
            if case .interval(let every) = change.policy { return step % max(every, 1) == 0 }
            return true
        }
    }

    /// How many of the states of steps 0 to `last` are shown; costs the number of changes.
    public func shownStateCount(to last: UInt64) -> UInt64 {
        guard !changes.isEmpty else { return last + 1 }
        var count: UInt64 = 0
        for index in changes.indices {
            let isLast = index + 1 == changes.count
            let end = isLast ? last + 1 : min(changes[index + 1].step, last + 1)
            let start = start(ofStretch: index)
            guard start < end else { continue }
            let every = commonInterval(of: changes[index...])
            // Multiples of `every` below a step.
            func multiples(below step: UInt64) -> UInt64 {
                step == 0 ? 0 : (step - 1) / every + 1
            }
            count += multiples(below: end) - multiples(below: start)
        }
        return count
    }

    /// The step whose state is the one of this number among those that are shown, counted from 0
    /// on; the step behind the last one where that many are not. Costs the bits of a step index.
    public func step(ofShownState number: UInt64, to last: UInt64) -> UInt64 {
        var (low, high) = (UInt64(0), last + 1)
        while low < high {
            let middle = (low + high) / 2
            if shownStateCount(to: middle) > number { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// The first policy holds from the first step on, whatever its change says.
    private func start(ofStretch index: Int) -> UInt64 { index == 0 ? 0 : changes[index].step }

    /// The least common multiple of the intervals; beyond 64 bits only step 0 is one of it.
    private func commonInterval(of changes: ArraySlice<Change>) -> UInt64 {
        var common: UInt64 = 1
        for case .interval(let every) in changes.map(\.policy) where every > 1 {
            var (a, b) = (common, every)
            while b != 0 { (a, b) = (b, a % b) }
            let (product, overflows) = (common / a).multipliedReportingOverflow(by: every)
            common = overflows ? .max : product
        }
        return common
    }

    /// Whether an attempt that was the first of its step and went well is shown.
    public func showsOrdinaryAttempt(_ step: UInt64) -> Bool {
        !policies(at: step).contains { $0.policy == .compact }
    }

    /// Whether ordinary attempts of the stretch that the change of this index begins are shown.
    public func showsOrdinaryAttempts(ofStretch index: Int) -> Bool {
        !changes[index...].contains { $0.policy == .compact }
    }

    /// Whether anything of any step is hidden.
    public var hidesAnything: Bool {
        changes.contains { change in
            switch change.policy {
            case .full: false
            case .interval(let every): every > 1
            case .compact: true
            }
        }
    }

    /// Whether attempts are left out anywhere: in a stretch that has steps.
    public var leavesAttemptsOut: Bool {
        changes.indices.contains { index in
            let isLast = index + 1 == changes.count
            let hasSteps = isLast || changes[index + 1].step > start(ofStretch: index)
            return hasSteps && !showsOrdinaryAttempts(ofStretch: index)
        }
    }
}
