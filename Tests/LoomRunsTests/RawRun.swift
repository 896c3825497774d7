import LoomFormat
import LoomLog
import LoomModel
import LoomRunner

/// Writes the events of a run one by one, as a runner would, without a loop.
struct RawRun {
    let store: LogRunStore
    let run: RunID
    private var position: UInt64
    private let epoch: UInt64
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

    /// The run waits; its claim goes back.
    mutating func pause() async throws {
        try await write([.paused(.budget)])
        await store.release(run, epoch: epoch)
    }
}
