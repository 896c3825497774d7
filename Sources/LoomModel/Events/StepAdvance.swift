public import LoomFormat

/// The end of a step that goes on, and the start of the next one: the unit that every step writes.
///
/// The same as the events `stepCommitted`, `snapshot` where one is due, and `attemptStarted`, and
/// nothing else: only quicker to fold and to encode, as it is the path of every step.
public struct StepAdvance: Sendable {
    /// The attempt that ends.
    public let attempt: AttemptID
    /// What it did to the state.
    public let change: StateTrack.Change
    /// When.
    public let time: EventTime

    /// Creates an advance.
    public init(_ attempt: AttemptID, _ change: StateTrack.Change, time: EventTime) {
        self.attempt = attempt
        self.change = change
        self.time = time
    }

    /// The attempt that begins.
    public var next: AttemptID { AttemptID(step: attempt.step + 1, attempt: 0) }

    /// How many events it is.
    public var eventCount: Int { change.snapshot == nil ? 2 : 3 }

    /// The same as events, in order.
    public var events: [RunEvent] {
        var contents: [RunEvent.Content] = [.stepCommitted(attempt, delta: change.delta)]
        if let state = change.snapshot { contents.append(.snapshot(step: next.step, state: state)) }
        contents.append(.attemptStarted(next))
        return contents.map { RunEvent(time: time, $0) }
    }

    /// Appends the events to a unit.
    public func encode(to unit: inout RecordUnit) {
        let timeSize = time.microseconds.varintSize
        let delta = change.delta
        let committed = attempt.size + UInt64(delta.count).varintSize + delta.count
        unit.append(byteCount: 1 + timeSize + committed) { writer in
            begin(.stepCommitted, &writer)
            attempt.encode(to: &writer)
            writer.writeSized(delta)
        }
        if let state = change.snapshot {
            unit.append(RunEvent(time: time, .snapshot(step: next.step, state: state)).encoded())
        }
        unit.append(byteCount: 1 + timeSize + next.size) { writer in
            begin(.attemptStarted, &writer)
            next.encode(to: &writer)
        }
    }

    private func begin(_ kind: RunEvent.Kind, _ writer: inout ByteWriter) {
        writer.writeUInt8(kind.rawValue)
        writer.writeVarint(time.microseconds)
    }
}

extension AttemptID {
    fileprivate var size: Int { step.varintSize + attempt.varintSize }
}
