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

    private var entries: [Identity: Entry] = [:]
    private var openCalls: [UInt64: Identity] = [:]

    /// Calls that were started and not finished, oldest first.
    public var unfinished: [Call] {
        openCalls.keys.sorted().compactMap { position in
            openCalls[position].flatMap { entries[$0]?.call }
        }
    }

    /// What is known of the call that `start` would make.
    public func look(up start: ToolStart) -> Lookup {
        guard let entry = entries[Self.identity(of: start)] else { return .none }
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
        openCalls[position].flatMap { entries[$0]?.call }
    }

    func isOpen(_ position: UInt64) -> Bool { openCalls[position] != nil }

    func isCompleted(by finish: UInt64) -> Bool {
        entries.values.contains { $0.completed?.position == finish }
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
        if let older = entries[identity]?.call.position { openCalls[older] = nil }
        entries[identity] = Entry(
            call: Call(position: position, start: start), completed: nil, isOpen: true)
        openCalls[position] = identity
    }

    mutating func finish(_ finish: ToolFinish, at position: UInt64) {
        guard let identity = openCalls.removeValue(forKey: finish.start),
            var entry = entries[identity]
        else { return }
        entry.isOpen = false
        if case .completed(let result) = finish.outcome {
            entry.completed = Completed(
                start: entry.call.start, position: position, result: result)
        }
        entries[identity] = entry
    }

    /// A default key dies with its step; an explicit one holds for the run.
    mutating func endStep() {
        if entries.isEmpty { return }
        entries = entries.filter { !$0.key.isOfStep }
        openCalls = openCalls.filter { entries[$0.value] != nil }
    }
}
