public import LoomFormat

// The bytes of an event: kind (1), time (varint), then the fields of the kind in a fixed order.
// Bytes behind the last field are ignored and kinds above the known ones are skipped, so that both
// can grow.

extension RunEvent {
    /// The kinds on disk. Zero is never one.
    enum Kind: UInt8 {
        case created = 1
        case attemptStarted, attemptFailed, toolStarted, toolFinished, toolReused, stepCommitted
        case runCompleted, snapshot, paused, resumed, failed, cancelled, retried, labelled
        case policyChanged, migrated, toolThrew
        case deleted, asked
    }

    /// The event's bytes.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 32)
        encode(to: &writer)
        return writer.bytes
    }

    /// Appends the event's bytes.
    public func encode(to writer: inout ByteWriter) {
        func begin(_ kind: Kind) {
            writer.writeUInt8(kind.rawValue)
            writer.writeVarint(time.microseconds)
        }
        switch content {
        case .created(let creation):
            begin(.created)
            creation.encode(to: &writer)
        case .attemptStarted(let id):
            begin(.attemptStarted)
            id.encode(to: &writer)
        case .attemptFailed(let id, let failure, let decision):
            begin(.attemptFailed)
            id.encode(to: &writer)
            failure.encode(to: &writer)
            decision.encode(to: &writer)
        case .toolStarted(let start):
            begin(.toolStarted)
            start.encode(to: &writer)
        case .toolFinished(let finish):
            begin(.toolFinished)
            finish.encode(to: &writer)
        case .toolReused(let id, let finish):
            begin(.toolReused)
            id.encode(to: &writer)
            writer.writeVarint(finish)
        case .stepCommitted(let id, let delta):
            begin(.stepCommitted)
            id.encode(to: &writer)
            writer.writeSized(delta)
        case .runCompleted(let id, let result):
            begin(.runCompleted)
            id.encode(to: &writer)
            writer.writeSized(result)
        case .snapshot(let step, let state):
            begin(.snapshot)
            writer.writeVarint(step)
            writer.writeSized(state)
        case .paused(let reason):
            begin(.paused)
            reason.encode(to: &writer)
        case .resumed(let holder):
            begin(.resumed)
            writer.writeString(holder)
        case .failed(let failure):
            begin(.failed)
            failure.encode(to: &writer)
        case .cancelled(let reason):
            begin(.cancelled)
            writer.writeString(reason)
        case .retried: begin(.retried)
        case .labelled(let labels):
            begin(.labelled)
            Label.encode(labels, to: &writer)
        case .policyChanged(let policy):
            begin(.policyChanged)
            policy.encode(to: &writer)
        case .migrated(let version, let state):
            begin(.migrated)
            writer.writeVarint(version)
            writer.writeSized(state)
        case .toolThrew(let start, let failure):
            begin(.toolThrew)
            writer.writeVarint(start)
            failure.encode(to: &writer)
        case .deleted: begin(.deleted)
        case .asked(let asked): asked.encode(to: &writer, at: time)
        }
    }

    /// Whether the bytes begin an event of a kind that this version knows, or one that is damaged.
    public static func isKnown(_ bytes: RawSpan) -> Bool {
        var reader = ByteReader(bytes)
        guard let number = try? reader.readUInt8(), number != 0 else { return true }
        return Kind(rawValue: number) != nil
    }

    /// The name of a kind on disk, as lists print it: `step_committed`.
    package static func kindName(_ number: UInt8) -> String? {
        Kind(rawValue: number).map { kind in
            var name = ""
            for character in "\(kind)" {
                name += character.isUppercase ? "_" + character.lowercased() : String(character)
            }
            return name
        }
    }

    /// Whether the bytes are those of an event that deletes its run.
    package static func isDeletion(_ bytes: RawSpan) -> Bool {
        var reader = ByteReader(bytes)
        return (try? reader.readUInt8()) == Kind.deleted.rawValue
    }

    /// Whether the bytes are those of a commit whose delta is a whole state.
    package static func isWholeCommit(_ bytes: RawSpan) -> Bool {
        guard let head = EventHead(bytes), head.kind == Kind.stepCommitted.rawValue else {
            return false
        }
        do throws(FormatError) {
            var reader = ByteReader(bytes.extracting(droppingFirst: head.byteCount))
            let count = try reader.readLength("delta", limit: FormatLimits.unitBytesMax)
            return StateDelta.isWhole(try reader.readBytes(count))
        } catch {
            return false
        }
    }

    /// How many bytes stand behind the fields that this version knows.
    package static func unknownByteCount(_ bytes: RawSpan) throws(FormatError) -> Int {
        var reader = ByteReader(bytes)
        let number = try reader.readUInt8()
        _ = try reader.readVarint()
        guard let kind = Kind(rawValue: number) else { return reader.remaining }
        _ = try decodeContent(kind, &reader)
        return reader.remaining
    }

    /// Whether the bytes are those of an event from which on reads may show less of its run: one
    /// that brings a policy, or deletes the run.
    package static func hides(_ bytes: RawSpan) -> Bool {
        var reader = ByteReader(bytes)
        guard let kind = try? reader.readUInt8(), mayHide(kind: kind) else { return false }
        // One that cannot be read deletes nothing, and is looked at as if it did.
        if kind == Kind.deleted.rawValue { return true }
        do throws(FormatError) {
            switch try RunEvent(decoding: bytes)?.content {
            case .created(let creation): return creation.policy != .full
            case .policyChanged(let policy): return policy != .full
            default: return false
            }
        } catch {
            return false
        }
    }

    /// Whether ``hides(_:)`` holds for some event that begins with this byte.
    package static func mayHide(kind: UInt8) -> Bool {
        switch Kind(rawValue: kind) {
        case .created, .policyChanged, .deleted: true
        default: false
        }
    }

    /// Reads an event; `nil` for a kind that this version does not know.
    public init?(decoding bytes: RawSpan) throws(FormatError) {
        var reader = ByteReader(bytes)
        let number = try reader.readUInt8()
        guard number != 0 else { throw .invalid("an event of kind 0") }
        let time = EventTime(microseconds: try reader.readVarint())
        guard let kind = Kind(rawValue: number) else { return nil }
        self.init(time: time, try Self.decodeContent(kind, &reader))
    }

    private static func decodeContent(
        _ kind: Kind, _ reader: inout ByteReader
    ) throws(FormatError) -> Content {
        switch kind {
        case .created: .created(try RunCreation(decoding: &reader))
        case .attemptStarted: .attemptStarted(try AttemptID(decoding: &reader))
        case .attemptFailed:
            .attemptFailed(
                try AttemptID(decoding: &reader), try Failure(decoding: &reader),
                try FailureDecision(decoding: &reader))
        case .toolStarted: .toolStarted(try ToolStart(decoding: &reader))
        case .toolFinished: .toolFinished(try ToolFinish(decoding: &reader))
        case .toolReused:
            .toolReused(try AttemptID(decoding: &reader), finish: try reader.readVarint())
        case .stepCommitted:
            .stepCommitted(try AttemptID(decoding: &reader), delta: try reader.readSized("delta"))
        case .runCompleted:
            .runCompleted(try AttemptID(decoding: &reader), result: try reader.readSized("result"))
        case .snapshot:
            .snapshot(step: try reader.readVarint(), state: try reader.readSized("state"))
        case .paused: .paused(try PauseReason(decoding: &reader))
        case .resumed: .resumed(holder: try reader.readText("holder"))
        case .failed: .failed(try Failure(decoding: &reader))
        case .cancelled: .cancelled(reason: try reader.readText("reason"))
        case .retried: .retried
        case .labelled: .labelled(try Label.decodeAll(&reader))
        case .policyChanged: .policyChanged(try CheckpointPolicy(decoding: &reader))
        case .migrated:
            .migrated(stateVersion: try reader.readVarint(), state: try reader.readSized("state"))
        case .toolThrew:
            .toolThrew(start: try reader.readVarint(), try Failure(decoding: &reader))
        case .deleted: .deleted
        case .asked: .asked(try Asked(decoding: &reader))
        }
    }
}

extension ByteReader {
    /// A length and that many bytes.
    mutating func readSized(_ field: StaticString) throws(FormatError) -> [UInt8] {
        try readArray(try readLength(field, limit: FormatLimits.unitBytesMax))
    }

    /// A byte that is 0 or 1.
    mutating func readFlag() throws(FormatError) -> Bool {
        switch try readUInt8() {
        case 0: return false
        case 1: return true
        case let other: throw .invalid("a flag of \(other)")
        }
    }

    /// A length and that many bytes of UTF-8.
    mutating func readText(_ field: StaticString) throws(FormatError) -> String {
        try readString(field, limit: FormatLimits.unitBytesMax)
    }
}
