public import LoomFormat
public import LoomLog
internal import LoomModel
public import LoomStorage
public import SystemPackage

/// Reads the runs of a log, also while it is written: needs the log alone, not the program that
/// made it.
///
/// In this version every answer is made from one or two passes over the log, so that its time grows
/// with the log; its memory is that of the answer.
///
/// ```swift
/// let runs = try RunReader(path: "runs.loom")
/// let view = try runs.get(RunID("demo"))
/// print(view.status, view.summary.stepIndex)
/// ```
public struct RunReader: Sendable {
    let log: LogReader

    /// Looks at a log; changes nothing in it.
    public init(
        path: FilePath, storage: any Storage = POSIXStorage()
    ) throws(LogError) {
        log = try LogReader(path: path, storage: storage)
    }

    /// Reads the runs of a log that is being read already.
    public init(log: LogReader) { self.log = log }

    /// What a run is now.
    public func get(_ run: RunID) throws -> RunView {
        var position = try outline(of: run)
        return try view(run, &position, writer: try log.writer())
    }

    /// The runs of the log that fit, by time of creation and then by name.
    public func list(
        _ filter: RunFilter = RunFilter(), limit: Int? = nil, offset: Int = 0
    ) throws -> [RunView] {
        var window = try RowWindow<RunView>(offset: offset, limit: limit)
        var all: [RunID: RunPass.Position] = [:]
        // One run that cannot be read does not hide the others.
        var damaged: [RunID: String] = [:]
        try log.scan { event in
            if let prefix = filter.prefix, !event.run.rawValue.hasPrefix(prefix) { return }
            guard damaged[event.run] == nil else { return }
            do {
                try RunPass.visit(event, &all[event.run, default: RunPass.Position()])
            } catch let error as RunReadError {
                damaged[event.run] = "\(error)"
            }
        }
        let writer = try log.writer()
        let sorted = all.sorted {
            ($0.value.fold.summary.created, $0.key) < ($1.value.fold.summary.created, $1.key)
        }
        for (run, position) in sorted {
            let damage = damaged[run]
            guard damage != nil || position.fold.summary.nextPosition > 0 else { continue }
            // Those that keep shared keys are listed only when they are asked for.
            if run.isKeeper && filter.prefix?.hasPrefix(RunID.keeperPrefix) != true { continue }
            var position = position
            var view: RunView
            do {
                view = try self.view(run, &position, writer: writer, damage: damage)
            } catch let error as RunReadError {
                view = try self.view(run, &position, writer: writer, damage: "\(error)")
            }
            if filter.fits(view) { window.add { view } }
        }
        return window.rows
    }

    /// The states of a run that its policy shows, from the first on.
    public func history(
        _ run: RunID, limit: Int? = nil, offset: Int = 0
    ) throws -> [HistoryRow] {
        var window = try RowWindow<HistoryRow>(offset: offset, limit: limit)
        let outline = try outline(of: run)
        let policies = outline.policies
        func add(_ position: inout RunPass.Position) throws {
            let step = position.fold.summary.stepIndex
            guard policies.showsState(step) else { return }
            try window.add { HistoryRow(step: step, state: try state(of: run, &position)) }
            if window.isFull { throw RunPass.Enough() }
        }
        // At the end of its step: until then a migration may give a state another shape.
        do {
            var end = try pass(
                run, like: outline,
                before: { event, _, position in
                    if case .stepCommitted = event.content { try add(&position) }
                })
            if !window.isFull { try add(&end) }
        } catch is RunPass.Enough {}
        return window.rows
    }

    /// The state that a step of a run read, or will read.
    ///
    /// - Throws: ``RunReadError/notKept(_:step:kept:)`` where the policy does not show it;
    ///   ``RunReadError/notReached(_:step:last:)``.
    public func state(_ run: RunID, at step: UInt64) throws -> HistoryRow {
        var outline = try outline(of: run)
        let last = outline.fold.summary.stepIndex
        guard step <= last else { throw RunReadError.notReached(run, step: step, last: last) }
        // Where it stands is shown whatever the policy keeps; of what is over only that.
        if step == last, outline.fold.summary.status != .completed {
            return HistoryRow(step: step, state: try state(of: run, &outline))
        }
        guard outline.policies.showsState(step) else {
            var kept = step
            while !outline.policies.showsState(kept) { kept -= 1 }
            throw RunReadError.notKept(run, step: step, kept: kept)
        }
        var found = try pass(
            run, like: outline,
            before: { event, _, position in
                guard case .stepCommitted = event.content else { return }
                if position.fold.summary.stepIndex == step { throw RunPass.Enough() }
            })
        return HistoryRow(step: step, state: try state(of: run, &found))
    }

    /// The attempts of a run that its policy shows, by step and try.
    public func attempts(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> [AttemptRow] {
        let window = try RowWindow<AttemptRow>(offset: offset, limit: limit)
        let outline = try outline(of: run)
        var collector = AttemptCollector(policies: outline.policies, step: step, window: window)
        var end = try RunPass(log: log, run: run).scan(
            below: outline.fold.summary.nextPosition,
            before: { event, _, position in try collector.before(event, &position.track) },
            after: { event, _, position in try collector.after(event, &position.track) })
        try collector.finish(&end.track)
        return collector.window.rows
    }

    /// The managed tool calls of a run, in the order in which they began.
    public func toolCalls(
        _ run: RunID, step: UInt64? = nil, limit: Int? = nil, offset: Int = 0
    ) throws -> [ToolCallRow] {
        let window = try RowWindow<ToolCallRow>(offset: offset, limit: limit)
        var collector = ToolCallCollector(step: step, window: window)
        let end = try RunPass(log: log, run: run).scan(after: { event, place, _ in
            collector.see(event, at: place.position)
        })
        guard end.fold.summary.nextPosition > 0 else { throw RunReadError.unknownRun(run) }
        return collector.window.rows
    }

    /// How many rows of each kind the run's policy shows.
    public func stats(_ run: RunID) throws -> RunStats { try outline(of: run).stats }

    /// Whether the events of a run are such as a runner writes; with what is wrong when not, and
    /// with what a person corrected, which is no fault of the log.
    public func verify(_ run: RunID) throws -> (isValid: Bool, notes: [String]) {
        let explanation = try explain(run)
        let violations = explanation.violations
        return (violations.isEmpty, violations + explanation.corrections.map(\.description))
    }

    /// Where a run stands and what is remarkable about it.
    public func explain(_ run: RunID) throws -> RunExplanation {
        var outline = try outline(of: run)
        let view = try view(run, &outline, writer: try log.writer())
        return RunExplanation(
            view: view, stats: outline.stats, violations: violations(of: outline, view),
            unfinishedCalls: outline.fold.calls.unfinished, corrections: outline.corrections,
            leavesAttemptsOut: outline.policies.leavesAttemptsOut)
    }

    private func violations(of outline: RunPass.Position, _ view: RunView) -> [String] {
        var notes = outline.violations.map { "event \($0.place.position): \($0.description)" }
        let summary = outline.fold.summary
        if summary.status == .completed && summary.result == nil {
            notes.append("completed_run_missing_result")
        }
        if summary.status == .failed && summary.failure == nil {
            notes.append("failed_run_missing_error")
        }
        if summary.status.isResumable && view.state == nil {
            notes.append("resumable_run_missing_state")
        }
        return notes
    }

    /// The run up to now, without its rows.
    private func outline(of run: RunID) throws -> RunPass.Position {
        let position = try RunPass(log: log, run: run).scan()
        guard position.fold.summary.nextPosition > 0 else { throw RunReadError.unknownRun(run) }
        return position
    }

    /// A second pass over what the first one saw, and nothing that was written since.
    private func pass(
        _ run: RunID, like outline: RunPass.Position,
        before: (RunEvent, RunFold.Place, inout RunPass.Position) throws -> Void
    ) throws -> RunPass.Position {
        try RunPass(log: log, run: run).scan(
            below: outline.fold.summary.nextPosition, before: before)
    }

    private func view(
        _ run: RunID, _ position: inout RunPass.Position, writer: String?, damage: String? = nil
    ) throws -> RunView {
        let summary = position.fold.summary
        let isHeld = writer.map { summary.holder.contains($0) } ?? false
        let hidesState = summary.status == .completed || damage != nil
        return RunView(
            run: run, summary: summary,
            state: hidesState ? nil : try state(of: run, &position),
            isInterrupted: summary.status == .running && !isHeld, damage: damage)
    }

    private func state(
        of run: RunID, _ position: inout RunPass.Position
    ) throws(RunReadError) -> [UInt8] {
        do {
            return try position.track.materialise()
        } catch {
            throw .corrupt(run, "its state: \(error)")
        }
    }
}
