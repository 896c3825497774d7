internal import LoomFormat
internal import LoomLog
public import LoomModel

/// Which runs a list shows: those that fit every condition that is set. Texts are compared by their
/// UTF-8 bytes.
public struct RunFilter: Hashable, Sendable {
    /// As ``RunView/status`` says it: `running`, `interrupted`, `paused`, `completed`, `failed`,
    /// `cancelled`, `damaged`, `newer_version`.
    public var status: String?
    /// The durable name of the loop.
    public var loop: String?
    /// How the run's name begins.
    public var prefix: String?
    /// Labels that the run has, with these values.
    public var labels: [Label] = []
    /// The category of the last attempt that failed.
    public var category: FailureCategory?
    /// Runs whose last event was recorded at this time or later.
    public var since: EventTime?
    /// Runs whose last event was recorded before this time.
    public var until: EventTime?

    /// Creates a filter that lets every run through.
    public init() {}

    /// Whether a run is one of those.
    public func fits(_ row: RunRow) -> Bool {
        let summary = row.outline.summary
        let status = summary.status(isInterrupted: row.isAbandoned, row.readError)
        return (self.status ?? status).hasSameBytes(as: status) && fitsButForStatus(summary)
    }

    private func fitsButForStatus(_ summary: RunSummary) -> Bool {
        (loop ?? summary.loop).hasSameBytes(as: summary.loop)
            && (category.map { $0 == summary.lastFailureCategory } ?? true)
            && (since.map { $0 <= summary.updated } ?? true)
            && (until.map { summary.updated < $0 } ?? true)
            && labels.allSatisfy { label in
                summary.labels[ByteString(label.name)]?.hasSameBytes(as: label.value) == true
            }
    }

    /// Whether a run may be one of those, whoever holds it.
    func mayFit(_ summary: RunSummary, _ readError: RunReadError?) -> Bool {
        guard let status else { return fitsButForStatus(summary) }
        return [true, false].contains {
            summary.status(isInterrupted: $0, readError).hasSameBytes(as: status)
        } && fitsButForStatus(summary)
    }

    /// Whether the columns of a table tell all that it asks: who holds a run they do not.
    var isToldByColumns: Bool { statusCode.map { $0 != RunStatus.running.code } ?? (status == nil) }

    private var statusCode: UInt8? {
        guard let status else { return nil }
        if status.hasSameBytes(as: "interrupted") { return RunStatus.running.code }
        return RunStatus.allCases.first { $0.rawValue.hasSameBytes(as: status) }?.code
    }

    /// The filter as the columns of tables have it: every run that fits passes.
    var columns: RunHeadFilter {
        var columns = RunHeadFilter()
        // Of a run that cannot be read the table knows no status, and gives it always.
        if status != nil { columns.statuses = statusCode.map { 1 << UInt16($0) } ?? 0 }
        columns.category = category?.code
        columns.loop = loop
        columns.labels = labels.map { ($0.name, $0.value) }
        columns.prefix = Array((prefix ?? "").utf8)
        if let since { columns.updated = since.microseconds...UInt64.max }
        if let until {
            guard until.microseconds > columns.updated.lowerBound else {
                columns.statuses = 0
                return columns
            }
            columns.updated = columns.updated.lowerBound...(until.microseconds - 1)
        }
        return columns
    }
}
