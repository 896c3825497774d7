public import LoomFormat
public import LoomLog
public import LoomModel
internal import LoomRuns

/// What a compaction would do, found out without changing anything.
///
/// Exact for what is archived: the bytes of the files to the byte. Of segments that are not
/// archived yet nothing is known before they are.
public struct CompactionForecast: Sendable {
    /// What would become of a run.
    public struct Run: Hashable, Sendable {
        /// The run.
        public let run: RunID
        /// The policy that it would get; `nil` where it would get none.
        public let policy: CheckpointPolicy?
        /// Whether it would be deleted, or was deleted and has bytes left.
        public let isDeleted: Bool
        /// Its archived events that would have other bytes or be gone, by kind.
        public let events: [KindCount]
        /// Bytes of its archived events that are gone through now, before they are packed.
        public let bytesBefore: UInt64
        /// What would be left of these.
        public let bytesAfter: UInt64
    }

    /// Events of one kind.
    public struct KindCount: Hashable, Sendable {
        /// The kind, as `tail` prints it.
        public let kind: String
        /// How many.
        public let count: UInt64
    }

    /// The runs of which something would change, in order of their names.
    public let runs: [Run]
    /// Archives, and those that would be rewritten.
    public let archiveCount: Int
    /// Archives that would be rewritten.
    public let rewrittenCount: Int
    /// Bytes of the archives' files.
    public let bytesBefore: UInt64
    /// Bytes that they would have.
    public let bytesAfter: UInt64
    /// Bytes of segments that are not archived.
    public let liveBytes: UInt64
}

extension CompactionForecast {
    /// Looks at a log, also while it is written.
    ///
    /// - Throws: As `LogRunStore.compact` does for runs that are named; `LogError`.
    public init(_ log: LogReader, _ rules: RetentionRules, now: EventTime) throws {
        let source = LogRunSource(log)
        let changes = try rules.changes(in: source, now: now)
        let planned = Dictionary(
            changes.map { ($0.run, $0.contents) }, uniquingKeysWith: { first, _ in first })
        let measure = try log.measureCompaction(RunIndexer()) { (run) throws(LogError) in
            do {
                guard let outline = try source.outline(of: run) else { return nil }
                return try outline.after(planned[run] ?? []).encoded()
            } catch let error as LogError {
                throw error
            } catch {
                throw LogError(.corrupt, "run \(run): \(ErrorText.words(error))")
            }
        }
        let names = Set(measure.runs.keys).union(planned.keys)
        runs = names.sorted().map { run in
            Run(run, planned[run] ?? [], measure.runs[run] ?? RewrittenRun())
        }
        (archiveCount, rewrittenCount) = (measure.archiveCount, measure.rewritten)
        (bytesBefore, bytesAfter) = (measure.bytesBefore, measure.bytesAfter)
        liveBytes = measure.liveBytes
    }
}

extension CompactionForecast.Run {
    fileprivate init(_ run: RunID, _ changes: [RunEvent.Content], _ measured: RewrittenRun) {
        self.run = run
        var policy: CheckpointPolicy?
        for case .policyChanged(let asked) in changes { policy = asked }
        self.policy = policy
        isDeleted = changes.contains(.deleted) || measured.goneCount > 0
        events = measured.changed.sorted { $0.key < $1.key }
            .map { number, count in
                CompactionForecast.KindCount(
                    kind: RunEvent.kindName(number) ?? "kind \(number)", count: count)
            }
        (bytesBefore, bytesAfter) = (measured.bytesBefore, measured.bytesAfter)
    }
}

extension RunOutline {
    /// The outline of a run that is over behind what rules do to it.
    fileprivate func after(_ changes: [RunEvent.Content]) throws -> RunOutline {
        var fold = OutlineFold(resuming: self)
        for content in changes {
            let place = RunFold.Place(
                position: fold.summary.nextPosition, epoch: fold.summary.epoch + 1)
            try fold.apply(RunEvent(time: summary.updated, content), at: place)
        }
        return fold.outline
    }
}
