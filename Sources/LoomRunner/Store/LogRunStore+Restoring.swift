internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomRuns

// A log that was restored from a backup: the original may have driven its runs on.

extension LogRunStore {
    /// Pauses the runs of a restored log that were driven when its backup was made, before anybody
    /// can claim one, and records that this is done.
    ///
    /// Cut at any place, it is done again by the next opening.
    ///
    /// - Returns: The runs that were paused.
    static func settleCopy(
        _ log: LogWriter, _ source: LogRunSource
    ) throws(LogError) -> [RunID] {
        guard let time = log.unsettledCopy else { return [] }
        do {
            let runs = try pause(log, source, from: EventTime(microseconds: time))
            try log.waitUntilDurable(log.position)
            try log.settleCopy()
            return runs
        } catch {
            try? log.close()
            throw (error as? LogError)
                ?? LogError(.io, "pausing the runs of a restored log", cause: error)
        }
    }

    private static func pause(
        _ log: LogWriter, _ source: LogRunSource, from time: EventTime
    ) throws -> [RunID] {
        var heads = try source.heads(RunFilter())
        var runs: [RunID] = []
        while let head = try heads.next() {
            guard !head.run.isKeeper, let row = try readable(head.run, source) else { continue }
            let summary = row.outline.summary
            guard summary.status == .running else { continue }
            var unit = RecordUnit(
                run: row.run, epoch: summary.epoch &+ 1, position: summary.nextPosition)
            // Time goes on from the run's last event, whatever the clock of this machine says.
            let now = max(summary.updated, time)
            unit.append(RunEvent(time: now, .paused(.restored(from: time))).encoded())
            try log.append(unit)
            runs.append(row.run)
        }
        return runs
    }

    /// A run that cannot be read cannot be driven on either.
    private static func readable(_ run: RunID, _ source: LogRunSource) throws -> RunRow? {
        do {
            return try source.row(of: run).flatMap { $0.readError == nil ? $0 : nil }
        } catch is RunReadError {
            return nil
        }
    }
}
