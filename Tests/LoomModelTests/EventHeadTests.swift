import LoomFormat
import LoomModel
import LoomTesting
import Testing

/// What packed rows know of events, held against the encoder of events.
@Suite struct EventHeadTests {
    private static let failure = Failure(
        message: "no", category: .transient, isRetryable: true)

    /// One event of each kind, with the numbers in all places that take such a number.
    private func events(_ id: AttemptID, _ position: UInt64) -> [RunEvent.Content] {
        let finish = ToolFinish(start: position, outcome: .didNotHappen, by: .tool)
        let start = ToolStart(
            attempt: id, name: "t", safety: .pure, key: .occurrence(position), request: [])
        let creation = RunCreation(
            loop: "l", stateVersion: id.step, codec: "json", policy: .interval(id.step),
            labels: [], state: [1])
        return [
            .created(creation), .attemptStarted(id), .attemptFailed(id, Self.failure, .fail),
            .toolStarted(start), .toolFinished(finish), .toolReused(id, finish: position),
            .stepCommitted(id, delta: [1]), .runCompleted(id, result: [1]),
            .snapshot(step: id.step, state: [1]),
            .paused(.unknownOutcome(call: position, cause: nil)), .resumed(holder: "h"),
            .failed(Self.failure), .cancelled(reason: "r"), .retried, .labelled([]),
            .policyChanged(.interval(id.step)), .migrated(stateVersion: id.attempt, state: [1]),
            .toolThrew(start: position, Self.failure), .deleted, Make.asked,
        ]
    }

    @Test("the numbers of the table lead the events of each kind, and no others do")
    func table() throws {
        let (id, position) = (AttemptID(step: 1_000_003, attempt: 70_001), UInt64(90_007))
        let places: [UInt64: EventHead.Numbers] = [
            id.step: .step, id.attempt: .attempt, position: .position,
        ]
        var known: Set<UInt8> = []
        for content in events(id, position) {
            let bytes = RunEvent(time: EventTime(microseconds: 300), content).encoded()
            let kind = bytes[0]
            known.insert(kind)
            // The numbers as they stand in the bytes, up to the first that is none of them.
            var reader = ByteReader(bytes.rawSpan)
            try reader.skip(3)
            var numbers: EventHead.Numbers = []
            var end = reader.offset
            while let number = try? reader.readVarint() {
                guard let place = places[number], place.rawValue > numbers.rawValue else { break }
                numbers.insert(place)
                end = reader.offset
            }
            // A version of the state is a number of its own, which only looks like an attempt here.
            if kind == 17 { (numbers, end) = ([], 3) }
            #expect(EventHead.numbers(ofKind: kind) == numbers, "kind \(kind)")
            let found = EventHead(bytes.rawSpan)
            let head = try #require(found)
            #expect(head.kind == kind && head.time == 300 && head.byteCount == end)
            #expect(head.step == (numbers.contains(.step) ? id.step : 0))
            #expect(head.attempt == (numbers.contains(.attempt) ? id.attempt : 0))
            #expect(head.position == (numbers.contains(.position) ? position : 0))
        }
        for kind in UInt8(1)...255 where RunEvent.isKnown([kind].rawSpan) {
            #expect(known.contains(kind), "kind \(kind) is not in this test")
        }
        for kind in UInt8(19)...255 { #expect(EventHead.numbers(ofKind: kind).isEmpty) }
    }
}
