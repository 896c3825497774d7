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

/// Requests on a simulated machine that stops at every call of the asker and of the server.
@Suite(.timeLimit(.minutes(10))) struct RequestCrashTests {
    private static let path: FilePath = "/runs.loom"
    private let run: RunID

    init() throws { run = try RunID("demo") }

    private func open(_ storage: SimulatedStorage) throws -> LogRunStore {
        var options = LogOptions()
        options.driver = .inline
        options.firstSegmentBytes = 64 << 10
        return try LogRunStore(path: Self.path, options: options, storage: storage)
    }

    private func asker(_ storage: SimulatedStorage) throws -> RequestAsker {
        let reader = try LogReader(path: Self.path, storage: storage)
        return RequestAsker(reader) { try self.open(storage) }
    }

    /// A loop that counts to 6; the process serves requests in each of its steps.
    private func runner(
        _ store: LogRunStore, _ inStep: @escaping @Sendable (Int) throws -> Void = { _ in }
    ) -> Runner<ClosureLoop<Int, Int>> {
        Runner("counting", store: store, options: .testing) { (count: Int, _) in
            try inStep(count)
            await store.runTimers()
            return count == 6 ? .complete(count) : .continue(count + 1)
        }
    }

    /// A log whose run is paused at step 2, closed in good order.
    private func prepared() async throws -> SimulatedStorage {
        let storage = SimulatedStorage(seed: 11)
        let store = try open(storage)
        _ = try await runner(store).start(run, state: 0, stepsMax: 2)
        try store.close()
        return storage.killImage(.everythingPending)
    }

    /// What the log says: the answers, and how often the effect is there.
    private func facts(
        _ storage: SimulatedStorage
    ) throws -> (asked: [Asked], effects: Int, status: RunStatus) {
        let source = try LogRunSource(path: Self.path, storage: storage)
        var (asked, effects): ([Asked], Int) = ([], 0)
        var events = try source.events([RunPart(run)])
        while let stored = try events.next() {
            switch try #require(try stored.event()).content {
            case .asked(let answer): asked.append(answer)
            case .labelled, .cancelled: effects += 1
            case .paused(.requested(let why)) where why.contains("asked"): effects += 1
            default: break
            }
        }
        let reader = RunReader(source: source)
        #expect(try reader.verify(run).isValid)
        return (asked, effects, try reader.get(run).summary.status)
    }

    /// Serves what is left, as the next opening does; cut again at a call, if it is to be.
    private func recover(
        _ storage: SimulatedStorage, cutAfter calls: Int?
    ) async throws -> SimulatedStorage {
        var storage = storage
        if let calls {
            storage.crash(at: storage.callCount + calls)
            if let store = try? open(storage) {
                await store.serveRequests()
                try? store.close()
            }
            storage = storage.powerLossImage(.sampled(UInt64(calls)))
        }
        let store = try open(storage)
        await store.serveRequests()
        #expect(try store.log.inbox.pending().requests.isEmpty)
        try store.close()
        return storage
    }

    @Test(
        "an asker that does it itself, cut at every call: once or not at all, and it knows",
        arguments: [
            RunChange.label([Label(name: "a", value: "1")]), .cancel(reason: "r"),
        ])
    func asksAlone(change: RunChange) async throws {
        let base = try await prepared()
        let dry = base.killImage(.everythingPending)
        _ = try await asker(dry).ask(run, change)
        let points = dry.crashPoints
        try #require(points.count > 15)
        var counts: [Int: Int] = [:]
        for (number, point) in points.enumerated()
        where LongRunTests.isHeavy || number % 2 == 0 {
            for image in CrashImage.several(sampled: 3) {
                let storage = base.killImage(.everythingPending)
                storage.crash(at: point)
                let told = (try? await asker(storage).ask(run, change)) != nil
                #expect(storage.isCrashed)
                for losesPower in [false, true] {
                    let left =
                        losesPower ? storage.powerLossImage(image) : storage.killImage(image)
                    if told { #expect(try facts(left).asked.count == 1, "call \(point)") }
                    let cut = number % 4 == 0 ? 3 + (number * 7 + (losesPower ? 5 : 0)) % 60 : nil
                    var restarted = try await recover(left, cutAfter: cut)
                    let once = try facts(restarted)
                    #expect(once.asked.count <= 1 && once.effects == once.asked.count)
                    counts[once.asked.count, default: 0] += 1
                    // Served again, and by a clock that went back: nothing comes of it.
                    restarted.setWallClock(microseconds: 1)
                    restarted = try await recover(restarted, cutAfter: nil)
                    let twice = try facts(restarted)
                    #expect(twice.asked == once.asked && twice.effects == once.effects)
                }
            }
        }
        #expect(counts[0, default: 0] > 0 && counts[1, default: 0] > 0, "\(counts)")
    }

    /// Another process asks while step 2 runs; the one that drives is cut at every call since.
    @Test(
        "a program that drives the run, cut at every call: once, whatever is killed",
        arguments: [
            RunChange.label([Label(name: "a", value: "1")]), .cancel(reason: "r"),
            .pause(reason: "asked"),
        ])
    func asksADriver(change: RunChange) async throws {
        let base = try await prepared()
        func drive(_ storage: SimulatedStorage) async throws -> (posted: Bool, RunStatus?) {
            let posted = Mutex(false)
            let asker = try asker(storage)
            let store = try open(storage)
            let run = run
            let runner = runner(store) { count in
                guard count == 3, !posted.withLock({ $0 }) else { return }
                try asker.post(run, change)
                posted.withLock { $0 = true }
            }
            let status = try? await runner.resume(run).status
            try? store.close()
            return (posted.withLock { $0 }, status)
        }
        let dry = base.killImage(.everythingPending)
        let whole = try await drive(dry)
        let statuses: [String: RunStatus] = [
            "label": .completed, "cancel": .cancelled, "pause": .paused,
        ]
        #expect(whole.posted && whole.1 == statuses[change.verb])
        #expect(try facts(dry).effects == 1)
        for (number, point) in dry.crashPoints.enumerated()
        where LongRunTests.isHeavy || number % 3 == 0 {
            let image = CrashImage.sampled(UInt64(number))
            let storage = base.killImage(.everythingPending)
            storage.crash(at: point)
            let posted = (try? await drive(storage).posted) ?? false
            for left in [storage.killImage(image), storage.powerLossImage(image)] {
                let cut = number % 5 == 0 ? 3 + number % 50 : nil
                let restarted = try await recover(left, cutAfter: cut)
                let once = try facts(restarted)
                // A request that was durable is carried out; one that was not is there or not.
                #expect(once.asked.count <= 1 && (!posted || once.asked.count == 1), "\(point)")
                let isDone = once.asked.first?.answer == .done
                if change.verb != "pause" { #expect(once.effects == (isDone ? 1 : 0), "\(point)") }
                if once.status.isResumable {
                    let store = try open(restarted)
                    let result = try await runner(store).resume(run)
                    #expect(result.status == .completed && result.output == 6)
                    try store.close()
                    #expect(try facts(restarted).asked == once.asked)
                }
            }
        }
    }

    @Test("a server that dies between taking a request up and its append: the next one does it")
    func takenOnly() async throws {
        let storage = try await prepared()
        try asker(storage).post(run, .label([Label(name: "a", value: "1")]))
        let inbox = try LogReader(path: Self.path, storage: storage).inbox
        let name = try #require(try inbox.pending().requests.first)
        #expect(try inbox.take(name))
        #expect(try !inbox.withdraw(name))
        let restarted = try await recover(storage.killImage(.everythingPending), cutAfter: nil)
        #expect(try facts(restarted).effects == 1)
    }

    @Test("requests that were there are served before the run is claimed")
    func beforeTheFirstClaim() async throws {
        let storage = try await prepared()
        try asker(storage).post(run, .cancel(reason: "r"))
        let store = try open(storage)
        let error = await #expect(throws: RunnerError.self) {
            try await runner(store).resume(run)
        }
        guard case .runIsOver(_, .cancelled)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        try store.close()
    }

    @Test("what is no request, or not for this log, is refused with the reason, and stops nothing")
    func hostile() async throws {
        let storage = try await prepared()
        let inbox = try LogReader(path: Self.path, storage: storage).inbox
        let good = RequestID(low: 1, high: 1)
        let store = try LogReader(path: Self.path, storage: storage).storeID.description
        func body(_ id: RequestID, _ verb: String, _ more: String) -> [UInt8] {
            Array(
                (#"{"arguments":{"reason":"r"},"by":"b","id":""# + id.description
                    + #"","verb":"\#(verb)",\#(more)}"#).utf8)
        }
        let deep = String(repeating: "[", count: 20_000)
        let bodies: [[UInt8]] = [
            [], Array("{".utf8), [0xFF, 0xFE], Array(deep.utf8), Array("null".utf8),
            body(RequestID(low: 9, high: 9), "cancel", #""store":"\#(store)""#),
            body(RequestID(low: 7, high: 1), "cancel", #""store":"00""#),
            body(RequestID(low: 8, high: 1), "cancel", #""store":"\#(store)""#),
            body(
                RequestID(low: 9, high: 1), "cancel",
                #""epoch":1,"position":0,"run":"","store":"\#(store)""#),
            body(
                RequestID(low: 10, high: 1), "cancel",
                #""epoch":1,"position":0,"run":"nobody","store":"\#(store)""#),
            body(
                RequestID(low: 11, high: 1), "cancel",
                #""epoch":77,"position":0,"run":"demo","store":"\#(store)""#),
            body(
                RequestID(low: 12, high: 1), "label",
                #""epoch":1,"position":0,"run":"demo","store":"\#(store)""#),
            body(
                RequestID(low: 13, high: 1), "cancel",
                #""epoch":1,"position":0,"run":"loomlog.key:00","store":"\#(store)""#),
        ]
        var names: [RequestName] = []
        for (number, body) in bodies.enumerated() {
            names.append(
                try inbox.submit(body, id: RequestID(low: UInt64(number + 2), high: 1)))
        }
        let last = try inbox.submit(
            body(good, "cancel", #""epoch":1,"position":99,"run":"demo","store":"\#(store)""#),
            id: good)
        let server = try open(storage)
        await server.serveRequests()
        for (number, name) in names.enumerated() {
            guard case .refused(let reason) = try inbox.stage(of: name) else {
                Issue.record("\(number): \(try inbox.stage(of: name))")
                continue
            }
            let text = String(decoding: reason, as: UTF8.self)
            #expect(text.contains("\"kind\"") && text.contains("\"reason\""), "\(text)")
        }
        #expect(try inbox.stage(of: last) == .gone)
        #expect(try facts(storage).status == .cancelled)
        try server.close()
    }
}
