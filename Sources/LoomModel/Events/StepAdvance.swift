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
        unit.append(byteCount: 1 + timeSize + committed) { span in
            begin(.stepCommitted, &span)
            attempt.encode(to: &span)
            span.appendVarint(UInt64(delta.count))
            span.append(bytes: delta.rawSpan)
        }
        if let state = change.snapshot {
            unit.append(RunEvent(time: time, .snapshot(step: next.step, state: state)).encoded())
        }
        unit.append(byteCount: 1 + timeSize + next.size) { span in
            begin(.attemptStarted, &span)
            next.encode(to: &span)
        }
    }

    private func begin(_ kind: RunEvent.Kind, _ span: inout OutputSpan<UInt8>) {
        span.append(kind.rawValue)
        span.appendVarint(time.microseconds)
    }
}

extension AttemptID {
    fileprivate var size: Int { step.varintSize + attempt.varintSize }

    fileprivate func encode(to span: inout OutputSpan<UInt8>) {
        span.appendVarint(step)
        span.appendVarint(attempt)
    }
}
