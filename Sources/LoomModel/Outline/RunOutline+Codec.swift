public import LoomFormat

// The bytes of an outline: a version, then parts, each with its length before it. A part may grow
// at its end and parts may follow the known ones: readers pass over what they do not know. Anything
// else is another version, and an outline of another version is as if it were not there: it is made
// again from the events. See FORMAT.md, Summaries.

extension RunOutline {
    /// The version of the bytes.
    public static let version: UInt64 = 1
    /// The most bytes that are decoded.
    public static let byteCountMax = 64 << 20

    /// The outline's bytes: equal outlines have equal bytes.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 192)
        writer.writeVarint(Self.version)
        for part in [
            encodeIdentity, encodeProgress, encodeCounts, encodePolicies, encodeState, encodeCalls,
            encodeRemarks,
        ] {
            var bytes = ByteWriter(capacity: 64)
            part(&bytes)
            writer.writeSized(bytes.bytes)
        }
        return writer.bytes
    }

    /// Reads an outline.
    ///
    /// - Throws: `FormatError.unsupported` for another version, others for what is malformed.
    public init(decoding bytes: RawSpan) throws(FormatError) {
        var reader = ByteReader(bytes)
        let version = try reader.readVarint()
        guard version == Self.version else { throw .unsupported("summary version", found: version) }
        try read(&reader) { (reader, outline) throws(FormatError) in
            try outline.decodeIdentity(&reader)
        }
        try read(&reader) { (reader, outline) throws(FormatError) in
            try outline.decodeProgress(&reader)
        }
        try read(&reader) { (reader, outline) throws(FormatError) in
            try outline.decodeCounts(&reader)
        }
        try read(&reader) { (reader, outline) throws(FormatError) in
            try outline.decodePolicies(&reader)
        }
        try read(&reader) { (reader, outline) throws(FormatError) in
            try outline.decodeState(&reader)
        }
        try read(&reader) { (reader, outline) throws(FormatError) in
            try outline.decodeCalls(&reader)
        }
        try read(&reader) { (reader, outline) throws(FormatError) in
            try outline.decodeRemarks(&reader)
        }
        try checkCounts()
    }

    /// Refuses numbers that no events have, so that nobody who counts with them overflows.
    private func checkCounts() throws(FormatError) {
        let numbers = [
            summary.stepIndex, summary.nextPosition, summary.attemptCount, summary.retryCount,
            summary.failedAttemptCount, summary.interruptedAttemptCount, summary.toolCallCount,
            summary.nextAttempt, summary.failuresOfStep, summary.interruptionsOfStep,
            state.length, state.heldBytes, resultBytes,
        ]
        guard numbers.allSatisfy({ $0 < FormatLimits.numberEnd }) else {
            throw .invalid("a number of 2^62 or more in a summary")
        }
        // Each attempt is hidden once at most: as an ordinary one, or as the open one.
        var left = summary.attemptCount
        for count in ordinaryAttempts + [summary.openAttempt == nil ? 0 : 1] {
            guard count <= left else { throw .invalid("a summary that hides attempts twice") }
            left -= count
        }
    }

    private mutating func read(
        _ reader: inout ByteReader,
        _ body: (inout ByteReader, inout RunOutline) throws(FormatError) -> Void
    ) throws(FormatError) {
        let count = try reader.readLength("part of a summary", limit: Self.byteCountMax)
        var part = ByteReader(try reader.readBytes(count))
        try body(&part, &self)
    }
}

// Who the run is.
extension RunOutline {
    private func encodeIdentity(_ writer: inout ByteWriter) {
        writer.writeString(summary.loop)
        writer.writeVarint(summary.stateVersion)
        writer.writeString(summary.codec)
        writer.writeVarint(summary.payloads.shownBytesMax ?? 0)
        writer.writeVarint(summary.created.microseconds)
        let labels = summary.labels.sorted { $0.key < $1.key }
        Label.encode(labels.map { Label(name: $0.key.text, value: $0.value) }, to: &writer)
        if let epoch = summary.deletedEpoch { writer.writeVarint(epoch) }
    }

    private mutating func decodeIdentity(_ reader: inout ByteReader) throws(FormatError) {
        summary.loop = try reader.readText("loop name")
        summary.stateVersion = try reader.readVarint()
        summary.codec = try reader.readText("codec")
        summary.payloads = PayloadPolicy(shownBytesMax: try reader.readVarint())
        summary.created = EventTime(microseconds: try reader.readVarint())
        for label in try Label.decodeAll(&reader) {
            summary.labels[ByteString(label.name)] = label.value
        }
        if !reader.isAtEnd { summary.deletedEpoch = try reader.readVarint() }
    }
}

// How far it has come.
extension RunOutline {
    private func encodeProgress(_ writer: inout ByteWriter) {
        writer.writeUInt8(summary.status.code)
        for number in [
            summary.stepIndex, summary.epoch, summary.nextPosition, summary.updated.microseconds,
            summary.stepStart, Self.numbered(summary.end),
            Self.numbered(summary.openAttempt?.attempt), summary.nextAttempt,
            summary.failuresOfStep, summary.interruptionsOfStep,
        ] { writer.writeVarint(number) }
        writer.writeString(summary.holder)
        writer.writeUInt8(summary.pauseReason == nil ? 0 : 1)
        summary.pauseReason.map {
            var reason = ByteWriter()
            $0.encode(to: &reason)
            writer.writeSized(reason.bytes)
        }
        writer.writeUInt8(summary.failure == nil ? 0 : 1)
        summary.failure?.encode(to: &writer)
    }

    private mutating func decodeProgress(_ reader: inout ByteReader) throws(FormatError) {
        summary.status = try RunStatus(decoding: &reader)
        summary.stepIndex = try reader.readVarint()
        summary.epoch = try reader.readVarint()
        summary.nextPosition = try reader.readVarint()
        summary.updated = EventTime(microseconds: try reader.readVarint())
        summary.stepStart = try reader.readVarint()
        summary.end = try Self.optional(&reader)
        summary.openAttempt = try Self.optional(&reader).map {
            AttemptID(step: summary.stepIndex, attempt: $0)
        }
        summary.nextAttempt = try reader.readVarint()
        summary.failuresOfStep = try reader.readVarint()
        summary.interruptionsOfStep = try reader.readVarint()
        summary.holder = try reader.readText("holder")
        if try reader.readFlag() {
            // A length before it, as the last of its fields may be left out.
            let count = try reader.readLength("pause reason", limit: Self.byteCountMax)
            var reason = ByteReader(try reader.readBytes(count))
            summary.pauseReason = try PauseReason(decoding: &reason)
        }
        if try reader.readFlag() { summary.failure = try Failure(decoding: &reader) }
    }

    /// A number that may be absent: 0, or one above it.
    private static func numbered(_ number: UInt64?) -> UInt64 { number.map { $0 &+ 1 } ?? 0 }

    private static func optional(_ reader: inout ByteReader) throws(FormatError) -> UInt64? {
        let number = try reader.readVarint()
        return number == 0 ? nil : number - 1
    }
}

// How many of what it has.
extension RunOutline {
    private func encodeCounts(_ writer: inout ByteWriter) {
        for number in [
            summary.attemptCount, summary.retryCount, summary.failedAttemptCount,
            summary.interruptedAttemptCount, summary.toolCallCount,
        ] { writer.writeVarint(number) }
        writer.writeUInt8(summary.lastFailureCategory?.code ?? 0)
    }

    private mutating func decodeCounts(_ reader: inout ByteReader) throws(FormatError) {
        summary.attemptCount = try reader.readVarint()
        summary.retryCount = try reader.readVarint()
        summary.failedAttemptCount = try reader.readVarint()
        summary.interruptedAttemptCount = try reader.readVarint()
        summary.toolCallCount = try reader.readVarint()
        summary.lastFailureCategory = try FailureCategory(optionallyDecoding: &reader)
    }
}

// What its policies show, and where its states are.
extension RunOutline {
    private func encodePolicies(_ writer: inout ByteWriter) {
        writer.writeLength(policies.changes.count)
        for (change, count) in zip(policies.changes, ordinaryAttempts) {
            writer.writeVarint(change.step)
            change.policy.encode(to: &writer)
            writer.writeVarint(count)
        }
    }

    private mutating func decodePolicies(_ reader: inout ByteReader) throws(FormatError) {
        // A change takes three bytes at least.
        let count = try reader.readLength("policy count", limit: reader.remaining / 3)
        for _ in 0..<count {
            let step = try reader.readVarint()
            let policy = try CheckpointPolicy(decoding: &reader)
            policies.change(to: policy, at: step)
            ordinaryAttempts.append(try reader.readVarint())
            summary.policy = policy
        }
    }

    private func encodeState(_ writer: inout ByteWriter) {
        for number in [state.length, state.wholeState, state.heldBytes, resultBytes] {
            writer.writeVarint(number)
        }
    }

    private mutating func decodeState(_ reader: inout ByteReader) throws(FormatError) {
        state.length = try reader.readVarint()
        state.wholeState = try reader.readVarint()
        state.heldBytes = try reader.readVarint()
        resultBytes = try reader.readVarint()
    }
}

// What is remarkable about it.
extension RunOutline {
    private func encodeCalls(_ writer: inout ByteWriter) {
        Self.encodePositions(unfinishedCalls, to: &writer)
        guard !unfinishedNotes.isEmpty else { return }
        writer.writeLength(unfinishedNotes.count)
        for notes in unfinishedNotes {
            writer.writeVarint(notes.call)
            // Both come behind the start.
            writer.writeVarint(notes.thrown.map { $0 &- notes.call } ?? 0)
            writer.writeVarint(notes.cause.map { $0 &- notes.call } ?? 0)
        }
    }

    private mutating func decodeCalls(_ reader: inout ByteReader) throws(FormatError) {
        unfinishedCalls = try Self.decodePositions(&reader)
        guard !reader.isAtEnd else { return }
        let count = try reader.readLength("call notes", limit: reader.remaining / 3)
        for _ in 0..<count {
            var notes = OpenCallNotes(call: try reader.readVarint())
            func position(_ distance: UInt64) -> UInt64? {
                distance == 0 ? nil : notes.call &+ distance
            }
            let (thrown, cause) = (try reader.readVarint(), try reader.readVarint())
            (notes.thrown, notes.cause) = (position(thrown), position(cause))
            unfinishedNotes.append(notes)
        }
    }

    private func encodeRemarks(_ writer: inout ByteWriter) {
        writer.writeLength(violations.count)
        for violation in violations {
            writer.writeVarint(violation.place.position)
            writer.writeVarint(violation.place.epoch)
            writer.writeString(violation.description)
        }
        Self.encodePositions(corrections, to: &writer)
        unknownEvent.map { writer.writeVarint($0) }
    }

    private mutating func decodeRemarks(_ reader: inout ByteReader) throws(FormatError) {
        let count = try reader.readLength("violation count", limit: reader.remaining / 3)
        for _ in 0..<count {
            let place = RunFold.Place(
                position: try reader.readVarint(), epoch: try reader.readVarint())
            violations.append(
                .init(place: place, description: try reader.readText("violation")))
        }
        corrections = try Self.decodePositions(&reader)
        if !reader.isAtEnd { unknownEvent = try reader.readVarint() }
    }

    /// Rising numbers: the first as it is, of each other its distance to the one before.
    private static func encodePositions(_ positions: [UInt64], to writer: inout ByteWriter) {
        writer.writeLength(positions.count)
        var last: UInt64 = 0
        for position in positions {
            writer.writeVarint(position &- last)
            last = position
        }
    }

    private static func decodePositions(
        _ reader: inout ByteReader
    ) throws(FormatError) -> [UInt64] {
        let count = try reader.readLength("position count", limit: reader.remaining)
        var (positions, last) = ([UInt64](), UInt64(0))
        for _ in 0..<count {
            last &+= try reader.readVarint()
            positions.append(last)
        }
        return positions
    }
}

extension RunStatus: ByteCoded {
    /// The byte on disk.
    package var code: UInt8 {
        switch self {
        case .running: 1
        case .paused: 2
        case .completed: 3
        case .failed: 4
        case .cancelled: 5
        }
    }

    init(decoding reader: inout ByteReader) throws(FormatError) {
        self = try reader.readCoded("run status")
    }
}
