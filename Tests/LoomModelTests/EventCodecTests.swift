import LoomFormat
import LoomModel
import LoomTesting
import Testing

/// The bytes of events, against FORMAT.md 12.1.
@Suite struct EventCodecTests {
    /// An event with the bytes of its fields, told by hand; all have the time 300.
    typealias Sample = (content: RunEvent.Content, fields: [UInt8])

    private static let time = EventTime(microseconds: 300)
    private static let timeBytes: [UInt8] = [0xAC, 0x02]
    private static let id = AttemptID(step: 2, attempt: 200)
    private static let idBytes: [UInt8] = [2, 0xC8, 0x01]
    private static let max: [UInt8] = [UInt8](repeating: 0xFF, count: 9) + [1]

    private static func text(_ string: String) -> [UInt8] {
        [UInt8(string.utf8.count)] + Array(string.utf8)
    }

    private static let attempts: [Sample] = [
        (.attemptStarted(id), idBytes),
        (.attemptStarted(AttemptID(step: .max, attempt: .max)), max + max),
        (
            .attemptFailed(
                id, Failure(message: "E: é", category: .transient, isRetryable: true),
                .retry(delay: 300)),
            idBytes + text("E: é") + [1, 1, 1] + timeBytes
        ),
        (
            .attemptFailed(
                id, Failure(message: "", category: .unknown, isRetryable: false), .fail),
            idBytes + [0, 5, 0, 2]
        ),
        (.stepCommitted(id, delta: [9, 8]), idBytes + [2, 9, 8]),
        (.stepCommitted(id, delta: []), idBytes + [0]),
        (.runCompleted(id, result: [7]), idBytes + [1, 7]),
        (.toolReused(id, finish: 300), idBytes + timeBytes),
    ]

    private static let tools: [Sample] = [
        (
            .toolStarted(
                ToolStart(
                    attempt: id, name: "pay", safety: .once, key: .explicit("k"), request: [1, 2])),
            idBytes + text("pay") + [3, 1] + text("k") + [2, 1, 2]
        ),
        (
            .toolStarted(
                ToolStart(
                    attempt: id, name: "", safety: .pure, key: .occurrence(.max), request: [])),
            idBytes + [0, 1, 2] + max + [0]
        ),
        (
            .toolStarted(
                ToolStart(
                    attempt: id, name: "ask", safety: .idempotent, key: .occurrence(0),
                    request: [1])),
            idBytes + text("ask") + [2, 2, 0, 1, 1]
        ),
        (
            .toolStarted(
                ToolStart(
                    attempt: id, name: "pay", safety: .once, key: .shared("k"), request: [])),
            idBytes + text("pay") + [3, 3] + text("k") + [0]
        ),
        (
            .toolFinished(ToolFinish(start: 300, outcome: .completed(result: [3]))),
            timeBytes + [1, 1, 3]
        ),
        (
            .toolFinished(
                ToolFinish(
                    start: 1,
                    outcome: .failed(
                        Failure(message: "m", category: .business, isRetryable: false)))),
            [1, 2] + text("m") + [3, 0]
        ),
        (.toolFinished(ToolFinish(start: 1, outcome: .didNotHappen)), [1, 3]),
        (.toolFinished(ToolFinish(start: 1, outcome: .didNotHappen, by: .person)), [1, 3, 1]),
        (
            .toolFinished(
                ToolFinish(start: 1, outcome: .completed(result: [3]), by: .correction)),
            [1, 1, 1, 3, 2]
        ),
    ]

    private static let runs: [Sample] = [
        (
            .created(
                RunCreation(
                    loop: "loop", stateVersion: 300, codec: "json", policy: .interval(3),
                    labels: [Label(name: "a", value: ""), Label(name: "b", value: "2")],
                    state: [5, 6], payloads: PayloadPolicy(shownBytesMax: 300))),
            text("loop") + timeBytes + text("json") + [2, 3, 2] + text("a") + [0] + text("b")
                + text("2") + [2, 5, 6] + timeBytes
        ),
        (
            .created(RunCreation(loop: "", codec: "", policy: .full, state: [])),
            [0, 1, 0, 1, 0, 0, 0]
        ),
        (.snapshot(step: 300, state: [4]), timeBytes + [1, 4]),
        (.paused(.budget), [1]),
        (.paused(.requested("tea")), [2] + text("tea")),
        (.paused(.interrupted), [3]),
        (.paused(.unknownOutcome(call: 300)), [4] + timeBytes),
        (
            .paused(
                .unknownOutcome(
                    call: 300,
                    cause: Failure(message: "m", category: .validation, isRetryable: true))),
            [4] + timeBytes + text("m") + [2, 1]
        ),
        (.paused(.interruptedTooOften), [5]),
        (.paused(.restored(from: EventTime(microseconds: 300))), [6, 0xAC, 2]),
        (.resumed(holder: "host 1"), text("host 1")),
        (
            .failed(Failure(message: "m", category: .validation, isRetryable: false)),
            text("m") + [2, 0]
        ),
        (
            .failed(Failure(message: "m", category: .permission, isRetryable: true)),
            text("m") + [4, 1]
        ),
        (.cancelled(reason: "no"), text("no")),
        (.retried, []),
        (.labelled([]), [0]),
        (.labelled([Label(name: "", value: "")]), [1, 0, 0]),
        (.policyChanged(.full), [1]),
        (.policyChanged(.interval(1)), [2, 1]),
        (.policyChanged(.interval(.max)), [2] + max),
        (.policyChanged(.compact), [3]),
        (.migrated(stateVersion: 2, state: [1]), [2, 1, 1]),
        (
            .toolThrew(
                start: 300, Failure(message: "m", category: .validation, isRetryable: false)),
            timeBytes + text("m") + [2, 0]
        ),
        (.deleted, []),
        (
            .asked(Asked(id: RequestID(low: 1, high: 2), verb: "v", by: "b", answer: .done)),
            [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0] + text("v") + text("b") + [1]
        ),
        (
            .asked(
                Asked(
                    id: RequestID(low: 1, high: 2), verb: "v", by: "b",
                    answer: .refused(RequestRefusal(.busy, "r")))),
            [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0] + text("v") + text("b") + [2, 4]
                + text("r")
        ),
    ]

    private static let samples = attempts + tools + runs

    /// The numbers of FORMAT.md. A new kind stops this from compiling.
    private func number(of kind: ContentKind) -> UInt8 {
        switch kind {
        case .created: 1
        case .attemptStarted: 2
        case .attemptFailed: 3
        case .toolStarted: 4
        case .toolFinished: 5
        case .toolReused: 6
        case .stepCommitted: 7
        case .runCompleted: 8
        case .snapshot: 9
        case .paused: 10
        case .resumed: 11
        case .failed: 12
        case .cancelled: 13
        case .retried: 14
        case .labelled: 15
        case .policyChanged: 16
        case .migrated: 17
        case .toolThrew: 18
        case .deleted: 19
        case .asked: 20
        }
    }

    private func bytes(of sample: Sample) -> [UInt8] {
        [number(of: ContentKind(sample.content))] + Self.timeBytes + sample.fields
    }

    private func decode(_ bytes: [UInt8]) throws(FormatError) -> RunEvent? {
        try RunEvent(decoding: bytes.rawSpan)
    }

    @Test("every kind has the bytes that FORMAT.md says, and is read back from them")
    func roundTrips() throws {
        #expect(Set(Self.samples.map { ContentKind($0.content) }) == Set(ContentKind.allCases))
        for sample in Self.samples {
            let event = RunEvent(time: Self.time, sample.content)
            let bytes = bytes(of: sample)
            #expect(event.encoded() == bytes, "\(sample.content)")
            #expect(try decode(bytes) == event, "\(sample.content)")
            var writer = ByteWriter()
            writer.writeUInt8(0xEE)
            event.encode(to: &writer)
            #expect(writer.bytes == [0xEE] + bytes, "\(sample.content)")
        }
    }

    @Test("a time may be any number")
    func times() throws {
        for microseconds in [0, 127, 128, UInt64.max] {
            let event = RunEvent(time: EventTime(microseconds: microseconds), .retried)
            #expect(try decode(event.encoded()) == event)
        }
    }

    @Test("large fields are read back whole")
    func large() throws {
        let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let labels = (0..<300).map { Label(name: "name \($0)", value: "wert \u{1F600} \($0)") }
        for content: RunEvent.Content in [
            .snapshot(step: 1, state: bytes), .labelled(labels),
            .created(RunCreation(loop: "loop", labels: labels, state: bytes)),
        ] {
            let event = RunEvent(time: Self.time, content)
            #expect(try decode(event.encoded()) == event)
        }
    }

    /// An event without the field that came later, and the bytes of that field; `nil` when it has
    /// none.
    private func older(_ content: RunEvent.Content) -> (content: RunEvent.Content, bytes: Int)? {
        switch content {
        case .created(var creation):
            let size = creation.payloads == .whole ? 1 : Self.timeBytes.count
            creation.payloads = .whole
            return (.created(creation), size)
        case .toolFinished(var finish) where finish.author != .tool:
            finish.author = .tool
            return (.toolFinished(finish), 1)
        case .paused(.unknownOutcome(let call, let cause?)):
            return (.paused(.unknownOutcome(call: call)), cause.message.utf8.count + 3)
        default: return nil
        }
    }

    /// The bytes say where they end: so no event is a beginning of another. But for those whose
    /// last field came later: without it there is no limit, the tool itself said how its call
    /// ended, and the cause is not known.
    @Test("an event that was cut anywhere is refused")
    func truncations() throws {
        for sample in Self.samples {
            let bytes = bytes(of: sample)
            var end = bytes.count
            if let (content, size) = older(sample.content) {
                end -= size
                let old = try decode(Array(bytes.prefix(end)))
                #expect(old == RunEvent(time: Self.time, content))
            }
            for count in 0..<bytes.count where count != end {
                #expect(throws: FormatError.self, "\(sample.content) cut to \(count) bytes") {
                    try decode(Array(bytes.prefix(count)))
                }
            }
        }
    }

    @Test("bytes behind the last field are ignored")
    func trailingBytes() throws {
        for sample in Self.samples {
            let event = RunEvent(time: Self.time, sample.content)
            switch sample.content {
            // What follows is the field that came later.
            case .paused(.unknownOutcome(_, nil)): continue
            case .toolFinished(let finish) where finish.author == .tool:
                #expect(try decode(bytes(of: sample) + [0, 0xFF]) == event)
                for author in [3, 0xFF] as [UInt8] {
                    #expect(throws: FormatError.self) {
                        try decode(bytes(of: sample) + [author])
                    }
                }
                continue
            default: break
            }
            for extra in [[0], [0xFF], [UInt8](repeating: 0xFF, count: 100)] as [[UInt8]] {
                #expect(try decode(bytes(of: sample) + extra) == event, "\(sample.content)")
            }
        }
    }

    @Test("a kind above the known ones is no event and no error; kind 0 is an error")
    func unknownKinds() throws {
        let first = UInt8(21)
        for kind in first...UInt8.max {
            for fields in [[], [0xFF], [1, 2, 3]] as [[UInt8]] {
                #expect(try decode([kind] + Self.timeBytes + fields) == nil)
            }
        }
        #expect(throws: FormatError.invalid("an event of kind 0")) { try decode([0, 1]) }
        for bytes in [[], [0], [first], [first, 0x80], [14, 0x80, 0x00]] as [[UInt8]] {
            #expect(throws: FormatError.self, "\(bytes)") { try decode(bytes) }
        }
    }

    @Test("numbers that a part does not have are refused")
    func unknownParts() {
        let failure: [UInt8] = [0, 1, 0]
        let known: [(kind: ContentKind, before: [UInt8], last: UInt8, after: [UInt8])] = [
            (.policyChanged, [], 3, [1]), (.paused, [], 6, [0]),
            (.created, [0, 1, 0], 3, [0, 0]), (.failed, [0], 5, [0]),
            (.attemptFailed, [0, 0] + failure, 2, [0]), (.toolStarted, [0, 0, 0], 3, [2, 0, 0]),
            (.toolStarted, [0, 0, 0, 1], 3, [0, 0]), (.toolFinished, [1], 3, [0]),
            (.asked, [UInt8](repeating: 0, count: 18), 2, [1, 0]),
        ]
        for part in known {
            let begin = [number(of: part.kind), 1] + part.before
            #expect(throws: Never.self) { try decode(begin + [part.last] + part.after) }
            for other in [0, part.last + 1, 0xFF] {
                #expect(throws: FormatError.self, "\(part.kind): \(other)") {
                    try decode(begin + [other] + part.after + [0, 0, 0])
                }
            }
        }
        #expect(throws: FormatError.self) { try decode([16, 1, 2, 0]) }
        // FORMAT.md: retryable is 0 or 1.
        #expect(throws: FormatError.self) { try decode([12, 1, 0, 1, 2]) }
    }

    @Test("a shown limit of 0 is no limit")
    func noLimit() throws {
        #expect(PayloadPolicy(shownBytesMax: 0) == .whole)
        #expect(PayloadPolicy(shownBytesMax: 2).shows([1, 2]))
        #expect(!PayloadPolicy(shownBytesMax: 2).shows([1, 2, 3]))
        let payloads = PayloadPolicy(shownBytesMax: 0)
        let event = RunEvent(
            time: Self.time, .created(RunCreation(loop: "loop", state: [], payloads: payloads)))
        #expect(payloads.shows([1]))
        #expect(try decode(event.encoded()) == event)
    }

    @Test("lengths beyond the bytes and texts that are not UTF-8 are refused")
    func hostileLengths() {
        for kind in [9, 11, 13, 15] as [UInt8] {
            let begin: [UInt8] = kind == 9 ? [kind, 1, 1] : [kind, 1]
            #expect(throws: FormatError.self) { try decode(begin + Self.max) }
            #expect(throws: FormatError.self) { try decode(begin + [100, 1, 2, 3]) }
        }
        #expect(throws: FormatError.self) { try decode([11, 1, 2, 0xC3, 0x28]) }
        #expect(throws: FormatError.self) { try decode([15, 1, 1, 1, 0xFF, 0]) }
    }

    @Test("changed bytes are refused or are an event that is read back from its own bytes")
    func mutations() throws {
        for seed in 0..<20_000 as Range<UInt64> {
            var generator = SeededGenerator(seed)
            var changed = bytes(of: Self.samples[Int(seed) % Self.samples.count])
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                changed[Int.random(in: 0..<changed.count, using: &generator)] =
                    UInt8.random(in: 0...255, using: &generator)
            }
            guard let event = try? decode(changed) else { continue }
            let bytes = event.encoded()
            // A creation whose last field was cut off gets it back.
            let most = ContentKind(event.content) == .created ? changed.count + 1 : changed.count
            guard try decode(bytes) == event, bytes.count <= most else {
                Issue.record("seed \(seed): \(changed)")
                return
            }
        }
    }
}
