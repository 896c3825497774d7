internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomStorage
internal import Synchronization

/// What a compaction of a log is to do: some runs get a stronger policy or are deleted, then what
/// no read shows any more is left out of the files.
public struct CompactionRequest: Hashable, Sendable {
    /// What becomes of runs first; nothing, by default.
    public var rules = RetentionRules()
    /// Whether replaced files go at once, whoever reads them. Otherwise they go when nobody reads
    /// them any more, after 10 minutes at the latest.
    public var removesAtOnce = false

    /// Creates a request that leaves out what is not shown now.
    public init(_ rules: RetentionRules = RetentionRules(), removesAtOnce: Bool = false) {
        (self.rules, self.removesAtOnce) = (rules, removesAtOnce)
    }
}

/// Whether work was asked to stop.
private final class StopFlag: Sendable {
    private let flag = Mutex(false)
    var isSet: Bool { flag.withLock { $0 } }
    func set() { flag.withLock { $0 = true } }
}

/// What a compaction has come to.
public struct CompactionReport: Hashable, Sendable {
    /// Runs that got another policy.
    public var policyCount = 0
    /// Runs that were deleted.
    public var deletedCount = 0
    /// Runs that fitted and were left alone, as somebody held them or they went on.
    public var skippedCount = 0
    /// Archives that were looked at, and how many there are.
    public var archivesDone = 0
    /// How many archives there are to be looked at.
    public var archiveCount = 0
    /// Files that were written anew.
    public var rewrittenCount = 0
    /// Bytes of all files of events as it began, but for the one that is written to.
    public var bytesBefore: UInt64 = 0
    /// Bytes of these, or of what took their place.
    public var bytesAfter: UInt64 = 0
    /// Paths below the log of the replaced files that are gone; told at the end. Others go when
    /// nobody reads them.
    public var removed: [String] = []

    /// Creates the report of no work.
    public init() {}

    mutating func take(_ progress: CompactionProgress) {
        (archivesDone, archiveCount) = (progress.archivesDone, progress.archiveCount)
        rewrittenCount = progress.rewritten
        (bytesBefore, bytesAfter) = (progress.bytesBefore, progress.bytesAfter)
    }
}

extension LogRunStore {
    /// Changes and deletes what the rules say, and rewrites what that makes smaller.
    ///
    /// Each run is changed by an event of its own, durably, before anything is rewritten; archives
    /// are rewritten one by one. Whoever stops it, or is killed in it, has a part of the work done,
    /// and asks again for the rest. Runs go on meanwhile.
    ///
    /// - Parameter progress: Told of what is done, behind each archive.
    /// - Throws: `LogError` with code `outOfSpace` before anything was changed, when the disk has
    ///   no room for the largest file that may be rewritten; ``RunnerError`` for a run that is
    ///   named and not over; `CancellationError`.
    public func compact(
        _ request: CompactionRequest = CompactionRequest(),
        progress: @escaping @Sendable (CompactionReport) -> Void = { _ in }
    ) async throws -> CompactionReport {
        try log.checkCompactionSpace()
        let access = requestAccess
        let changes = try request.rules.changes(in: self, now: access.clock.now())
        var report = CompactionReport()
        try await make(changes, access, &report, progress)
        let order = CompactionOrder(removesAtOnce: request.removesAtOnce)
        let base = report
        let stop = StopFlag()
        let result = try await withTaskCancellationHandler {
            try await blocking { [log] () throws(LogError) in
                try log.compact(order) { (archives) throws(LogError) in
                    var report = base
                    report.take(archives)
                    progress(report)
                    if stop.isSet { throw LogError(.closed, "the compaction was stopped") }
                }
            }
        } onCancel: {
            stop.set()
        }
        report.take(result)
        report.removed = result.removed
        return report
    }

    /// Makes the tables of archives anew from their events.
    ///
    /// - Parameter onlyDamaged: Whether tables stay that can be read and are of this version.
    public func reindex(
        onlyDamaged: Bool = false,
        progress: @escaping @Sendable (CompactionReport) -> Void = { _ in }
    ) async throws -> CompactionReport {
        let result = try await blocking { [log] () throws(LogError) in
            try log.reindex(onlyDamaged: onlyDamaged) { (archives) throws(LogError) in
                var report = CompactionReport()
                report.take(archives)
                progress(report)
            }
        }
        var report = CompactionReport()
        report.take(result)
        return report
    }

    /// How many runs are changed at a time: they share syncs.
    private static let changedAtOnce = 64

    private func make(
        _ changes: [RetentionChange], _ access: RunAccess, _ report: inout CompactionReport,
        _ progress: @Sendable (CompactionReport) -> Void
    ) async throws {
        var rest = changes[...]
        while !rest.isEmpty {
            try Task.checkCancellation()
            let some = rest.prefix(Self.changedAtOnce)
            rest = rest.dropFirst(Self.changedAtOnce)
            typealias Done = (change: RetentionChange, isMade: Bool)
            let done: [Done] = try await withThrowingTaskGroup(of: Done.self) { group in
                for change in some {
                    group.addTask { (change, try await access.make(change)) }
                }
                return try await group.reduce(into: [Done]()) { $0.append($1) }
            }
            for (change, isDone) in done {
                if !isDone {
                    report.skippedCount += 1
                } else if change.deletes {
                    report.deletedCount += 1
                } else {
                    report.policyCount += 1
                }
            }
            progress(report)
        }
    }

    /// Runs work that blocks on a thread of its own; in a log without threads, on this one.
    private func blocking<Result: Sendable>(
        _ body: @escaping @Sendable () throws(LogError) -> Result
    ) async throws -> Result {
        if requests.isInline { return try body() }
        return try await withCheckedThrowingContinuation { continuation in
            do throws(StorageError) {
                try WorkerThread.start("loom-compact") {
                    do throws(LogError) {
                        continuation.resume(returning: try body())
                    } catch {
                        continuation.resume(throwing: error)
                    }
                }
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }
}

extension RunAccess {
    /// Records what rules do to a run, if the run still stands as it did.
    ///
    /// - Returns: Whether it was done: not to a run that somebody holds, or that went on.
    fileprivate func make(_ change: RetentionChange) async throws -> Bool {
        do {
            return try await claimed(change.run) { claim in
                guard claim.position > 0 else { return false }
                let loaded = try await load(change.run)
                guard change.isStill(loaded.fold.summary) else { return false }
                try await journal(claim, loaded).record(change.contents, isBarrier: true)
                return true
            }
        } catch let error as RunnerError {
            guard case .held = error else { throw error }
            return false
        }
    }
}
