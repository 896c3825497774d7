internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomStorage
internal import Synchronization

/// A store that work for others is done in: known once it is open.
final class ServedStore: Sendable {
    private struct Reference: Sendable { weak var store: LogRunStore? }
    private let reference = Mutex(Reference())

    /// The store, while somebody has it.
    var store: LogRunStore? {
        get { reference.withLock { $0.store } }
        set { reference.withLock { $0.store = newValue } }
    }
}

extension RequestHandlers {
    /// What every store does for others, where its program has not set something else.
    func withCompaction(of served: ServedStore) -> RequestHandlers {
        var handlers = self
        handlers.registerCare(CompactionRequest.verb, served) { store, work in
            let request = try CompactionRequest(arguments: work.arguments)
            return try await store.compact(request) { work.report($0.json) }
        }
        handlers.registerCare(LogRunStore.reindexVerb, served) { store, work in
            let isAll = work.arguments == .object(["all": .bool(true)])
            return try await store.reindex(onlyDamaged: !isAll) { work.report($0.json) }
        }
        return handlers
    }

    private mutating func registerCare(
        _ verb: String, _ served: ServedStore,
        _ body: @escaping @Sendable (LogRunStore, RequestedWork) async throws -> CompactionReport
    ) {
        guard self[verb] == nil else { return }
        register(verb) { work in
            guard let store = served.store else {
                throw RequestRefusal(.busy, "the log is being closed", hint: "ask again")
            }
            do {
                return try await body(store, work).json
            } catch let error as RunnerError {
                throw RequestRefusal(error)
            } catch let error as LogError {
                let isDamage = error.code == .corrupt || error.code == .unsupportedVersion
                throw RequestRefusal(
                    isDamage ? .damaged : .failed, error.description, hint: error.hint)
            }
        }
    }
}

/// When the rules of a store are looked at.
final class RetentionTimer: Sendable {
    private struct State {
        var began: UInt64?
        var nextAt: UInt64 = 0
    }
    private let state = Mutex(State())
    private static let pauseNanoseconds: UInt64 = 60_000_000_000
    private static let share: UInt64 = 30

    /// Whether they are to be looked at now. ``end(_:)`` follows.
    func begin(_ now: UInt64) -> Bool {
        state.withLock { state in
            guard state.began == nil, state.nextAt <= now else { return false }
            state.began = now
            return true
        }
    }

    func end(_ now: UInt64) {
        state.withLock { state in
            // In a log of very many runs a look costs seconds: a small share of the time.
            let spent = now - (state.began ?? now)
            let pause = max(Self.pauseNanoseconds, min(spent, 1 << 40) * Self.share)
            state = State(nextAt: now &+ pause)
        }
    }
}

extension LogRunStore {
    /// The verb by which other processes ask for ``reindex(onlyDamaged:progress:)``.
    public static let reindexVerb = "reindex"

    /// Applies the store's rules, unless that was done in the last minute.
    func applyRetention() async {
        guard let retention, retentionTimer.begin(log.machine.monotonicNanoseconds()) else {
            return
        }
        defer { retentionTimer.end(log.machine.monotonicNanoseconds()) }
        do {
            let changes = try retention.changes(in: self, now: requestAccess.clock.now())
            guard !changes.isEmpty else { return }
            let deletes = changes.contains { $0.deletes }
            _ = try await compact(CompactionRequest(retention, removesAtOnce: deletes))
        } catch {
            requestDesk.remark("the retention rules could not be applied: \(error)")
        }
    }
}
