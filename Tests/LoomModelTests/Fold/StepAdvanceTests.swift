import LoomFormat
import LoomModel
import Testing

extension StepAdvance {
    static func make(
        _ id: AttemptID, delta: [UInt8] = [7, 7], snapshot: [UInt8]? = nil,
        time: EventTime = EventTime(microseconds: 300)
    ) -> StepAdvance {
        // Only a track makes a change.
        var track = StateTrack(initial: [])
        var change = track.commit([], pauses: false)
        change.delta = delta
        change.snapshot = snapshot
        return StepAdvance(id, change, time: time)
    }
}

extension RunFold {
    func isSame(as other: RunFold) -> Bool {
        summary == other.summary && calls.unfinished == other.calls.unfinished
    }

    /// Whether an advance does to this fold what its events do one after another, or is refused,
    /// as one of them is, and does nothing.
    func isSameApplying(_ advance: StepAdvance, at place: Place) -> Bool {
        var (whole, single) = (self, self)
        let isApplied = (try? whole.apply(advance, at: place)) != nil
        var isEachApplied = true
        for (index, event) in advance.events.enumerated() where isEachApplied {
            let next = Place(position: place.position + UInt64(index), epoch: place.epoch)
            isEachApplied = (try? single.apply(event, at: next)) != nil
        }
        guard isApplied == isEachApplied else { return false }
        return isApplied ? whole.isSame(as: single) && whole.look == single.look : isSame(as: self)
    }
}

/// The unit that every step writes, against the events that it stands for.
@Suite struct StepAdvanceTests {
    private func advances(_ id: AttemptID) -> [StepAdvance] {
        [.make(id), .make(id, snapshot: [1, 2, 3])]
    }

    @Test("in every state it does what its events do, or is refused and does nothing")
    func folds() throws {
        var applied: Set<FoldState> = []
        for state in FoldState.allCases {
            let fold = try state.fold()
            let facts = state.facts
            let due = RunFold.Place(
                position: fold.summary.nextPosition, epoch: max(fold.summary.epoch, 5))
            var places = [due, due, due, due]
            places[1].position += 1
            places[2].epoch += 1
            places[3].epoch -= 1
            let ids = [
                Make.id(facts.step, facts.last), Make.id(facts.step, facts.last + 1),
                Make.id(facts.step + 1, facts.last), Make.id(facts.step + 1, 0),
            ]
            for advance in ids.flatMap({ advances($0) }) {
                for place in places {
                    let name = Comment(rawValue: "\(advance.attempt) in \(state) at \(place)")
                    #expect(fold.isSameApplying(advance, at: place), name)
                    var changed = fold
                    if (try? changed.apply(advance, at: place)) != nil { applied.insert(state) }
                }
            }
        }
        let open = FoldState.allCases.filter { "oudnj".contains($0.rawValue) }
        #expect(applied == Set(open))
    }

    @Test("its bytes are those of its events")
    func bytes() throws {
        for number in [0, 127, 128, 1 << 40] as [UInt64] {
            for advance in advances(Make.id(number, number)) {
                var unit = RecordUnit(run: try RunID("demo"), epoch: 1, position: number)
                advance.encode(to: &unit)
                #expect(unit.events == advance.events.map { $0.encoded() })
                #expect(unit.eventCount == advance.eventCount)
                #expect(advance.events.count == advance.eventCount)
            }
        }
    }

    @Test("its events are the end of the step, a snapshot where one is due, and the next start")
    func events() {
        let id = Make.id(4, 2)
        let plain: [RunEvent.Content] = [.stepCommitted(id, delta: [7, 7]), Make.start(5, 0)]
        var whole = plain
        whole.insert(.snapshot(step: 5, state: [1, 2, 3]), at: 1)
        #expect(advances(id).map { $0.events.map(\.content) } == [plain, whole])
        #expect(advances(id).allSatisfy { $0.next == Make.id(5, 0) })
        #expect(advances(id).flatMap(\.events).allSatisfy { $0.time.microseconds == 300 })
    }
}
