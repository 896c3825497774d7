public import LoomFormat
public import LoomModel
internal import LoomRuns

/// What becomes of runs that are over, by age, label, loop or name.
///
/// ```swift
/// var old = RunSelection()
/// old.olderThan = .seconds(30 * 86_400)
/// var rules = RetentionRules([RetentionRule(old, .setPolicy(.interval(1000)))])
/// let store = try LogRunStore(path: "runs.loom", retention: rules)
/// ```
public struct RetentionRules: Hashable, Sendable {
    /// The rules, in order: a run that one of them deletes is not there for the next.
    public var rules: [RetentionRule]

    /// Creates rules.
    public init(_ rules: [RetentionRule] = []) { self.rules = rules }
}

/// What is done to some runs that are over.
public struct RetentionRule: Hashable, Sendable {
    /// What is done.
    public enum Action: Hashable, Sendable {
        /// They get a policy, where it shows less than theirs: the answers about them change, and
        /// what is not shown any more is left out of the files.
        case setPolicy(CheckpointPolicy)
        /// They are deleted: from then on there is no such run, and its bytes go.
        case delete
    }

    /// Which runs.
    public var selection: RunSelection
    /// What is done.
    public var action: Action

    /// Creates a rule.
    public init(_ selection: RunSelection, _ action: Action) {
        (self.selection, self.action) = (selection, action)
    }
}

/// Some of the runs that are over: all conditions hold. Never those that keep calls with shared
/// keys, nor those that somebody holds.
public struct RunSelection: Hashable, Sendable {
    /// These runs only; `nil` for all. Of these it is an error if one is not there, or not over.
    public var runs: [RunID]?
    /// How the name begins.
    public var prefix: String?
    /// The loop.
    public var loop: String?
    /// Labels that the run has, with these values.
    public var labels: [Label] = []
    /// How long ago the run's last event was, at least. What a rule did to it is one, too.
    public var olderThan = Duration.zero
    /// Failed runs, too: `retry` could have opened them.
    public var includesFailed = false

    /// Creates the selection of every completed and every cancelled run.
    public init() {}

    /// The statuses of such runs.
    var statuses: [RunStatus] { [.completed, .cancelled] + (includesFailed ? [.failed] : []) }

    /// The filters whose runs are those, but for names; none where no run is that old.
    func filters(now: EventTime) -> [RunFilter] {
        let age = max(.zero, olderThan).clampedMicroseconds
        guard age <= now.microseconds else { return [] }
        return statuses.map { status in
            var filter = RunFilter()
            filter.status = status.rawValue
            (filter.prefix, filter.loop, filter.labels) = (prefix, loop, labels)
            // Of a clock that went back a run may have been changed in the future.
            if age > 0 {
                filter.until = EventTime(microseconds: now.microseconds - age + 1)
            }
            return filter
        }
    }
}

/// A run, and what rules are about to do to it.
struct RetentionChange: Hashable, Sendable {
    let run: RunID
    /// How the run stands; otherwise nothing is done.
    private let epoch: UInt64
    private let nextPosition: UInt64
    /// In order. What deletes the run is alone.
    private(set) var contents: [RunEvent.Content]

    init(_ run: RunID, _ summary: RunSummary, _ content: RunEvent.Content) {
        (self.run, contents) = (run, [content])
        (epoch, nextPosition) = (summary.epoch, summary.nextPosition)
    }

    var deletes: Bool { contents == [.deleted] }

    /// Adds what a later rule does.
    mutating func add(_ content: RunEvent.Content) {
        if content == .deleted { contents = [] }
        contents.append(content)
    }

    /// Whether the run stands as it did: neither has it gone on, nor is it another of its name.
    func isStill(_ summary: RunSummary) -> Bool {
        summary.epoch == epoch && summary.nextPosition == nextPosition
    }
}

extension RetentionRules {
    /// Finds the runs that the rules are about and to which they have something to do: each once.
    ///
    /// - Throws: ``RunnerError/unknownRun(_:)`` and ``RunnerError/notOver(_:_:)`` of runs that are
    ///   named; what the source throws.
    func changes(in source: any RunSource, now: EventTime) throws -> [RetentionChange] {
        var (changes, places) = ([RetentionChange](), [RunID: Int]())
        for rule in rules {
            for run in try rule.runs(in: source, now: now) {
                let place = places[run]
                if let place, changes[place].deletes { continue }
                guard let row = try source.row(of: run), rule.fits(row),
                    let content = rule.content(for: row.outline)
                else { continue }
                if let place {
                    changes[place].add(content)
                } else {
                    places[run] = changes.count
                    changes.append(RetentionChange(run, row.outline.summary, content))
                }
            }
        }
        return changes
    }
}

extension RetentionRule {
    fileprivate func runs(in source: any RunSource, now: EventTime) throws -> [RunID] {
        let filters = selection.filters(now: now)
        if let named = selection.runs {
            return try named.filter { run in
                let row = try overRun(run, source)
                return filters.contains { $0.fits(row) }
                    && run.rawValue.hasBytePrefix(selection.prefix ?? "")
            }
        }
        var runs: [RunID] = []
        for filter in filters {
            var heads = try source.heads(filter)
            while let head = try heads.next() {
                guard !head.run.isKeeper else { continue }
                if try head.fits || source.row(of: head.run).map(filter.fits) == true {
                    runs.append(head.run)
                }
            }
        }
        return runs
    }

    /// The row of a run that is named.
    private func overRun(_ run: RunID, _ source: any RunSource) throws -> RunRow {
        try SharedCall.checkIsFree(run)
        guard let row = try source.row(of: run) else { throw RunnerError.unknownRun(run) }
        let status = row.outline.summary.status
        guard selection.statuses.contains(status) else { throw RunnerError.notOver(run, status) }
        return row
    }

    /// What is left alone whatever the rule says.
    fileprivate func fits(_ row: RunRow) -> Bool {
        row.holder == nil && row.readError == nil && !row.run.isKeeper
            && selection.statuses.contains(row.outline.summary.status)
            && row.outline.violations.isEmpty && row.outline.unknownEvent == nil
    }

    /// The event that does it; `nil` where there is nothing to do.
    fileprivate func content(for outline: RunOutline) -> RunEvent.Content? {
        switch action {
        case .delete: .deleted
        case .setPolicy(let policy):
            outline.policies.showsLess(with: policy, to: outline.summary.stepIndex)
                ? .policyChanged(policy) : nil
        }
    }
}

extension PolicyView {
    /// Whether a run that is over shows less when it gets another policy.
    func showsLess(with policy: CheckpointPolicy, to last: UInt64) -> Bool {
        switch policy {
        case .full: return false
        case .interval:
            var next = self
            next.change(to: policy, at: last + 1)
            return next.shownStateCount(to: last) < shownStateCount(to: last)
        case .compact:
            return changes.indices.contains { showsOrdinaryAttempts(ofStretch: $0) }
        }
    }
}
