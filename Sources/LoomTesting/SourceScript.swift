internal import LoomFormat
package import LoomModel
package import LoomRunner
package import LoomRuns
internal import Synchronization

/// Writes runs into a store, as a runner would, and remembers what was written.
package final class SourceScript: Sendable {
    let store: any RunStore
    private let reopen: @Sendable (any RunStore) async throws -> any RunSource
    private let state = Mutex(State())

    private struct State {
        var folds: [RunID: OutlineFold] = [:]
        var events: [RunID: [StoredEvent]] = [:]
    }

    package init(
        _ store: any RunStore,
        _ reopen: @escaping @Sendable (any RunStore) async throws -> any RunSource
    ) {
        (self.store, self.reopen) = (store, reopen)
    }

    package func source() async throws -> any RunSource { try await reopen(store) }

    /// Writes a whole run; some of its attempts fail, and it is paused at its end.
    package func write(_ name: String, steps: Int, calls: Bool = false) async throws -> RunOutline {
        let run = try RunID(name)
        let claim = try await begin(run)
        for step in 0..<UInt64(steps) {
            var attempt = AttemptID(step: step, attempt: 0)
            try await append(run, [.attemptStarted(attempt)])
            if step % 5 == 3 {
                let failure = Failure(message: "no", category: .transient, isRetryable: true)
                try await append(run, [.attemptFailed(attempt, failure, .retry(delay: 1))])
                attempt.attempt = 1
                try await append(run, [.attemptStarted(attempt)])
            }
            if calls { try await call(run, attempt) }
            let delta = StateDelta.encode(from: Self.state(step), to: Self.state(step + 1))
            var contents: [RunEvent.Content] = [.stepCommitted(attempt, delta: delta)]
            if step % 7 == 6 {
                contents.append(.snapshot(step: step + 1, state: Self.state(step + 1)))
            }
            try await append(run, contents)
        }
        try await pause(run)
        await store.release(run, epoch: claim.epoch)
        return outline(run)
    }

    private static func state(_ step: UInt64) -> [UInt8] { Array("{\"count\":\(step)}".utf8) }

    private func call(_ run: RunID, _ attempt: AttemptID) async throws {
        // Two keys that are equal by Unicode and differ in bytes, each made again after it failed.
        let key = attempt.step % 2 == 0 ? "caf\u{e9}" : "cafe\u{301}"
        for key in [ToolKey.explicit(key), .occurrence(0)] {
            let start = ToolStart(
                attempt: attempt, name: "ask", safety: .idempotent, key: key, request: [1])
            let position = nextPosition(run)
            try await append(run, [.toolStarted(start)])
            if attempt.step % 4 == 2 { continue }
            try await append(
                run, [.toolFinished(ToolFinish(start: position, outcome: .didNotHappen))])
        }
    }

    /// Claims a run and writes its creation.
    func begin(_ run: RunID) async throws -> RunClaim {
        let holder = store.writer
        let claim = try await store.claim(run, holder: holder)
        try await append(
            run, epoch: claim.epoch,
            [
                .created(
                    RunCreation(
                        loop: "script", labels: [Label(name: "team", value: run.rawValue)],
                        state: Self.state(0))), .resumed(holder: holder),
            ])
        return claim
    }

    func pause(_ run: RunID) async throws { try await append(run, [.paused(.budget)]) }

    private func nextPosition(_ run: RunID) -> UInt64 {
        state.withLock { $0.folds[run]?.summary.nextPosition ?? 0 }
    }

    func outline(_ run: RunID) -> RunOutline {
        state.withLock { $0.folds[run]?.outline ?? RunOutline() }
    }

    private func append(
        _ run: RunID, epoch: UInt64? = nil, _ contents: [RunEvent.Content]
    ) async throws {
        let first = nextPosition(run)
        let epoch = epoch ?? outline(run).summary.epoch
        var unit = RecordUnit(run: run, epoch: epoch, position: first)
        try state.withLock { state in
            for (index, content) in contents.enumerated() {
                let place = RunFold.Place(position: first + UInt64(index), epoch: epoch)
                let event = RunEvent(time: EventTime(microseconds: place.position + 1), content)
                try state.folds[run, default: OutlineFold()].apply(event, at: place)
                let stored = StoredEvent(run: run, place: place, body: event.encoded())
                state.events[run, default: []].append(stored)
                unit.append(stored.body)
            }
        }
        let outline = outline(run)
        guard try await store.commit(unit, outline: { outline }) == .ok else {
            throw RunStoreError.unavailable("an append that is in order was refused")
        }
    }

    package func written(_ name: String) -> [StoredEvent] {
        state.withLock { state in
            state.events.first { $0.key.rawValue.hasSameBytes(as: name) }?.value ?? []
        }
    }

    func read(_ source: any RunSource, _ parts: [RunPart]) throws -> [StoredEvent] {
        var (events, found) = (try source.events(parts), [StoredEvent]())
        while let event = try events.next() { found.append(event) }
        return found
    }

    func names(_ source: any RunSource, prefix: String) throws -> [[UInt8]] {
        var filter = RunFilter()
        filter.prefix = prefix
        var (heads, names) = (try source.heads(filter), [[UInt8]]())
        while let head = try heads.next() { names.append(Array(head.run.rawValue.utf8)) }
        return names
    }

    /// What a tail tells up to the present end.
    func drain(
        _ tail: inout any RunEventTail
    ) throws -> [(sequence: UInt64, event: StoredEvent)] {
        var told: [(sequence: UInt64, event: StoredEvent)] = []
        while let unit = try tail.next() { told += unit }
        return told
    }

    /// The positions of the events by which the rows of a kind begin.
    static func starts(of kind: RowKind, in events: [StoredEvent]) throws -> [UInt64] {
        var found: [UInt64] = []
        for stored in events {
            let count =
                switch (kind, try stored.event()?.content) {
                case (.steps, .stepCommitted), (.attempts, .attemptStarted),
                    (.toolCalls, .toolStarted):
                    1
                case (.remarkableAttempts, .stepCommitted(let id, _)),
                    (.remarkableAttempts, .runCompleted(let id, _)):
                    id.attempt > 0 ? Int(id.attempt) + 1 : 0
                default: 0
                }
            for _ in 0..<count { found.append(stored.place.position) }
        }
        return found
    }
}
