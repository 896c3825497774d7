import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomTesting

/// Writes the events of a run one by one, as a runner would, without a loop.
struct RawRun {
    let store: LogRunStore
    let run: RunID
    private var position: UInt64
    let epoch: UInt64
    private var time: UInt64 = 1
    private var step: UInt64 = 0
    private(set) var state: [UInt8]

    init(
        _ name: String, in store: LogRunStore, state: [UInt8], policy: CheckpointPolicy = .full
    ) async throws {
        (self.store, self.state) = (store, state)
        run = try RunID(name)
        let claim = try await store.claim(run, holder: store.writer)
        (epoch, position) = (claim.epoch, claim.position)
        try await write([
            .created(RunCreation(loop: "raw", policy: policy, state: state)),
            .resumed(holder: store.writer),
        ])
    }

    var nextPosition: UInt64 { position }

    /// Commits one unit of events; returns the position of the first.
    @discardableResult
    mutating func write(_ contents: [RunEvent.Content]) async throws -> UInt64 {
        let first = position
        var unit = RecordUnit(run: run, epoch: epoch, position: position)
        for content in contents {
            unit.append(RunEvent(time: EventTime(microseconds: time), content).encoded())
            time += 1
        }
        _ = try await store.commit(unit)
        position += UInt64(contents.count)
        return first
    }

    /// Commits one event of any bytes.
    mutating func write(raw bytes: [UInt8]) async throws {
        var unit = RecordUnit(run: run, epoch: epoch, position: position)
        unit.append(bytes)
        _ = try await store.commit(unit)
        position += 1
    }

    /// The end of a step whose attempt is open.
    mutating func endStep(_ next: [UInt8]) async throws {
        let delta = StateDelta.encode(from: state, to: next)
        try await write([.stepCommitted(AttemptID(step: step, attempt: 0), delta: delta)])
        state = next
        step += 1
    }

    /// A step that calls a tool, when a result is given, and leads to another state.
    mutating func commit(
        _ next: [UInt8], key: ToolKey = .occurrence(0), result: [UInt8]? = nil
    ) async throws {
        let attempt = AttemptID(step: step, attempt: 0)
        var events: [RunEvent.Content] = [.attemptStarted(attempt)]
        if let result {
            let start = ToolStart(
                attempt: attempt, name: "fetch", safety: .idempotent, key: key,
                request: Array("\(step)".utf8))
            events.append(.toolStarted(start))
            events.append(
                .toolFinished(
                    ToolFinish(start: position + 1, outcome: .completed(result: result))))
        }
        events.append(.stepCommitted(attempt, delta: StateDelta.encode(from: state, to: next)))
        try await write(events)
        state = next
        step += 1
    }

    /// The claim goes back.
    func release() async { await store.release(run, epoch: epoch) }

    /// The run waits; its claim goes back.
    mutating func pause() async throws {
        try await write([.paused(.budget)])
        await store.release(run, epoch: epoch)
    }

    /// Bytes that no compressor makes smaller.
    static func noise(_ seed: Int, _ count: Int) -> [UInt8] {
        var random = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        return (0..<count).map { _ in
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            return UInt8(truncatingIfNeeded: random)
        }
    }
}
