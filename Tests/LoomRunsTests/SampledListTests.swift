import LoomFormat
import LoomModel
import LoomTesting
import Testing

@testable import LoomRuns

/// A page is made of what a sample of times tells only where that is enough: whatever the sample,
/// the page is the one that a sort of all runs gives.
@Suite struct SampledListTests {
    /// Runs in memory, and a sample of when they were created that need not be one.
    private struct SampledSource: RunSource {
        let base: ListedEvents
        let sample: [UInt64]
        /// Whether a run is given whatever was narrowed, as those of live segments are.
        let isLive: @Sendable (RunID) -> Bool

        func row(of run: RunID) throws -> RunRow? { try base.row(of: run) }
        func events(_ parts: [RunPart]) throws -> any RunEventCursor { try base.events(parts) }
        func tail(of run: RunID?, last count: Int?) throws -> any RunEventTail {
            try base.tail(of: run, last: count)
        }
        func heads(_ filter: RunFilter) throws -> any RunHeadCursor {
            SampledCursor(base: try base.heads(filter), sample: sample, isLive: isLive)
        }
    }

    private struct SampledCursor: RunHeadCursor {
        var base: any RunHeadCursor
        let sample: [UInt64]
        let isLive: (RunID) -> Bool
        var wanted = EventTime(microseconds: 0)...EventTime(microseconds: .max)

        mutating func next() throws -> RunHead? {
            while let head = try base.next() {
                if wanted.contains(head.created) || isLive(head.run) { return head }
            }
            return nil
        }
        mutating func narrow(toCreated times: ClosedRange<EventTime>) { wanted = times }
        func sampleOfCreated() -> [EventTime] { sample.map { EventTime(microseconds: $0) } }
    }

    @Test(
        "whatever a sample says, a page holds the first runs",
        arguments: [
            // An honest one, one that tells only of the ends, none of it true, and too few.
            Array(stride(from: 10, through: 3000, by: 30)), Array(2900...3000), Array(1...100),
            [UInt64](repeating: 9_000_000, count: 500), [UInt64](repeating: 0, count: 500),
            [1, 2, 3],
        ])
    func sampled(sample: [UInt64]) throws {
        let events = ListedEvents()
        var created: [(time: UInt64, name: String)] = []
        for number in 0..<300 {
            let (name, time) = ("run \(number &* 7919 % 1009)", UInt64(10 * (number + 1)))
            created.append((time, name))
            let creation = RunCreation(loop: "l", policy: .full, state: [0x30])
            let event = RunEvent(time: EventTime(microseconds: time), .created(creation))
            events.append([
                StoredEvent(
                    run: try RunID(name), place: RunFold.Place(position: 0, epoch: 1),
                    body: event.encoded())
            ])
        }
        for lives in [false, true] {
            let source = SampledSource(base: events, sample: sample) { run in
                lives && run.rawValue.utf8.last.map { $0 % 2 == 0 } ?? false
            }
            let reader = RunReader(source: source)
            for order in [RunOrder.created, .newest] {
                let sorted = created.map(\.name)
                let wanted = order == .created ? sorted : sorted.reversed()
                var (names, place): ([String], RunListPlace?) = ([], nil)
                while true {
                    var rows = try reader.listRows(limit: 7, order: order, after: place)
                    let before = names.count
                    while let view = try rows.next() {
                        names.append(view.run.rawValue)
                        place = RunList.place(behind: view, order)
                    }
                    if names.count == before { break }
                }
                #expect(names == wanted)
            }
        }
    }
}
