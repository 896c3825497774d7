import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import SystemPackage
import Testing

/// Reads of runs with events that no runner writes: every one is passed over, none ends a read.
@Suite struct StrayEventTests {
    private let storage = SimulatedStorage()

    private func events(_ contents: [RunEvent.Content], at position: UInt64, epoch: UInt64 = 1)
        throws -> RecordUnit
    {
        var unit = RecordUnit(run: try RunID("r"), epoch: epoch, position: position)
        for content in contents {
            unit.append(RunEvent(time: EventTime(microseconds: position), content).encoded())
        }
        return unit
    }

    @Test("an event of a far position, or a second one of the last, does not hide what follows")
    func farPosition() throws {
        var options = LogOptions()
        options.driver = .inline
        let states = (0..<4).map { Array("\($0)".utf8) }
        let attempts = (0..<4).map { AttemptID(step: UInt64($0), attempt: 0) }
        func commit(_ step: Int) -> RunEvent.Content {
            .stepCommitted(
                attempts[step], delta: StateDelta.encode(from: states[step], to: states[step + 1]))
        }
        let writer = try LogWriter(path: "/runs.loom", options: options, storage: storage)
        let units = [
            try events(
                [.created(RunCreation(loop: "raw", state: states[0])), .resumed(holder: "h")],
                at: 0, epoch: 2),
            try events([.attemptStarted(attempts[0]), commit(0)], at: 2, epoch: 2),
            try events([.cancelled(reason: "x")], at: 50, epoch: 2),
            // Of an older holder, at the place that the run's last event will have.
            try events([.cancelled(reason: "x")], at: 7, epoch: 1),
            try events([.attemptStarted(attempts[1]), commit(1)], at: 4, epoch: 2),
            try events([.attemptStarted(attempts[2]), commit(2)], at: 6, epoch: 2),
        ]
        for unit in units { try writer.append(unit) }
        try writer.close()
        let (runs, run) = (try RunReader(path: "/runs.loom", storage: storage), try RunID("r"))
        #expect(try runs.verify(run).notes.count == 2)
        #expect(try runs.get(run).state == states[3])
        #expect(try runs.list().map(\.state) == [states[3]])
        #expect(try runs.history(run).map(\.state) == states)
        #expect(try runs.attempts(run).count == 3)
        #expect(try runs.state(run, at: 2).state == states[2])
        #expect(try runs.explain(run).view.state == states[3])
    }
}
