internal import LoomFormat

/// The tool calls of a run that still matter: those that a later attempt may be answered from, and
/// those of which nobody knows whether they happened.
public struct ToolCallTable: Sendable {
    /// A call that was started.
    public struct Call: Hashable, Sendable {
        /// The position of its start in the run.
        public let position: UInt64
        /// What was asked.
        public let start: ToolStart
        /// What its body threw, when it threw.
        public internal(set) var thrown: Failure?

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
    private struct Identity: Hashable {
        var kind: UInt8
        var occurrence: UInt64 = 0
        var key: [UInt8] = []
        /// For keys that count occurrences; an explicit key stands for itself.
        var name: [UInt8] = []
        var request: [UInt8] = []

        var isOfStep: Bool { kind == 2 }
    }

    private struct Entry {
        var call: Call
        var completed: Completed?
        var isOpen: Bool
    }

    /// Calls of one lifetime: of the present step, or of the run.
    private struct Calls {
        var entries: [Identity: Entry] = [:]
        /// Positions at which calls completed.
        var ends: Set<UInt64> = []
        /// Completed calls by the position of their start.
        var starts: [UInt64: Identity] = [:]

        mutating func set(_ entry: Entry, for identity: Identity) {
            if let old = entries[identity], let completed = old.completed {
                ends.remove(completed.position)
                starts[old.call.position] = nil
            }
            entries[identity] = entry
            if let completed = entry.completed {
                ends.insert(completed.position)
                starts[entry.call.position] = identity
            }
        }
    }

    // Apart, so that the end of a step costs what the step had, and not what the run has.
    private var ofStep = Calls()
    private var ofRun = Calls()
    private var openCalls: [UInt64: Identity] = [:]

    private func entry(_ identity: Identity) -> Entry? {
        identity.isOfStep ? ofStep.entries[identity] : ofRun.entries[identity]
    }

    private mutating func set(_ entry: Entry, for identity: Identity) {
        if identity.isOfStep {
            ofStep.set(entry, for: identity)
        } else {
            ofRun.set(entry, for: identity)
        }
    }

    /// Calls that were started and not finished, oldest first.
    public var unfinished: [Call] {
        openCalls.keys.sorted().compactMap { unfinished(at: $0) }
    }

    /// The oldest `.once` call of a step that was started and not finished.
    public func unsettled(ofStep step: UInt64) -> Call? {
        if openCalls.isEmpty { return nil }
        return unfinished.first { $0.start.safety == .once && $0.start.attempt.step == step }
    }

    /// The `.once` calls of the same tool and step that were started and not finished.
    public func unsettled(like start: ToolStart) -> [Call] {
        if openCalls.isEmpty { return [] }
        return unfinished.filter { call in
            call.start.safety == .once && call.start.name == start.name
                && call.start.attempt.step == start.attempt.step
        }
    }

    /// What is known of the call that `start` would make.
    public func look(up start: ToolStart) -> Lookup {
        guard let entry = entry(Self.identity(of: start)) else { return .none }
        let known = entry.call.start
        if known.request != start.request || known.name != start.name {
            return .mismatch(entry.call)
        }
        if let completed = entry.completed { return .completed(completed) }
        return entry.isOpen ? .unknown(entry.call) : .none
    }

    private static func identity(of start: ToolStart) -> Identity {
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
        openCalls[position].flatMap { entry($0)?.call }
    }

    /// The completed call that began at a position of the run, while an attempt may be answered
    /// with it.
    public func completed(at position: UInt64) -> Call? {
        completedIdentity(position).flatMap { entry($0)?.call }
    }

    private func completedIdentity(_ position: UInt64) -> Identity? {
        ofStep.starts[position] ?? ofRun.starts[position]
    }

    func isOpen(_ position: UInt64) -> Bool { openCalls[position] != nil }

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
        if let older = entry(identity)?.call.position { openCalls[older] = nil }
        set(
            Entry(call: Call(position: position, start: start), completed: nil, isOpen: true),
            for: identity)
        openCalls[position] = identity
    }

    mutating func note(_ failure: Failure, of start: UInt64) {
        guard let identity = openCalls[start], var entry = entry(identity) else { return }
        entry.call.thrown = failure
        set(entry, for: identity)
    }

    mutating func finish(_ finish: ToolFinish, at position: UInt64) {
        // Of a completed call it is a correction: the later word holds.
        let known = openCalls.removeValue(forKey: finish.start) ?? completedIdentity(finish.start)
        guard let identity = known, var entry = entry(identity) else { return }
        entry.isOpen = false
        entry.completed = nil
        if case .completed(let result) = finish.outcome {
            entry.completed = Completed(
                start: entry.call.start, position: position, result: result)
        }
        set(entry, for: identity)
    }

    /// A default key dies with its step; an explicit one holds for the run.
    mutating func endStep() {
        if ofStep.entries.isEmpty { return }
        ofStep = Calls()
        if !openCalls.isEmpty { openCalls = openCalls.filter { !$0.value.isOfStep } }
    }
}
