public import LoomFormat

/// That another process asked for something, and what it was answered. The effect stands beside it,
/// in the same unit.
public struct Asked: Hashable, Sendable {
    /// The request's identity: a request is carried out once, as it is looked for before.
    public var id: RequestID
    /// What was asked for: `cancel`, `pause`, `label`, `resolve`, `policy`, and what later versions
    /// know.
    public var verb: String
    /// Who asked, in words for people.
    public var by: String
    /// What became of it.
    public var answer: Answer

    /// Creates the record of a request.
    public init(id: RequestID, verb: String, by: String, answer: Answer) {
        self.id = id
        self.verb = verb
        self.by = by
        self.answer = answer
    }

    /// What a request was answered.
    public enum Answer: Hashable, Sendable {
        /// It was done.
        case done
        /// It was not done, and changed nothing.
        case refused(RequestRefusal)
    }
}

/// Why a request was refused.
public struct RequestRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of refusal it is.
    public var kind: Kind
    /// Why, in one line for people.
    public var reason: String
    /// What to do about it, in one line; not stored in a run.
    public var hint: String?

    /// Creates a refusal.
    public init(_ kind: Kind, _ reason: String, hint: String? = nil) {
        self.kind = kind
        self.reason = reason
        self.hint = hint
    }

    /// The kinds of refusals.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// The run is in a state in which that cannot be done.
        case wrongState = "wrong state"
        /// There is no such run, or no such call in it.
        case notFound = "not found"
        /// The request is none that can be understood or carried out.
        case wrongUse = "wrong use"
        /// Not now: somebody works on it.
        case busy
        /// It was tried and failed.
        case failed
        /// What it is about is damaged, or of a newer version.
        case damaged
    }

    /// The reason.
    public var description: String { reason }
}

extension RequestRefusal.Kind: ByteCoded {
    /// The byte on disk.
    var code: UInt8 {
        switch self {
        case .wrongState: 1
        case .notFound: 2
        case .wrongUse: 3
        case .busy: 4
        case .failed: 5
        case .damaged: 6
        }
    }
}

extension Asked {
    /// Appends the bytes of a whole event.
    func encode(to writer: inout ByteWriter, at time: EventTime) {
        writer.writeUInt8(RunEvent.Kind.asked.rawValue)
        writer.writeVarint(time.microseconds)
        writer.writeUInt64(id.low)
        writer.writeUInt64(id.high)
        writer.writeString(verb)
        writer.writeString(by)
        switch answer {
        case .done: writer.writeUInt8(1)
        case .refused(let refusal):
            writer.writeUInt8(2)
            writer.writeUInt8(refusal.kind.code)
            writer.writeString(refusal.reason)
        }
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        let low = try reader.readUInt64()
        id = RequestID(low: low, high: try reader.readUInt64())
        verb = try reader.readText("verb of a request")
        by = try reader.readText("asker of a request")
        switch try reader.readUInt8() {
        case 1: answer = .done
        case 2:
            let kind: RequestRefusal.Kind = try reader.readCoded("kind of a refusal")
            answer = .refused(RequestRefusal(kind, try reader.readText("reason of a refusal")))
        case let other: throw .unsupported("answer to a request", found: UInt64(other))
        }
    }
}
