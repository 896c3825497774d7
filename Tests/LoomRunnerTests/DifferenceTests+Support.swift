import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import LoomTesting
import Synchronization
import SystemPackage
import Testing

/// What happened, in order: said by the steps and tools themselves, beside the log.
final class Notes: Sendable {
    private let lines = Mutex<[String]>([])

    /// Adds a line; returns how often it was there before.
    @discardableResult
    func add(_ line: String) -> Int {
        lines.withLock { lines in
            defer { lines.append(line) }
            return lines.count { $0 == line }
        }
    }

    var all: [String] { lines.withLock { $0 } }

    func count(_ line: String) -> Int { all.count { $0 == line } }
}

/// A door that tasks wait at until it is open. Whoever waits is deaf to cancellation.
final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiters: [CheckedContinuation<Void, Never>])>(
        (false, []))

    func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }
}

/// A log on a simulated machine, which can be stopped in the middle of a step.
struct Simulation: Sendable {
    static let path: FilePath = "/runs.loom"
    var storage = SimulatedStorage()

    func open(_ durability: Durability = .normal) throws -> LogRunStore {
        var options = LogOptions(durability: durability)
        options.driver = .inline
        options.firstSegmentBytes = 64 << 10
        return try LogRunStore(path: Self.path, options: options, storage: storage)
    }

    func reader() throws -> RunReader { try RunReader(path: Self.path, storage: storage) }

    /// Stops the machine: nothing that comes later reaches the log.
    func stop() -> StepFailure {
        storage.crash()
        return StepFailure("the machine stopped")
    }

    /// The machine after the end of its processes, as after `kill -9`.
    func restarted() -> Simulation { Simulation(storage: storage.killImage(.sampled(3))) }

    /// The machine after a loss of power that takes everything it may.
    func afterPowerLoss() -> Simulation {
        Simulation(storage: storage.powerLossImage(.nothingPending))
    }
}

/// Where loomlog differs from loom-runner on purpose: DESIGN.md, section 9, row by row; and what a
/// runner promises beside it. Written from the design, not from the code.
@Suite final class DifferenceTests: Sendable {
    let path: FilePath
    let run: RunID

    init() throws {
        path = FilePath(NSTemporaryDirectory()).appending("differences-\(UUID().uuidString)")
        run = try RunID("demo")
    }

    deinit { try? FileManager.default.removeItem(atPath: path.string) }

    static let policies: [CheckpointPolicy] = [.full, .interval(3), .compact]

    /// Options whose clock passes only when somebody waits.
    var options: RunnerOptions { .testing }

    /// The events of a run, as they are in the store.
    func events(
        of run: RunID, in store: any RunStore
    ) async throws -> [RunEvent.Content] {
        var events: [RunEvent.Content] = []
        try await store.read(run, from: 0) { event, _ in
            if let event { events.append(event.content) }
        }
        return events
    }

    /// The runner's error that `body` throws.
    func refusal(_ body: () async throws -> some Any) async -> RunnerError? {
        do {
            _ = try await body()
            return nil
        } catch { return error as? RunnerError }
    }

    /// The error that `body` throws, in words.
    func message(_ body: () async throws -> some Any) async -> String {
        do {
            return "no error, but \(try await body())"
        } catch { return "\(error)" }
    }
}
