import LoomModel
import Testing

/// Every kind of event in every kind of state, by the table in `FoldProbe`.
@Suite struct RunFoldTests {
    /// One field of the table.
    struct Cell {
        let state: FoldState
        let probe: FoldProbe
        let letter: Character
    }

    /// The table, checked on the way: all columns, all rows, each once.
    private func cells() throws -> [Cell] {
        let lines = FoldProbe.table.split(separator: "\n")
        let states = try columns(of: lines[0]).map { letter in
            try #require(FoldState(rawValue: letter), "no state has the letter \(letter)")
        }
        try #require(Set(states).count == states.count)
        try #require(Set(states) == Set(FoldState.allCases), "a state has no column")
        var seen: Set<FoldProbe> = []
        var cells: [Cell] = []
        for line in lines.dropFirst() {
            let name = line.prefix(41).trimmingSuffix { $0 == " " }
            let probe = try #require(FoldProbe(rawValue: String(name)), "no probe is named \(name)")
            try #require(seen.insert(probe).inserted, "two rows are named \(name)")
            let letters = columns(of: line)
            try #require(letters.count == states.count, "the row of \(name) has another width")
            cells += zip(states, letters).map { Cell(state: $0, probe: probe, letter: $1) }
        }
        try #require(seen == Set(FoldProbe.allCases), "a probe has no row")
        return cells
    }

    private func columns(of line: Substring) -> [Character] {
        line.dropFirst(41).filter { $0 != " " }
    }

    /// The status after the event; `nil` when it is to be refused.
    private func status(after cell: Cell) throws -> RunStatus? {
        switch cell.letter {
        case ".": nil
        case "=": cell.state.facts.status
        case "r": .running
        case "p": .paused
        case "c": .completed
        case "f": .failed
        case "x": .cancelled
        default: try #require(nil, "the letter \(cell.letter) means nothing")
        }
    }

    /// A fold in the cell's state, and the cell's event at the place where it is due.
    private func prepare(
        _ cell: Cell
    ) throws -> (fold: RunFold, event: RunEvent, place: RunFold.Place) {
        let fold = try cell.state.fold()
        let place = RunFold.Place(
            position: fold.summary.nextPosition, epoch: max(fold.summary.epoch, 5))
        let content = try cell.probe.content(in: cell.state.facts, position: place.position)
        return (fold, RunEvent(time: EventTime(microseconds: 900), content), place)
    }

    @Test("the table has a row for every kind of event, pause, tool outcome and policy")
    func tableIsComplete() throws {
        #expect(try cells().count == FoldProbe.allCases.count * FoldState.allCases.count)
        let contents = try FoldProbe.allCases.map { try $0.content(in: .init(), position: 9) }
        #expect(Set(contents.map { ContentKind($0) }) == Set(ContentKind.allCases))
        // Each switch stops compiling when a case is new; the number beside it then has to grow.
        var parts: Set<String> = []
        for content in contents {
            switch content {
            case .paused(let reason): parts.insert("paused \(number(of: reason))")
            case .toolFinished(let finish):
                parts.insert("tool \(number(of: finish.outcome))")
                parts.insert("said by \(finish.author)")
            case .policyChanged(let policy): parts.insert("policy \(number(of: policy))")
            default: break
            }
        }
        #expect(parts.count == 5 + 3 + ToolFinish.Author.allCases.count + 3)
        #expect(Set(FoldState.allCases.map(\.facts.status)) == Set(RunStatus.allCases))
        let pauses = try FoldState.allCases.compactMap { try $0.fold().summary.pauseReason }
        #expect(Set(pauses.map { number(of: $0) }).count == 5)
    }

    private func number(of reason: PauseReason) -> Int {
        switch reason {
        case .budget: 1
        case .requested: 2
        case .interrupted: 3
        case .unknownOutcome: 4
        case .interruptedTooOften: 5
        case .restored: 6
        }
    }

    private func number(of outcome: ToolFinish.Outcome) -> Int {
        switch outcome {
        case .completed: 1
        case .failed: 2
        case .didNotHappen: 3
        }
    }

    private func number(of policy: CheckpointPolicy) -> Int {
        switch policy {
        case .full: 1
        case .interval: 2
        case .compact: 3
        }
    }

    @Test("each state is what its name says", arguments: FoldState.allCases)
    func states(state: FoldState) throws {
        let fold = try state.fold()
        let facts = state.facts
        #expect(fold.summary.status == facts.status)
        #expect(fold.summary.stepIndex == facts.step)
        #expect(fold.summary.nextAttempt == facts.due)
        #expect(fold.summary.nextPosition == UInt64(state.script.count))
        let isOpen = "oudnj".contains(state.rawValue)
        #expect(fold.summary.openAttempt == (isOpen ? Make.id(facts.step, facts.last) : nil))
    }

    @Test("every event in every state is accepted or refused as the table says")
    func transitions() throws {
        for cell in try cells() {
            var (fold, event, place) = try prepare(cell)
            let before = fold.look
            let expected = try status(after: cell)
            let name = Comment(rawValue: "\(cell.probe.rawValue) in the state \(cell.state)")
            let refusal = fold.refusal(of: event, at: place)
            do throws(RunFold.Violation) {
                try fold.apply(event, at: place)
                #expect(refusal == nil, name)
                #expect(expected == fold.summary.status, name)
                #expect(fold.summary.epoch == place.epoch, name)
                if event.content == .deleted {
                    #expect(fold.summary.nextPosition == 0, name)
                } else {
                    #expect(fold.summary.nextPosition == place.position + 1, name)
                    #expect(fold.summary.updated == event.time, name)
                }
            } catch {
                #expect(expected == nil, name)
                #expect(fold.look == before, name)
                #expect(error == refusal, name)
                #expect(error.place == place, name)
                #expect(!error.description.isEmpty, name)
            }
        }
    }

    @Test("an event at another position or of an older epoch is refused and changes nothing")
    func places() throws {
        for cell in try cells() where cell.letter != "." {
            let (fold, event, place) = try prepare(cell)
            var wrong: [RunFold.Place] = [place, place, place, place]
            wrong[0].position += 1
            wrong[1].position = place.position == 0 ? 2 : place.position - 1
            wrong[2].position = .max
            if cell.state == .nothing {
                wrong.removeLast()
            } else {
                wrong[3].epoch = place.epoch - 1
            }
            for other in wrong {
                var changed = fold
                #expect(throws: RunFold.Violation.self, "\(cell.probe) in \(cell.state)") {
                    try changed.apply(event, at: other)
                }
                #expect(changed.look == fold.look, "\(cell.probe) in \(cell.state)")
            }
        }
    }

    @Test("an event of a later epoch is taken, and older epochs are fenced from then on")
    func epochs() throws {
        for cell in try cells() where cell.letter != "." {
            var (fold, event, place) = try prepare(cell)
            place.epoch += 3
            try fold.apply(event, at: place)
            #expect(fold.summary.epoch == place.epoch)
            let label = RunEvent(time: event.time, .labelled([]))
            let fenced = RunFold.Place(position: place.position + 1, epoch: place.epoch - 1)
            #expect(throws: RunFold.Violation.self) { try fold.apply(label, at: fenced) }
        }
    }

    @Test("the reference model and the table are of one mind")
    func model() throws {
        for cell in try cells() {
            var (fold, event, place) = try prepare(cell)
            var model = FoldModel()
            for (event, place) in cell.state.placed { model.append(event, at: place) }
            let name = Comment(rawValue: "\(cell.probe.rawValue) in the state \(cell.state)")
            let verdict = model.verdict(of: event.content, at: place)
            let expected: FoldModel.Verdict =
                switch cell.letter {
                case ".": .refused
                default: .accepted
                }
            #expect(verdict == expected, name)
            guard verdict == .accepted else { continue }
            model.append(event, at: place)
            try fold.apply(event, at: place)
            #expect(model.differences(from: fold) == [], name)
        }
    }
}

extension Substring {
    fileprivate func trimmingSuffix(while isTrimmed: (Character) -> Bool) -> Substring {
        var rest = self
        while let last = rest.last, isTrimmed(last) { rest.removeLast() }
        return rest
    }
}
