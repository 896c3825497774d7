import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import LoomTesting
import SystemPackage
import Testing

/// Requests of others to the process that has the log: what they do to runs that are driven, that
/// rest, and that are not there.
@Suite(.serialized, .timeLimit(.minutes(5))) struct RequestTests {
    private let folder: TemporaryLog
    private let run: RunID

    init() throws {
        folder = try TemporaryLog()
        run = try RunID("demo")
    }

    /// A loop whose steps go on until the run is told to end.
    private static func endless(
        _ store: LogRunStore, pause: Duration = .milliseconds(1)
    ) -> Runner<ClosureLoop<Int, Int>> {
        var options = RunnerOptions.testing
        options.clock = SystemRunClock()
        return Runner("endless", store: store, options: options) { (count: Int, _) in
            try await Task.sleep(for: pause)
            return .continue(count + 1)
        }
    }

    private func asker(_ patience: Duration? = .seconds(20)) throws -> RequestAsker {
        let path = folder.path
        var asker = RequestAsker(try LogReader(path: path)) {
            var options = LogOptions()
            options.createsIfMissing = false
            return try LogRunStore(path: path, options: options)
        }
        asker.patience = patience
        return asker
    }

    /// Runs `body` beside a run that is being driven; returns what driving came to.
    private func driving(
        _ body: (LogRunStore) async throws -> Void
    ) async throws -> RunResult<ClosureLoop<Int, Int>> {
        let store = try LogRunStore(path: folder.path)
        let runner = Self.endless(store)
        let run = run
        let task = Task { try await runner.start(run, state: 0) }
        while try RunReader(log: store.reader).list().first(where: {
            $0.summary.stepIndex > 0
        }) == nil {
            try await Task.sleep(for: .milliseconds(1))
        }
        do {
            try await body(store)
        } catch {
            task.cancel()
            _ = try? await task.value
            throw error
        }
        let result = try await task.value
        try store.close()
        return result
    }

    private func asked() throws -> [(content: RunEvent.Content, asked: Asked)] {
        let source = try LogRunSource(path: folder.path)
        var events = try source.events([RunPart(run)])
        var found: [(RunEvent.Content, Asked)] = []
        var last: RunEvent.Content?
        while let stored = try events.next() {
            let content = try #require(try stored.event()).content
            if case .asked(let asked) = content, let last { found.append((last, asked)) }
            last = content
        }
        return found
    }

    @Test("a run that is driven is cancelled, labelled and paused by others, in under a second")
    func driven() async throws {
        let clock = ContinuousClock()
        var times: [Duration] = []
        let result = try await driving { store in
            let asker = try asker()
            func ask(_ change: RunChange) async throws {
                let asked = clock.now
                let served = try await asker.ask(run, change)
                times.append(asked.duration(to: clock.now))
                #expect(served.by == store.log.holder)
            }
            try await ask(.label([Label(name: "team", value: "infra")]))
            try await ask(.setPolicy(.interval(5)))
            try await ask(.cancel(reason: "enough"))
        }
        // The fastest of them: other tests take the processors meanwhile.
        #expect(try #require(times.min()) < .seconds(1))
        #expect(result.status == .cancelled)
        let view = try RunReader(path: folder.path).get(run)
        #expect(view.summary.status == .cancelled)
        #expect(view.summary.labels[ByteString("team")] == "infra")
        #expect(view.summary.policy == .interval(5))
        let asked = try asked()
        #expect(asked.map(\.asked.verb) == ["label", "policy", "cancel"])
        #expect(asked.allSatisfy { $0.asked.answer == .done && $0.asked.by.contains("user ") })
        guard case .cancelled(reason: "enough")? = asked.last?.content else {
            Issue.record("the effect does not stand before its answer")
            return
        }
        #expect(try RunReader(path: folder.path).verify(run).isValid)
    }

    @Test("a run that is driven is paused behind its step, and goes on where it stood")
    func pauses() async throws {
        let result = try await driving { _ in
            _ = try await asker().ask(run, .pause(reason: ""))
        }
        #expect(result.status == .paused)
        guard case .requested(let why)? = result.pauseReason else {
            Issue.record("\(String(describing: result.pauseReason))")
            return
        }
        #expect(why.contains("asked for it"))
        let view = try RunReader(path: folder.path).get(run)
        #expect(view.summary.stepIndex == result.stepIndex && view.summary.openAttempt == nil)
        // A second wish for the same is done, and no event but the answer.
        _ = try await asker().ask(run, .pause(reason: "again"))
        let store = try LogRunStore(path: folder.path)
        let resumed = try await Self.endless(store).resume(run, stepsMax: 1)
        #expect(resumed.stepIndex == result.stepIndex + 1)
        try store.close()
        #expect(try asked().map(\.asked.answer) == [.done, .done])
    }

    @Test("a wait between two attempts ends when the run is asked to pause or to stop")
    func endsWaits() async throws {
        for change in [RunChange.pause(reason: "p"), .cancel(reason: "c")] {
            let store = try LogRunStore(path: folder.path)
            var options = RunnerOptions.testing
            options.clock = SystemRunClock()
            options.retry.delay = .seconds(3_600)
            options.retry.delayMax = .seconds(3_600)
            let runner = Runner("failing", store: store, options: options) {
                (count: Int, _) -> Outcome<Int, Int> in
                throw StepFailure("no", category: .transient)
            }
            let run = try RunID("waits to \(change.verb)")
            let task = Task { try await runner.start(run, state: 0) }
            let reader = RunReader(log: store.reader)
            while try reader.list().first(where: { $0.run == run })?
                .summary.failedAttemptCount != 1
            { try await Task.sleep(for: .milliseconds(1)) }
            _ = try await asker().ask(run, change)
            let result = try await task.value
            #expect(result.status == (change.verb == "pause" ? .paused : .cancelled))
            try store.close()
        }
    }

    @Test("nobody has the log: the asker does it itself")
    func alone() async throws {
        let store = try LogRunStore(path: folder.path)
        _ = try await Self.endless(store).start(run, state: 0, stepsMax: 2)
        try store.close()
        let changed = try await asker().ask(run, .label([Label(name: "a", value: "1")]))
        #expect(changed.by == nil)
        _ = try await asker().ask(run, .cancel(reason: ""))
        let again = await #expect(throws: RunnerError.self) {
            _ = try await asker().ask(run, .cancel(reason: ""))
        }
        guard case .runIsOver? = again else {
            Issue.record("\(String(describing: again))")
            return
        }
        let unknown = await #expect(throws: RunnerError.self) {
            _ = try await asker().ask(RunID("nobody"), .cancel(reason: ""))
        }
        guard case .unknownRun? = unknown else {
            Issue.record("\(String(describing: unknown))")
            return
        }
        #expect(try asked().map(\.asked.answer.isDone) == [true, true, false])
        #expect(try RunReader(path: folder.path).verify(run).isValid)
    }

    @Test("work that is registered is done with progress; other work is left to its asker")
    func work() async throws {
        var handlers = RequestHandlers()
        handlers.register("compact") { work in
            work.report(.string("half"))
            try await Task.sleep(for: .milliseconds(300))
            return .object(["freed": .integer(7), "by": .string(work.by)])
        }
        handlers.register("backup") { _ in throw StepFailure("no room") }
        let store = try LogRunStore(path: folder.path, handlers: handlers)
        var asker = try asker(.milliseconds(300))
        let progress = Heard()
        asker.onProgress = { progress.hear($0) }
        let answer = try await asker.ask("compact", .object([:]))
        guard case .object(let members) = answer else {
            Issue.record("\(answer)")
            return
        }
        #expect(members["freed"] == .integer(7))
        #expect(progress.values == [.string("half")])
        let refusal = await #expect(throws: RequestRefusal.self) {
            try await asker.ask("backup", .null)
        }
        #expect(refusal?.kind == .failed && refusal?.reason.contains("no room") == true)
        await #expect(throws: RequestError.notTaken(by: store.log.holder)) {
            try await asker.ask("unheard", .null)
        }
        #expect(try store.log.inbox.pending().requests.isEmpty)
        try store.close()
    }

    @Test("a log whose owner serves nothing: the asker takes its request back")
    func noServer() async throws {
        let store = try LogRunStore(path: folder.path)
        _ = try await Self.endless(store).start(run, state: 0, stepsMax: 1)
        try store.close()
        let writer = try LogWriter(path: folder.path)
        let error = await #expect(throws: RequestError.self) {
            _ = try await asker(.milliseconds(50)).ask(run, .cancel(reason: ""))
        }
        #expect(error == .notTaken(by: writer.holder))
        // Cancelled while it waits: as well.
        let task = Task { try await asker(nil).ask(run, .cancel(reason: "")) }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        await #expect(throws: RequestError.withdrawn) { try await task.value }
        #expect(try writer.inbox.pending().requests.isEmpty)
        try writer.close()
        #expect(try RunReader(path: folder.path).get(run).summary.status == .paused)
    }

    /// LOOMLOG_HEAVY=1 makes a thousand.
    @Test("requests of two askers at once: each once, in the order of each")
    func many() async throws {
        let requests = LongRunTests.isHeavy ? 500 : 120
        let result = try await driving { _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for asker in 0..<2 {
                    group.addTask {
                        for number in 0..<requests {
                            try self.asker().post(
                                self.run, .label([Label(name: "n\(asker)", value: "\(number)")]))
                        }
                    }
                }
                try await group.waitForAll()
            }
            _ = try await asker().ask(run, .pause(reason: "enough"))
        }
        #expect(result.status == .paused)
        let asked = try asked()
        #expect(asked.count == 2 * requests + 1 && asked.allSatisfy { $0.asked.answer == .done })
        #expect(Set(asked.map(\.asked.id)).count == 2 * requests + 1)
        for asker in 0..<2 {
            let numbers = asked.compactMap { content, _ -> Int? in
                guard case .labelled(let labels) = content, labels[0].name == "n\(asker)" else {
                    return nil
                }
                return Int(labels[0].value)
            }
            #expect(numbers == Array(0..<requests))
        }
    }
}

private final class Heard: Sendable {
    private let heard = Monitor<[JSONValue]>([])
    var values: [JSONValue] { heard.withLock { $0 } }
    func hear(_ value: JSONValue) { heard.withLock { $0.append(value) } }
}

extension Asked.Answer {
    fileprivate var isDone: Bool { self == .done }
}
