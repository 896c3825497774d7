import LoomFormat
import LoomModel

@testable import LoomRuns

// What a source is asked below the reads: by whoever seeks a row, and by whoever drives a run.

extension RunQueries {
    /// Parts, places and calls of a run.
    mutating func lookUps(_ run: RunID, _ outline: RunOutline?, count: Int) -> [RunQuery] {
        // Where events were passed over, or cannot be read, nobody looks for any of these.
        guard let outline, outline.canBeResumed, let row = try? listed.row(of: run),
            row.readError == nil
        else { return [] }
        var queries = calls(of: run, outline)
        for _ in 0..<count {
            let first = UInt64.random(in: 0...outline.summary.nextPosition + 1, using: &random)
            let end = first + UInt64.random(in: 0...20, using: &random)
            let isOpen = Int.random(in: 0..<5, using: &random) == 0
            let part = RunPart(run, from: first, before: isOpen ? .max : end)
            queries.append(
                RunQuery("events of \(run) at \(part.positions)") { reader in
                    try Self.events(reader, part).map { [$0.place.position, $0.place.epoch] }
                })
        }
        return queries + places(of: run, count)
    }

    // MARK: Places

    private func places(of run: RunID, _ count: Int) -> [RunQuery] {
        let all = listed.events(of: run)
        let startsByKind = RowKind.allCases.map { ($0, Self.starts(of: $0, in: all)) }
        return startsByKind.map { kind, starts in
            let step = max(1, starts.count / (count * 4))
            let numbers = Array(stride(from: 0, to: starts.count, by: step)) + [starts.count]
            return RunQuery("places of \(kind) of \(run)") { reader in
                for number in numbers {
                    let place = try reader.source.place(ofRow: UInt64(number), of: kind, in: run)
                    if number < starts.count, place.position > starts[number] {
                        return "place of \(number) is behind it: \(place)"
                    }
                    for (other, starts) in startsByKind {
                        let before = starts.count { $0 < place.position }
                        if place.counts[other] ?? 0 != UInt64(before) {
                            return "\(before) \(other), not \(place)"
                        }
                    }
                    if place.wholeState > place.position { return "whole state of \(place)" }
                }
                return "right"
            }
        }
    }

    /// The positions of the events by which rows begin.
    private static func starts(of kind: RowKind, in events: [StoredEvent]) -> [UInt64] {
        var found: [UInt64] = []
        for stored in events {
            let content = (try? stored.event())??.content
            let count: UInt64 =
                switch (kind, content) {
                case (.steps, .stepCommitted), (.attempts, .attemptStarted),
                    (.toolCalls, .toolStarted):
                    1
                case (.remarkableAttempts, .stepCommitted(let id, _)),
                    (.remarkableAttempts, .runCompleted(let id, _)):
                    id.attempt > 0 ? id.attempt + 1 : 0
                default: 0
                }
            for _ in 0..<count { found.append(stored.place.position) }
        }
        return found
    }

    // MARK: Calls

    private func calls(of run: RunID, _ outline: RunOutline) -> [RunQuery] {
        // Of a run that is over no call is looked for any more.
        if [.completed, .cancelled].contains(outline.summary.status) { return [] }
        var starts: [ToolStart] = []
        for stored in listed.events(of: run) {
            guard case .toolStarted(let start)? = (try? stored.event())??.content,
                !starts.contains(where: { $0.key == start.key })
            else { continue }
            starts.append(start)
        }
        return starts.flatMap { start in
            [
                RunQuery("calls of \(start.key) in \(run)") { reader in
                    try Self.calls(of: start.key, in: run, reader)
                },
                RunQuery("what a driver of \(run) knows of \(start.key)") { reader in
                    try Self.known(start, in: run, reader)
                },
            ]
        }
    }

    /// Calls with their newest ends, looked for where the source does not tell.
    private static func calls(
        of key: ToolKey, in run: RunID, _ reader: RunReader
    ) throws -> AnyHashable {
        try reader.source.calls(of: key, in: run).map { call in
            if let end = call.end { return [call.start, end] }
            var found = [call.start]
            for stored in try events(reader, RunPart(run, from: call.start)) {
                guard case .toolFinished(let finish)? = try stored.event()?.content,
                    finish.start == call.start
                else { continue }
                found = [call.start, stored.place.position]
            }
            return found
        }
    }

    /// What a fold that goes on from the outline answers a call from.
    private static func known(
        _ start: ToolStart, in run: RunID, _ reader: RunReader
    ) throws -> AnyHashable {
        guard let outline = try reader.source.row(of: run)?.outline else { return "none" }
        let past = SourcePast(reader.source, run, before: outline.summary.nextPosition)
        var fold = OutlineFold(resuming: outline)
        try fold.prepareToDrive(from: past)
        try fold.prepare(forCall: start, from: past)
        return [AnyHashable(fold.fold.calls.look(up: start)), fold.fold.calls.unfinished]
    }
}
