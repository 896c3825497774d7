internal import LoomFormat
internal import LoomModel
internal import LoomRunner

extension CompactionForecast {
    var json: JSONValue {
        .object([
            "runs": .array(runs.map(\.json)),
            "archives": .integer(Int64(archiveCount)),
            "archives_to_rewrite": .integer(Int64(rewrittenCount)),
            "bytes_before": .integer(Int64(clamping: bytesBefore)),
            "bytes_after": .integer(Int64(clamping: bytesAfter)),
            "bytes_not_archived": .integer(Int64(clamping: liveBytes)),
        ])
    }

    /// A table, and what it comes to.
    var lines: [String] {
        var lines: [String] = []
        if !runs.isEmpty {
            var widths: [Int] = []
            let heading = ["RUN", "WHAT", "EVENT BYTES", "AFTER", "EVENTS"]
            lines += Output.table([heading] + runs.map(\.cells), &widths)
        }
        lines.append(
            "\(rewrittenCount) of \(archiveCount) archives would be rewritten: "
                + "\(bytesBefore) bytes before, \(bytesAfter) after")
        if liveBytes > 0 {
            lines.append(
                "\(liveBytes) bytes are not archived yet: these are archived first, and what of "
                    + "them goes is not counted here")
        }
        return lines
    }
}

extension CompactionForecast.Run {
    fileprivate var json: JSONValue {
        var kinds = JSONObject()
        for event in events { kinds[event.kind] = .integer(Int64(clamping: event.count)) }
        return .object([
            "run_id": .string(run.rawValue), "deleted": .bool(isDeleted),
            "policy": policy.map { .string($0.words) } ?? .null, "events": .object(kinds),
            "event_bytes": .integer(Int64(clamping: bytesBefore)),
            "event_bytes_after": .integer(Int64(clamping: bytesAfter)),
        ])
    }

    fileprivate var cells: [String] {
        let what = isDeleted ? "deleted" : policy.map(\.words) ?? "as it is"
        let kinds = events.map { "\($0.count) \($0.kind)" }.joined(separator: ", ")
        return [
            run.rawValue, what, "\(bytesBefore)", "\(bytesAfter)", kinds.isEmpty ? "none" : kinds,
        ]
    }
}
