import LoomFormat
import LoomModel

@testable import LoomRuns

/// Runs as a list of the units that were written, without any index: every answer is found by
/// going through all events.
final class ListedEvents: RunSource, @unchecked Sendable {
    private(set) var units: [[StoredEvent]] = []
    private var runs: [RunID: [StoredEvent]] = [:]

    func append(_ unit: [StoredEvent]) {
        units.append(unit)
        for event in unit { runs[event.run, default: []].append(event) }
    }

    /// The runs, in order of their names.
    var names: [RunID] { runs.keys.sorted() }

    func events(of run: RunID) -> [StoredEvent] { runs[run] ?? [] }

    func row(of run: RunID) throws -> RunRow? {
        var fold = OutlineFold(keepsValues: false)
        for stored in events(of: run) {
            do {
                try Self.see(stored, &fold)
            } catch let error as RunReadError {
                return RunRow(run: run, outline: fold.outline, readError: error)
            }
        }
        return fold.outline.isBegun ? RunRow(run: run, outline: fold.outline) : nil
    }

    private static func see(_ stored: StoredEvent, _ fold: inout OutlineFold) throws {
        guard let event = try stored.event() else {
            do throws(RunFold.Violation) {
                try fold.skip(at: stored.place)
            } catch {
                fold.note(error)
            }
            return
        }
        do throws(OutlineFold.Refusal) {
            try fold.apply(event, at: stored.place)
        } catch {
            switch error {
            case .violation(let violation): fold.note(violation)
            case .delta(let error): throw RunReadError.unreadable(stored, error)
            }
        }
    }

    func heads(_ filter: RunFilter) throws -> any RunHeadCursor {
        let rows = try names.compactMap(row).filter { row in
            row.run.rawValue.utf8.starts(with: (filter.prefix ?? "").utf8) && filter.fits(row)
        }
        return ListCursor(
            rows.map { RunHead(run: $0.run, created: $0.outline.summary.created, fits: true) })
    }

    func events(_ parts: [RunPart]) throws -> any RunEventCursor {
        ListCursor(
            parts.flatMap { part in
                events(of: part.run).filter { part.positions.contains($0.place.position) }
            })
    }

    func tail(of run: RunID?, last count: Int?) throws -> any RunEventTail {
        if let run, count != nil, runs[run] == nil { throw RunReadError.unknownRun(run) }
        var (found, sequence): ([(sequence: UInt64, event: StoredEvent)], UInt64) = ([], 0)
        for event in units.joined() {
            sequence += 1
            if let run, event.run != run { continue }
            if RunEvent.isKnown(event.body.rawSpan) { found.append((sequence, event)) }
        }
        return ListTail(told: count.map { found.suffix($0) } ?? found[...], isCounted: count != nil)
    }
}

private struct ListCursor<Element> {
    private var elements: ArraySlice<Element>

    init(_ elements: [Element]) { self.elements = elements[...] }

    mutating func next() throws -> Element? { elements.popFirst() }
}

extension ListCursor: RunHeadCursor where Element == RunHead {}
extension ListCursor: RunEventCursor where Element == StoredEvent {}

private struct ListTail: RunEventTail {
    var told: ArraySlice<(sequence: UInt64, event: StoredEvent)>
    let isCounted: Bool

    mutating func next() throws -> [(sequence: UInt64, event: StoredEvent)]? {
        told.popFirst().map { [$0] }
    }
}
