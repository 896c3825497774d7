internal import LoomFormat

// The bytes of the parts of events.

extension AttemptID {
    func encode(to writer: inout ByteWriter) {
        writer.writeVarint(step)
        writer.writeVarint(attempt)
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        self.init(step: try reader.readVarint(), attempt: try reader.readVarint())
    }
}

extension RunCreation {
    func encode(to writer: inout ByteWriter) {
        writer.writeString(loop)
        writer.writeVarint(stateVersion)
        writer.writeString(codec)
        policy.encode(to: &writer)
        Label.encode(labels, to: &writer)
        writer.writeSized(state)
        writer.writeVarint(payloads.shownBytesMax ?? 0)
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        self.init(
            loop: try reader.readText("loop name"), stateVersion: try reader.readVarint(),
            codec: try reader.readText("codec"), policy: try CheckpointPolicy(decoding: &reader),
            labels: try Label.decodeAll(&reader), state: try reader.readSized("state"),
            payloads: try PayloadPolicy(decoding: &reader))
    }
}

extension Label {
    static func encode(_ labels: [Label], to writer: inout ByteWriter) {
        writer.writeLength(labels.count)
        for label in labels {
            writer.writeString(label.name)
            writer.writeString(label.value)
        }
    }

    static func decodeAll(_ reader: inout ByteReader) throws(FormatError) -> [Label] {
        // Two lengths a label: a count above half of what is left is refused before it is used.
        let count = try reader.readLength("label count", limit: reader.remaining / 2)
        var labels: [Label] = []
        for _ in 0..<count {
            labels.append(
                Label(name: try reader.readText("label"), value: try reader.readText("label")))
        }
        return labels
    }
}

extension CheckpointPolicy {
    func encode(to writer: inout ByteWriter) {
        switch self {
        case .full: writer.writeUInt8(1)
        case .interval(let every):
            writer.writeUInt8(2)
            writer.writeVarint(every)
        case .compact: writer.writeUInt8(3)
        }
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        switch try reader.readUInt8() {
        case 1: self = .full
        case 2:
            let every = try reader.readVarint()
            guard every > 0 else { throw .invalid("a checkpoint interval of 0") }
            self = .interval(every)
        case 3: self = .compact
        case let other: throw .unsupported("checkpoint policy", found: UInt64(other))
        }
    }
}

extension PayloadPolicy {
    /// The field came after the others: without it there is no limit.
    fileprivate init(decoding reader: inout ByteReader) throws(FormatError) {
        self.init(shownBytesMax: reader.isAtEnd ? nil : try reader.readVarint())
    }
}

extension PauseReason {
    func encode(to writer: inout ByteWriter) {
        switch self {
        case .budget: writer.writeUInt8(1)
        case .requested(let reason):
            writer.writeUInt8(2)
            writer.writeString(reason)
        case .interrupted: writer.writeUInt8(3)
        case .unknownOutcome(let call, let cause):
            writer.writeUInt8(4)
            writer.writeVarint(call)
            cause?.encode(to: &writer)
        case .interruptedTooOften: writer.writeUInt8(5)
        case .restored(let time):
            writer.writeUInt8(6)
            writer.writeVarint(time.microseconds)
        }
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        switch try reader.readUInt8() {
        case 1: self = .budget
        case 2: self = .requested(try reader.readText("pause reason"))
        case 3: self = .interrupted
        case 4:
            // The cause came later: an event may end before it.
            let call = try reader.readVarint()
            self = .unknownOutcome(
                call: call, cause: reader.isAtEnd ? nil : try Failure(decoding: &reader))
        case 5: self = .interruptedTooOften
        case 6: self = .restored(from: EventTime(microseconds: try reader.readVarint()))
        case let other: throw .unsupported("pause reason", found: UInt64(other))
        }
    }
}

extension FailureCategory: ByteCoded {
    /// The byte on disk.
    package var code: UInt8 {
        switch self {
        case .transient: 1
        case .validation: 2
        case .business: 3
        case .permission: 4
        case .unknown: 5
        }
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        self = try reader.readCoded("failure category")
    }

    /// Reads a category, or the byte 0 for none.
    init?(optionallyDecoding reader: inout ByteReader) throws(FormatError) {
        let code = try reader.readUInt8()
        if code == 0 { return nil }
        self = try Self.of(code, "failure category")
    }
}

extension Failure {
    func encode(to writer: inout ByteWriter) {
        writer.writeString(message)
        writer.writeUInt8(category.code)
        writer.writeUInt8(isRetryable ? 1 : 0)
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        self.init(
            message: try reader.readText("error message"),
            category: try FailureCategory(decoding: &reader),
            isRetryable: try reader.readFlag())
    }
}

extension FailureDecision {
    func encode(to writer: inout ByteWriter) {
        switch self {
        case .retry(let delay):
            writer.writeUInt8(1)
            writer.writeVarint(delay)
        case .fail: writer.writeUInt8(2)
        }
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        switch try reader.readUInt8() {
        case 1: self = .retry(delay: try reader.readVarint())
        case 2: self = .fail
        case let other: throw .unsupported("failure decision", found: UInt64(other))
        }
    }
}

extension ToolSafety: ByteCoded {
    /// The byte on disk.
    var code: UInt8 {
        switch self {
        case .pure: 1
        case .idempotent: 2
        case .once: 3
        }
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        self = try reader.readCoded("tool safety")
    }
}

extension ToolStart {
    func encode(to writer: inout ByteWriter) {
        attempt.encode(to: &writer)
        writer.writeString(name)
        writer.writeUInt8(safety.code)
        switch key {
        case .explicit(let key):
            writer.writeUInt8(1)
            writer.writeString(key)
        case .occurrence(let number):
            writer.writeUInt8(2)
            writer.writeVarint(number)
        case .shared(let key):
            writer.writeUInt8(3)
            writer.writeString(key)
        }
        writer.writeSized(request)
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        let attempt = try AttemptID(decoding: &reader)
        let name = try reader.readText("tool name")
        let safety = try ToolSafety(decoding: &reader)
        let key: ToolKey
        switch try reader.readUInt8() {
        case 1: key = .explicit(try reader.readText("tool key"))
        case 2: key = .occurrence(try reader.readVarint())
        case 3: key = .shared(try reader.readText("tool key"))
        case let other: throw .unsupported("tool key kind", found: UInt64(other))
        }
        self.init(
            attempt: attempt, name: name, safety: safety, key: key,
            request: try reader.readSized("request"))
    }
}

extension ToolFinish.Author: ByteCoded {
    /// The byte on disk.
    var code: UInt8 {
        switch self {
        case .tool: 0
        case .person: 1
        case .correction: 2
        }
    }
}

extension ToolFinish {
    func encode(to writer: inout ByteWriter) {
        writer.writeVarint(start)
        switch outcome {
        case .completed(let result):
            writer.writeUInt8(1)
            writer.writeSized(result)
        case .failed(let failure):
            writer.writeUInt8(2)
            failure.encode(to: &writer)
        case .didNotHappen: writer.writeUInt8(3)
        }
        if author != .tool { writer.writeUInt8(author.code) }
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        let start = try reader.readVarint()
        let outcome: Outcome
        switch try reader.readUInt8() {
        case 1: outcome = .completed(result: try reader.readSized("result"))
        case 2: outcome = .failed(try Failure(decoding: &reader))
        case 3: outcome = .didNotHappen
        case let other: throw .unsupported("tool outcome", found: UInt64(other))
        }
        // The author came later: an event may end before it.
        let author: Author = reader.isAtEnd ? .tool : try reader.readCoded("author of a tool's end")
        self.init(start: start, outcome: outcome, by: author)
    }
}

/// Cases that stand for bytes on disk.
protocol ByteCoded: CaseIterable {
    /// The byte on disk; 0 is none of them, but for ``ToolFinish/Author``.
    var code: UInt8 { get }
}

extension ByteCoded {
    /// The case of a byte.
    static func of(_ code: UInt8, _ field: String) throws(FormatError) -> Self {
        guard let found = allCases.first(where: { $0.code == code }) else {
            throw .unsupported(field, found: UInt64(code))
        }
        return found
    }
}

extension ByteReader {
    /// Reads a byte that stands for a case.
    mutating func readCoded<Value: ByteCoded>(_ field: String) throws(FormatError) -> Value {
        try Value.of(try readUInt8(), field)
    }
}
