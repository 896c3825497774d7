internal import LoomFormat

/// The tool calls of a run that still matter: those that a later attempt may be answered from, and
/// those of which nobody knows whether they happened.
///
/// That of a fold which goes on from an outline is a cache: of the calls before that it has those
/// that ``OutlineFold`` was asked to look up. Only the positions of the open ones are all known.
public struct ToolCallTable: Sendable {
    /// A call that was started.
    public struct Call: Hashable, Sendable {
        /// The position of its start in the run.
        public let position: UInt64
        /// What was asked.
        public let start: ToolStart
        /// What its body threw, when it threw and the call has no end.
        public internal(set) var thrown: Failure?
        /// What ended the attempt that made it, as the run was paused because of it; while the
        /// call has no end.
        public internal(set) var cause: Failure?

        /// Whether somebody has to say what became of this call before it is made again.
        ///
        /// Also when the tool says by now that it may happen again: the call was made as `.once`.
        public func mustBeSettled(before next: ToolStart) -> Bool {
            next.safety == .once || start.safety == .once
        }
    }

    /// A call that completed.
    public struct Completed: Hashable, Sendable {
        /// What was asked.
        public let start: ToolStart
        /// The position of its end in the run.
        public let position: UInt64
        /// What it returned.
        public let result: [UInt8]
        /// Who said so.
        public let author: ToolFinish.Author
    }

    /// A call that has ended.
    public struct Ended: Hashable, Sendable {
        /// What was asked.
        public let call: Call
        /// How it ended.
        public let outcome: ToolFinish.Outcome
        /// Who said so last.
        public let author: ToolFinish.Author
    }

    /// What was found under a key.
    public enum Lookup: Hashable, Sendable {
        /// No call of this key, or only calls that are known to have failed or not to have
        /// happened.
        case none
        /// Answered: the call is not made again.
        case completed(Completed)
        /// Started and not finished: it may have happened.
        case unknown(Call)
        /// The key was used with another request.
        case mismatch(Call)
    }

    /// By bytes: strings are equal that have other bytes, and idempotency keys go by bytes.
    struct Identity: Hashable {
        var kind: UInt8
        var occurrence: UInt64 = 0
        var key: [UInt8] = []
        /// For keys that count occurrences; an explicit key stands for itself.
        var name: [UInt8] = []
        var request: [UInt8] = []

        /// The bytes of a part at once: by themselves arrays give a hasher one after the other.
        func hash(into hasher: inout Hasher) {
            hasher.combine(kind)
            hasher.combine(occurrence)
            Self.add(key, to: &hasher)
            Self.add(name, to: &hasher)
            Self.add(request, to: &hasher)
        }

        private static func add(_ bytes: [UInt8], to hasher: inout Hasher) {
            hasher.combine(bytes.count)
            unsafe bytes.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
        }

        var isOfStep: Bool { kind == 2 }

        /// What equal calls of a step have in common.
        var withoutNumber: Identity {
            var identity = self
            identity.occurrence = 0
            return identity
        }
    }

    struct Entry {
        var call: Call
        var completed: Completed?
        var isOpen: Bool
        /// Where it was noted what is known of the open call.
        var notes = OpenCallNotes()
        /// How it ended, when it did not complete.
        var otherEnd: ToolFinish?

        var ended: Ended? {
            if let completed {
                return Ended(
                    call: call, outcome: .completed(result: completed.result),
                    author: completed.author)
            }
            return otherEnd.map { Ended(call: call, outcome: $0.outcome, author: $0.author) }
        }
    }

    /// Calls of one lifetime: of the present step, or of the run.
    struct Calls {
        var entries: [Identity: Entry] = [:]
        /// Positions at which calls completed.
        var ends: Set<UInt64> = []
        /// Calls that have ended by the position of their start.
        var starts: [UInt64: Identity] = [:]
        /// The numbers above 0 that equal calls have had, in order.
        var numbers: [Identity: [UInt64]] = [:]
        /// Calls that were started and not finished, by the position of their start.
        var open: [UInt64: Identity] = [:]

        mutating func set(_ entry: Entry, for identity: Identity) {
            if let old = entries[identity], !old.isOpen {
                if let completed = old.completed { ends.remove(completed.position) }
                starts[old.call.position] = nil
            }
            entries[identity] = entry
            if let completed = entry.completed { ends.insert(completed.position) }
            if !entry.isOpen { starts[entry.call.position] = identity }
        }
    }

    // Apart, so that the end of a step costs what the step had, and not what the run has.
    var ofStep = Calls()
    var ofRun = Calls()
    /// The open `.once` calls of each step that has some: no step looks at the other open calls.
    private var openOnce: [UInt64: OpenPositions] = [:]
    /// What is not known of the calls before; `nil` where all events were seen.
    var gaps: CallGaps?

    func entry(_ identity: Identity) -> Entry? {
        identity.isOfStep ? ofStep.entries[identity] : ofRun.entries[identity]
    }

    mutating func set(_ entry: Entry, for identity: Identity) {
        if identity.isOfStep {
            ofStep.set(entry, for: identity)
        } else {
            ofRun.set(entry, for: identity)
        }
    }

    private func openIdentity(_ position: UInt64) -> Identity? {
        ofStep.open[position] ?? ofRun.open[position]
    }

    mutating func open(_ call: Call, _ identity: Identity) {
        if identity.isOfStep {
            ofStep.open[call.position] = identity
        } else {
            ofRun.open[call.position] = identity
        }
        guard call.start.safety == .once else { return }
        openOnce[call.start.attempt.step, default: OpenPositions()].add(call.position)
    }

    /// Takes a call from the open ones; returns its identity when it was one.
    private mutating func close(_ position: UInt64) -> Identity? {
        guard
            let identity = ofStep.open.removeValue(forKey: position)
                ?? ofRun.open.removeValue(forKey: position)
        else { return nil }
        if let start = entry(identity)?.call.start, start.safety == .once {
            let step = start.attempt.step
            openOnce[step]?.remove(position)
            if openOnce[step]?.isEmpty == true { openOnce[step] = nil }
        }
        return identity
    }

    /// Whether a call was started and not finished.
    public var hasUnfinished: Bool {
        !ofStep.open.isEmpty || !ofRun.open.isEmpty || gaps?.open.isEmpty == false
    }

    /// Calls that were started and not finished, oldest first. Costs their number.
    public var unfinished: [Call] {
        unfinishedPositions.compactMap { unfinished(at: $0) }
    }

    /// The positions of their starts, in order. Costs their number.
    public var unfinishedPositions: [UInt64] {
        guard hasUnfinished else { return [] }
        var positions = Array(ofStep.open.keys) + ofRun.open.keys
        if let gaps { positions += gaps.open.keys }
        return positions.sorted()
    }

    /// What was noted of unfinished calls, in order of their starts; of those that have some.
    var unfinishedNotes: [OpenCallNotes] {
        guard hasUnfinished else { return [] }
        var notes = gaps.map { Array($0.open.values) } ?? []
        for identity in Array(ofStep.open.values) + ofRun.open.values {
            if let entry = entry(identity) { notes.append(entry.notes) }
        }
        return notes.filter { !$0.isEmpty }.sorted { $0.call < $1.call }
    }

    /// The oldest `.once` call of a step that was started and not finished. Costs nothing, however
    /// many are open.
    public func unsettled(ofStep step: UInt64) -> Call? {
        if openOnce.isEmpty { return nil }
        return openOnce[step]?.first.flatMap { unfinished(at: $0) }
    }

    /// What is known of the call that `start` would make.
    public func look(up start: ToolStart) -> Lookup {
        guard let entry = entry(Self.identity(of: start)) else { return .none }
        let known = entry.call.start
        if known.request != start.request || !known.name.hasSameBytes(as: start.name) {
            return .mismatch(entry.call)
        }
        if let completed = entry.completed { return .completed(completed) }
        return entry.isOpen ? .unknown(entry.call) : .none
    }

    /// The least number, from `first` on, under which a call equal to this one has completed or has
    /// no end in the present step, and which is not held.
    ///
    /// - Complexity: That of the numbers it passes over.
    public func number(
        of start: ToolStart, from first: UInt64, isHeld: (UInt64) -> Bool
    ) -> UInt64? {
        var identity = Self.identity(of: start)
        func isKnown(_ number: UInt64) -> Bool {
            identity.occurrence = number
            guard let entry = ofStep.entries[identity] else { return false }
            return entry.isOpen || entry.completed != nil
        }
        if first == 0, !isHeld(0), isKnown(0) { return 0 }
        guard let numbers = ofStep.numbers[identity.withoutNumber] else { return nil }
        return numbers[Self.index(of: first, in: numbers)...].first { !isHeld($0) && isKnown($0) }
    }

    /// Where a number stands among others, or would stand.
    private static func index(of number: UInt64, in numbers: [UInt64]) -> Int {
        var (low, high) = (0, numbers.count)
        if let last = numbers.last, last < number { return high }
        while low < high {
            let middle = (low + high) / 2
            if numbers[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func keepNumber(of identity: Identity) {
        guard identity.isOfStep, identity.occurrence > 0 else { return }
        let number = identity.occurrence
        // In place: a copy for each would make many equal calls quadratic.
        func add(to numbers: inout [UInt64]) {
            let index = Self.index(of: number, in: numbers)
            guard index == numbers.count || numbers[index] != number else { return }
            numbers.insert(number, at: index)
        }
        add(to: &ofStep.numbers[identity.withoutNumber, default: []])
    }

    static func identity(of start: ToolStart) -> Identity {
        switch start.key {
        case .explicit(let key): Identity(kind: 1, key: Array(key.utf8))
        case .occurrence(let number):
            Identity(
                kind: 2, occurrence: number, name: Array(start.name.utf8), request: start.request)
        case .shared(let key): Identity(kind: 3, key: Array(key.utf8))
        }
    }

    /// The unfinished call that began at a position of the run.
    public func unfinished(at position: UInt64) -> Call? {
        openIdentity(position).flatMap { entry($0)?.call }
    }

    /// The call that began at a position of the run and has ended, while its end matters: until its
    /// step is over, or it was made again.
    public func ended(at position: UInt64) -> Ended? {
        endedIdentity(position).flatMap { entry($0)?.ended }
    }

    private func endedIdentity(_ position: UInt64) -> Identity? {
        ofStep.starts[position] ?? ofRun.starts[position]
    }

    func isOpen(_ position: UInt64) -> Bool {
        openIdentity(position) != nil || gaps?.open[position] != nil
    }

    func isCompleted(by finish: UInt64) -> Bool {
        ofStep.ends.contains(finish) || ofRun.ends.contains(finish)
    }

    /// Why a call cannot be started: a runner would have answered it, settled it, or refused it.
    func refusal(of start: ToolStart) -> String? {
        switch look(up: start) {
        case .none: nil
        case .completed: "a call that has completed is made again"
        case .mismatch: "a tool key is used with another request"
        case .unknown(let call):
            call.start.safety == .once ? "a `.once` call of unknown outcome is made again" : nil
        }
    }

    mutating func start(_ start: ToolStart, at position: UInt64) {
        let identity = Self.identity(of: start)
        // Made again: the older call of this key is no longer in question.
        if let older = entry(identity)?.call.position { _ = close(older) }
        let call = Call(position: position, start: start)
        let notes = OpenCallNotes(call: position)
        set(Entry(call: call, completed: nil, isOpen: true, notes: notes), for: identity)
        keepNumber(of: identity)
        open(call, identity)
    }

    mutating func note(_ failure: Failure, of start: UInt64, at position: UInt64) {
        guard let identity = openIdentity(start), var entry = entry(identity) else { return }
        entry.call.thrown = failure
        entry.notes.thrown = position
        set(entry, for: identity)
    }

    mutating func note(cause: Failure, of start: UInt64, at position: UInt64) {
        guard let identity = openIdentity(start), var entry = entry(identity) else { return }
        entry.call.cause = cause
        entry.notes.cause = position
        set(entry, for: identity)
    }

    /// What made the outcome of an unfinished call unknown, where that was recorded.
    func cause(of start: UInt64) -> Failure? {
        unfinished(at: start).flatMap { $0.cause ?? $0.thrown }
    }

    mutating func finish(_ finish: ToolFinish, at position: UInt64) {
        // Of a call that has ended it is said anew: the later word holds.
        let known = close(finish.start) ?? endedIdentity(finish.start)
        guard let identity = known, var entry = entry(identity) else { return }
        // Earlier versions did not write whose word it was: a later one was a person's.
        let author = entry.isOpen || finish.author != .tool ? finish.author : .person
        entry.isOpen = false
        // What was known of an open call: of one that has ended, its end is.
        (entry.call.thrown, entry.call.cause) = (nil, nil)
        entry.notes = OpenCallNotes(call: finish.start)
        (entry.completed, entry.otherEnd) = (nil, nil)
        switch finish.outcome {
        case .completed(let result):
            entry.completed = Completed(
                start: entry.call.start, position: position, result: result, author: author)
        case .failed, .didNotHappen:
            entry.otherEnd = ToolFinish(start: finish.start, outcome: finish.outcome, by: author)
        }
        set(entry, for: identity)
    }

    /// A default key dies with its step; an explicit one holds for the run.
    mutating func endStep() {
        if gaps != nil { gaps?.step = nil }
        if ofStep.entries.isEmpty { return }
        // No step ends while a `.once` call of it is open, but a hostile log may say so.
        if !openOnce.isEmpty { for position in ofStep.open.keys { _ = close(position) } }
        ofStep = Calls()
    }
}
