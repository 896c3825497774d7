internal import LoomFormat
internal import LoomLog
internal import LoomModel
internal import LoomStorage
internal import Synchronization

/// Serves the requests of other processes: what was taken up or waits when the log is opened before
/// any run is claimed, later ones as they come. FORMAT.md, Requests.
///
/// It keeps no store, so that it can be kept by one.
final class RequestServer: Sendable {
    let inbox: any RequestInbox
    let desk: RequestDesk
    let handlers: RequestHandlers
    let storeID: StoreID
    /// Whether work is done beside the server, or by it.
    let isInline: Bool
    let state = Mutex(State())
    /// Held while a refusal or an answer is written: none comes from a process that let the log go.
    let gate = Mutex(true)
    private let isOpened = Atomic(false)

    struct State {
        /// Requests that are left alone: known, and not to be served by this process now.
        var passed: Set<RequestName> = []
        /// Requests that wait for a driver, or whose work is done at the moment.
        var underway: Set<RequestName> = []
        /// Requests that were there at the opening: an earlier process may have carried them out.
        /// `nil` until the first look.
        var early: Set<RequestName>?
        /// The last requests that were carried out here.
        var served: Set<RequestID> = []
        var servedOrder: [RequestID] = []
        var opening = Opening.due
        /// Whether a turn is under way, and who waits for its end: two at once would serve twice.
        var isTurning = false
        var turnWaiters: [CheckedContinuation<Void, Never>] = []
        var hasRemarked = false
        var work: Task<Void, Never>?
    }

    enum Opening {
        case due
        case running([CheckedContinuation<Void, Never>])
        case done
    }

    /// Whether the current task serves requests: it does not wait for what it does itself.
    @TaskLocal static var isServing = false

    /// Requests whose carrying out is remembered: more than an inbox takes.
    static let servedMax = 2 * InboxLimits.waitingCountMax
    private static let busyNanoseconds: UInt64 = 10_000_000
    private static let failedNanoseconds: UInt64 = 1_000_000_000

    init(
        _ inbox: any RequestInbox, _ handlers: RequestHandlers, storeID: StoreID, desk: RequestDesk,
        isInline: Bool
    ) {
        self.inbox = inbox
        self.handlers = handlers
        self.storeID = storeID
        self.desk = desk
        self.isInline = isInline
    }

    /// Whether what was there when the log was opened has been served.
    var hasOpened: Bool { isOpened.load(ordering: .acquiring) }

    /// Serves what was there when the log was opened, unless that is done.
    func serveOpening(_ access: RunAccess) async {
        guard !hasOpened, !Self.isServing else { return }
        let isMine = state.withLock { state in
            guard case .due = state.opening else { return false }
            state.opening = .running([])
            return true
        }
        guard isMine else { return await opened() }
        _ = await serve(access)
        isOpened.store(true, ordering: .releasing)
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            defer { state.opening = .done }
            guard case .running(let waiters) = state.opening else { return [] }
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private func opened() async {
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                guard case .running(let waiters) = state.opening else { return true }
                state.opening = .running(waiters + [continuation])
                return false
            }
            if isDone { continuation.resume() }
        }
    }

    /// Serves everything that is there.
    ///
    /// - Returns: Nanoseconds after which something is to be tried again; `nil`: nothing is.
    func serve(_ access: RunAccess) async -> UInt64? {
        // What serves does not wait for itself.
        if Self.isServing { return nil }
        await beginTurns()
        defer { endTurns() }
        return await Self.$isServing.withValue(true) {
            var (hasMore, retryAfter) = (true, UInt64?.none)
            while hasMore, retryAfter == nil {
                do {
                    (hasMore, retryAfter) = try await turn(access)
                } catch {
                    // The inbox cannot be read or written at the moment; what is in it stays.
                    remark("requests cannot be served: \(error)", access)
                    retryAfter = Self.failedNanoseconds
                }
            }
            return retryAfter
        }
    }

    private func beginTurns() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.isTurning { state.turnWaiters.append(continuation) }
                defer { state.isTurning = true }
                return !state.isTurning
            }
            if isFree { continuation.resume() }
        }
    }

    private func endTurns() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.turnWaiters.isEmpty {
                state.isTurning = false
                return nil
            }
            return state.turnWaiters.removeFirst()
        }
        next?.resume()
    }

    private func turn(_ access: RunAccess) async throws -> (hasMore: Bool, retryAfter: UInt64?) {
        guard gate.withLock({ $0 }) else { return (false, nil) }
        let known = state.withLock { $0.passed.union($0.underway) }
        let listing = try inbox.pending(besides: known)
        for text in listing.remarks { remark(text, access) }
        let isFirst = state.withLock { state in
            defer { state.early = state.early ?? Set(listing.requests) }
            return state.early == nil
        }
        if isFirst { inbox.removeAbandoned() }
        if isFirst, listing.hasMore { try noteEarly() }
        guard !listing.requests.isEmpty else { return (false, nil) }
        var retryAfter: UInt64?
        for batch in try batches(received(listing.requests, access)) {
            do {
                let outcome = try await serve(batch, access)
                if outcome == .busy { retryAfter = retryAfter ?? Self.busyNanoseconds }
            } catch {
                // What fails for one run must not keep the others waiting.
                remark("a request cannot be served: \(error)", access)
                retryAfter = Self.failedNanoseconds
            }
        }
        try inbox.sync()
        return (listing.hasMore, retryAfter)
    }

    /// An opening with more requests than a turn takes: all of them were there.
    private func noteEarly() throws {
        var seen = state.withLock { $0.early ?? [] }
        while true {
            let listing = try inbox.pending(besides: seen)
            if listing.requests.isEmpty { break }
            seen.formUnion(listing.requests)
        }
        state.withLock { $0.early = seen }
    }

    /// Tells people of something that is wrong with the inbox, once.
    func remark(_ text: String, _ access: RunAccess) {
        let isFirst = state.withLock { state in
            defer { state.hasRemarked = true }
            return !state.hasRemarked
        }
        if isFirst { desk.remark(text) }
    }

    /// Ends the serving: nothing is written into the inbox any more when this returns.
    func close() {
        gate.withLock { $0 = false }
        // What a driver has ended since the last turn.
        if state.withLock({ !$0.served.isEmpty }) { try? inbox.sync() }
    }
}
