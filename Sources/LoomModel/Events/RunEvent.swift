internal import LoomFormat

/// One thing that happened to a run. Its position in the run and the epoch of its holder stand
/// beside it in the log; its time is its own. See FORMAT.md, Events of a run.
public struct RunEvent: Hashable, Sendable {
    /// When it was recorded. Order is by position, never by time.
    public var time: EventTime
    /// What happened.
    public var content: Content

    /// Creates an event.
    public init(time: EventTime, _ content: Content) {
        self.time = time
        self.content = content
    }

    /// What can happen to a run.
    public enum Content: Hashable, Sendable {
        /// The run exists, with its first state. Always the first event.
        case created(RunCreation)
        /// A step function was called.
        case attemptStarted(AttemptID)
        /// It threw; the decision says what follows.
        case attemptFailed(AttemptID, Failure, FailureDecision)
        /// A managed tool call is about to run.
        case toolStarted(ToolStart)
        /// It ended, or was resolved later.
        case toolFinished(ToolFinish)
        /// A call was answered from an earlier one of the same key.
        case toolReused(AttemptID, finish: UInt64)
        /// A step is done; its state is a delta against the state before.
        case stepCommitted(AttemptID, delta: [UInt8])
        /// The last step is done, with its result.
        case runCompleted(AttemptID, result: [UInt8])
        /// The whole state that step `step` reads. Stands beside the delta, never instead of it.
        case snapshot(step: UInt64, state: [UInt8])
        /// Nobody drives the run any more, and somebody may.
        case paused(PauseReason)
        /// A holder took the run; the record's epoch is its.
        case resumed(holder: String)
        /// The run ended with a failure.
        case failed(Failure)
        /// The run was given up.
        case cancelled(reason: String)
        /// A failed run is open again from its last committed state.
        case retried
        /// Labels were set; an empty value takes one away.
        case labelled([Label])
        /// The checkpoint policy from here on.
        case policyChanged(CheckpointPolicy)
        /// The present state in the shape of another version of the loop.
        case migrated(stateVersion: UInt64, state: [UInt8])
        /// The body of a `.once` tool threw: no end of its call, as an error does not say that
        /// nothing happened, but what whoever resolves it wants to know.
        case toolThrew(start: UInt64, Failure)
        /// The run is gone for every reader, with all its events of this and lower epochs. Its name
        /// may begin anew under a higher one.
        case deleted
        /// Another process asked for something. Changes nothing itself.
        case asked(Asked)
    }
}

/// A call of a step function: the step, and which try at it, both from 0 on.
public struct AttemptID: Hashable, Comparable, Sendable {
    /// The step whose state is read.
    public var step: UInt64
    /// The try, over the whole life of the run.
    public var attempt: UInt64

    /// Creates an identity.
    public init(step: UInt64, attempt: UInt64) {
        self.step = step
        self.attempt = attempt
    }

    /// Order by step, then by attempt.
    public static func < (a: AttemptID, b: AttemptID) -> Bool {
        (a.step, a.attempt) < (b.step, b.attempt)
    }
}

/// How a run begins: everything that a reader needs to show it without the program that made it.
public struct RunCreation: Hashable, Sendable {
    /// The durable name of the loop.
    public var loop: String
    /// The version of the state's shape.
    public var stateVersion: UInt64
    /// How states and results are encoded: `json` is canonical JSON.
    public var codec: String
    /// What the read side keeps.
    public var policy: CheckpointPolicy
    /// Names and values for people and filters.
    public var labels: [Label]
    /// The state that step 0 reads.
    public var state: [UInt8]
    /// What lists show of large values.
    public var payloads: PayloadPolicy

    /// Creates the facts of a new run.
    public init(
        loop: String, stateVersion: UInt64 = 1, codec: String = "json",
        policy: CheckpointPolicy = .full, labels: [Label] = [], state: [UInt8],
        payloads: PayloadPolicy = .whole
    ) {
        self.loop = loop
        self.stateVersion = stateVersion
        self.codec = codec
        self.policy = policy
        self.labels = labels
        self.state = state
        self.payloads = payloads
    }
}

/// A name and a value that somebody gave a run, both compared by their UTF-8 bytes: `é` in one
/// scalar and in two are two names.
public struct Label: Hashable, Sendable {
    /// The name.
    public var name: String
    /// The value; empty takes the label away.
    public var value: String

    /// Returns whether name and value have the same bytes.
    public static func == (a: Label, b: Label) -> Bool {
        a.name.hasSameBytes(as: b.name) && a.value.hasSameBytes(as: b.value)
    }

    /// Hashes the bytes of both.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(ByteString(name))
        hasher.combine(ByteString(value))
    }

    /// Creates a label.
    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// What the read side of a run keeps. See FORMAT.md, Policies.
public enum CheckpointPolicy: Hashable, Sendable {
    /// Every state and every attempt.
    case full
    /// State 0, every nth state and the current one; every attempt.
    case interval(UInt64)
    /// Every state; of attempts, those that failed, were interrupted or were retries.
    case compact

    /// An interval of 0 is none.
    public var isValid: Bool { self != .interval(0) }
}

/// How much of a value the lists of a run show. What is stored, and what a step gets, is whole.
public struct PayloadPolicy: Hashable, Sendable {
    /// Bytes above which a list shows length and hash in place of a value; `nil` for no limit.
    public let shownBytesMax: UInt64?

    /// Creates a policy. A limit of 0 is no limit.
    public init(shownBytesMax: UInt64? = nil) {
        self.shownBytesMax = shownBytesMax == 0 ? nil : shownBytesMax
    }

    /// Everything is shown.
    public static let whole = PayloadPolicy()

    /// Whether a value is shown as it is.
    public func shows(_ value: [UInt8]) -> Bool {
        shownBytesMax.map { UInt64(value.count) <= $0 } ?? true
    }
}

/// Why nobody drives a run that is not over.
public enum PauseReason: Hashable, Sendable {
    /// The budget of steps was used up.
    case budget
    /// The step asked for it.
    case requested(String)
    /// The driver was cancelled, or its process was asked to end.
    case interrupted
    /// A call of a `.once` tool may have happened and nobody knows: the position of its start, and
    /// what ended the attempt that made it, where that is known.
    case unknownOutcome(call: UInt64, cause: Failure? = nil)
    /// The same step was cut too often: somebody should look before it is tried again.
    case interruptedTooOften
    /// It was driven when the backup was made, at this time, that its log was restored from: what
    /// it did after that is not known here.
    case restored(from: EventTime)
}

extension PauseReason {
    /// The position of the call that the run was paused for, as its outcome is unknown.
    public var unknownCall: UInt64? {
        if case .unknownOutcome(let call, _) = self { call } else { nil }
    }
}

/// An error as it is recorded.
public struct Failure: Hashable, Sendable {
    /// `TypeName: message`.
    public var message: String
    /// What kind of error it is.
    public var category: FailureCategory
    /// Whether the error itself says that trying again may help.
    public var isRetryable: Bool

    /// Creates a failure.
    public init(message: String, category: FailureCategory, isRetryable: Bool) {
        self.message = message
        self.category = category
        self.isRetryable = isRetryable
    }
}

/// What kind of error stopped a step.
public enum FailureCategory: String, Hashable, Sendable, CaseIterable {
    /// It may go away by itself.
    case transient
    /// The input was wrong.
    case validation
    /// A rule of the domain forbids it.
    case business
    /// Not allowed.
    case permission
    /// None of these, or nobody said.
    case unknown
}

/// What follows a failed attempt.
public enum FailureDecision: Hashable, Sendable {
    /// Another attempt, after this many microseconds.
    case retry(delay: UInt64)
    /// The run fails.
    case fail
}

/// How often a tool call may happen.
public enum ToolSafety: String, Hashable, Sendable, CaseIterable {
    /// As often as one likes: nothing outside changes.
    case pure
    /// Again with the same key: the other side recognises it.
    case idempotent
    /// Once. A call whose outcome is unknown is never made again by itself.
    case once
}

/// What tells a tool call from others, so that a completed one is found again.
///
/// Keys are compared by their UTF-8 bytes.
public enum ToolKey: Hashable, Sendable {
    /// Chosen by the step; holds for the whole run.
    case explicit(String)
    /// Chosen by the step; holds for the whole store: runs that use it share one call, which is
    /// kept in a run of its own.
    case shared(String)
    /// The number of a call among those of this name and request in its attempt, from 0 on; dies
    /// with its step.
    case occurrence(UInt64)

    /// Returns whether two keys are of one kind and have the same bytes or number.
    public static func == (a: ToolKey, b: ToolKey) -> Bool {
        switch (a, b) {
        case (.explicit(let a), .explicit(let b)), (.shared(let a), .shared(let b)):
            a.hasSameBytes(as: b)
        case (.occurrence(let a), .occurrence(let b)): a == b
        default: false
        }
    }

    /// Hashes the kind, and the bytes or the number.
    public func hash(into hasher: inout Hasher) {
        switch self {
        case .explicit(let key):
            hasher.combine(1)
            hasher.combine(ByteString(key))
        case .shared(let key):
            hasher.combine(3)
            hasher.combine(ByteString(key))
        case .occurrence(let number): hasher.combine(number)
        }
    }
}

/// A managed tool call that is about to run.
public struct ToolStart: Hashable, Sendable {
    /// The attempt that makes the call.
    public var attempt: AttemptID
    /// The tool's name.
    public var name: String
    /// How often it may happen.
    public var safety: ToolSafety
    /// What tells it from others.
    public var key: ToolKey
    /// The request as canonical bytes.
    public var request: [UInt8]

    /// Creates the start of a call.
    public init(
        attempt: AttemptID, name: String, safety: ToolSafety, key: ToolKey, request: [UInt8]
    ) {
        self.attempt = attempt
        self.name = name
        self.safety = safety
        self.key = key
        self.request = request
    }
}

/// How a tool call ended.
public struct ToolFinish: Hashable, Sendable {
    /// The position of its start in the run.
    public var start: UInt64
    /// How it ended.
    public var outcome: Outcome
    /// Who said so.
    public var author: Author

    /// Who can say how a call ended.
    public enum Author: String, Hashable, Sendable, CaseIterable {
        /// The tool: its body, or its closure that finds out what became of a call.
        case tool
        /// A person, of a call whose end nobody knew, or of which a person had spoken before.
        case person
        /// A person, against what the tool had said.
        case correction
    }

    /// How a call can end.
    public enum Outcome: Hashable, Sendable {
        /// It returned this; answered from the log from now on.
        case completed(result: [UInt8])
        /// It threw.
        case failed(Failure)
        /// It is known that it did not happen: it may run again.
        case didNotHappen
    }

    /// Creates the end of a call.
    public init(start: UInt64, outcome: Outcome, by author: Author = .tool) {
        self.start = start
        self.outcome = outcome
        self.author = author
    }
}
