internal import LoomFormat

/// Leaves out of the events of a part of a run the times of the attempts that its policies hide:
/// they get those of the events before them.
///
/// Of an attempt that is the first of its step and commits it, the commit and, where nothing stands
/// between the two, the start. One event is held back: a start of which it is not known yet whether
/// the commit follows.
package struct TimeBlanking<Stored> {
    /// An event with what its caller keeps of it.
    package struct Event {
        /// The event.
        package var event: RunEvent
        /// Whether its time may be another.
        package var isPlain: Bool
        /// What its caller keeps of it.
        package var stored: Stored

        /// Creates an event.
        package init(_ event: RunEvent, isPlain: Bool, _ stored: Stored) {
            (self.event, self.isPlain, self.stored) = (event, isPlain, stored)
        }
    }

    private let policies: PolicyView
    /// Attempts of this step and later ones may be shown yet.
    private let openStep: UInt64
    /// The position of the part's last event, whose time the run's summary tells.
    private let last: UInt64
    private var held: Event?
    /// That of the last event that was given.
    private var time: EventTime?

    /// See ``StateBlanking/init(newest:part:)``.
    package init(newest: RunOutline, part: RunOutline) {
        policies = newest.policies
        openStep = newest.summary.stepIndex
        last = part.summary.nextPosition &- 1
    }

    /// Takes the next event that the fold of the run accepted; gives those that are decided.
    package mutating func take<Failure: Error>(
        _ event: Event, at position: UInt64,
        give: (Event, _ hasOtherTime: Bool) throws(Failure) -> Void
    ) throws(Failure) {
        if case .stepCommitted(let id, _) = event.event.content, hides(id) {
            // What is held back is its start: a step has one attempt of this number.
            try giveHeld(asBefore: true, give)
            return try put(event, asBefore: event.isPlain && position != last, give)
        }
        try giveHeld(asBefore: false, give)
        if case .attemptStarted(let id) = event.event.content, hides(id), event.isPlain {
            held = event
        } else {
            try put(event, asBefore: false, give)
        }
    }

    /// Gives what is held back.
    package mutating func finish<Failure: Error>(
        give: (Event, _ hasOtherTime: Bool) throws(Failure) -> Void
    ) throws(Failure) {
        try giveHeld(asBefore: false, give)
    }

    private func hides(_ id: AttemptID) -> Bool {
        id.attempt == 0 && id.step < openStep && !policies.showsOrdinaryAttempt(id.step)
    }

    private mutating func giveHeld<Failure: Error>(
        asBefore: Bool, _ give: (Event, Bool) throws(Failure) -> Void
    ) throws(Failure) {
        guard let event = held else { return }
        held = nil
        try put(event, asBefore: asBefore, give)
    }

    private mutating func put<Failure: Error>(
        _ event: Event, asBefore: Bool, _ give: (Event, Bool) throws(Failure) -> Void
    ) throws(Failure) {
        var event = event
        let old = event.event.time
        if asBefore, let time { event.event.time = time }
        time = event.event.time
        try give(event, event.event.time != old)
    }
}
