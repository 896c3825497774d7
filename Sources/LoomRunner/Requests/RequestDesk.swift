internal import Logging
public import LoomFormat
public import LoomModel
internal import Synchronization

/// Where requests of other processes meet the runs that this process drives.
///
/// A store that takes requests has one. Runners tell it what they drive.
public final class RequestDesk: Sendable {
    /// Told of each request about a run once its answer is in the log.
    public typealias Listener = @Sendable (RunID, Asked) -> Void

    private struct State {
        var driven: [RunID: RunJournal] = [:]
        var listeners: [Listener] = []
        /// Called when a run is let go of that requests have waited for.
        var onLeave: (@Sendable () -> Void)?
    }
    private let state = Mutex(State())

    /// Creates the desk of a store.
    public init() {}

    /// Has a listener told of every request that is answered from now on, while the process that
    /// asked may still be waiting. It must be short.
    public func listen(_ listener: @escaping Listener) {
        state.withLock { $0.listeners.append(listener) }
    }

    func onLeave(_ body: (@Sendable () -> Void)?) { state.withLock { $0.onLeave = body } }

    func enter(_ journal: RunJournal) { state.withLock { $0.driven[journal.run] = journal } }

    func leave(_ journal: RunJournal) {
        let onLeave = state.withLock { state in
            if state.driven[journal.run] === journal { state.driven[journal.run] = nil }
            return state.onLeave
        }
        if journal.leave() { onLeave?() }
    }

    func journal(of run: RunID) -> RunJournal? { state.withLock { $0.driven[run] } }

    /// Whether this process drives a run.
    public func drives(_ run: RunID) -> Bool { journal(of: run) != nil }

    /// Tells of an inbox that holds what is no request.
    func remark(_ text: String) { Logger(label: "loomlog").warning("\(text)") }

    func tell(_ run: RunID, _ asked: Asked) {
        for listener in state.withLock({ $0.listeners }) { listener(run, asked) }
    }
}
