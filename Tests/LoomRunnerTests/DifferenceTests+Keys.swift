import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Testing

// Tool keys, tool results, tools by name.

extension DifferenceTests {
    /// A tool that says how often it was asked before.
    private func paying(_ notes: Notes, _ safety: ToolSafety = .once) -> Tool<String, String> {
        Tool("pay", safety: safety) { order, call in
            notes.add("key \(call.idempotencyKey)")
            return "\(order) paid, \(notes.add("paid"))"
        }
    }

    @Test("an explicit tool key holds in its run: another run with it makes its own call")
    func explicitKeyInTheRun() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let pay = paying(notes)
        let runner = Runner("pay", store: store, options: options) {
            (step: Int, context: StepContext) async throws -> Outcome<Int, String> in
            let receipt = try await context.call(pay, "7", key: "order-7")
            return step < 2 ? .continue(step + 1) : .complete(receipt)
        }
        // The key outlives its step: one call for three steps.
        #expect(try await runner.start(RunID("a"), state: 0).output == "7 paid, 0")
        #expect(try await runner.start(RunID("b"), state: 0).output == "7 paid, 1")
        #expect(notes.count("paid") == 2)
        // The other side must not take them for one.
        #expect(Set(notes.all.filter { $0.hasPrefix("key") }).count == 2)
        let rows = try RunReader(path: path).toolCalls(RunID("a"))
        #expect(rows.map(\.reuseCount) == [2])
        try store.close()
    }

    @Test(
        "an explicit tool key with another request is an error", arguments: [KeyScope.run, .store])
    func explicitKeyOtherRequest(scope: KeyScope) async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let pay = paying(notes)
        let runner = Runner("pay", store: store, options: options) {
            (orders: [String], context: StepContext) async throws -> Outcome<[String], String> in
            var receipt = ""
            for order in orders {
                receipt = try await context.call(pay, order, key: "order", scope: scope)
            }
            return .complete(receipt)
        }
        let failed = try await runner.start(run, state: ["7", "8"])
        #expect(failed.status == .failed)
        #expect(failed.failure?.message.contains("another request") == true)
        #expect(notes.count("paid") == 1)
        // In the store, another run is told as well.
        let other = try await runner.start(RunID("other"), state: ["9"])
        #expect(other.status == (scope == .store ? .failed : .completed))
        #expect(notes.count("paid") == (scope == .store ? 1 : 2))
        #expect(try RunReader(path: path).verify(run).isValid)
        try store.close()
    }

    @Test("an explicit tool key of the store is shared by its runs, also when the first is gone")
    func explicitKeyInTheStore() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let pay = paying(notes)
        let runner = Runner("pay", store: store, options: options) {
            (step: Int, context: StepContext) async throws -> Outcome<Int, String> in
            let receipt = try await context.call(pay, "7", key: "order-7", scope: .store)
            return step < 1 ? .continue(step + 1) : .complete(receipt)
        }
        let first = try RunID("a")
        #expect(try await runner.start(first, state: 0, stepsMax: 1).status == .paused)
        try await runner.cancel(first)
        #expect(try await runner.start(RunID("b"), state: 0).output == "7 paid, 0")
        #expect(notes.count("paid") == 1)
        try store.close()

        let reopened = try LogRunStore(path: path)
        let later = Runner(runner.loop, store: reopened, options: options)
        #expect(try await later.start(RunID("c"), state: 0).output == "7 paid, 0")
        #expect(notes.count("paid") == 1)
        let reader = try RunReader(path: path)
        for view in try reader.list() { #expect(try reader.verify(view.run).isValid) }
        try reopened.close()
    }

    @Test("a `.once` call under a key of the store, cut in one run, is not made by another")
    func explicitKeyInTheStoreUnknown() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let pay = Tool<String, String>("pay", safety: .once) { order, _ in
            if notes.add("paid") == 0 { throw StepFailure("the line broke") }
            return "\(order) paid"
        }
        let runner = Runner("pay", store: store, options: options) {
            (step: Int, context: StepContext) async throws -> Outcome<Int, String> in
            .complete(try await context.call(pay, "7", key: "order-7", scope: .store))
        }
        let (a, b) = (try RunID("a"), try RunID("b"))
        guard case .unknownOutcome? = try await runner.start(a, state: 0).pauseReason,
            case .unknownOutcome(let call, _)? = try await runner.start(b, state: 0).pauseReason
        else { return #expect(Bool(false), "the runs are not paused for their call") }
        #expect(notes.count("paid") == 1)
        // Said of one, it is known of both.
        try await runner.resolve(b, call: call, as: .completed(result: Array(#""yes""#.utf8)))
        #expect(try await runner.resume(b).output == "yes")
        #expect(try await runner.resume(a).output == "yes")
        #expect(notes.count("paid") == 1)
        for run in [a, b] { #expect(try RunReader(path: path).verify(run).isValid) }
        try store.close()
    }

    @Test(
        "two concurrent calls with one explicit tool key wait for each other",
        arguments: [KeyScope.run, .store])
    func explicitKeyConcurrent(scope: KeyScope) async throws {
        let (store, notes, isBegun, mayEnd) = (try LogRunStore(path: path), Notes(), Gate(), Gate())
        let pay = Tool<String, String>("pay", safety: .once) { order, _ in
            notes.add("paid")
            isBegun.open()
            await mayEnd.wait()
            return "\(order) paid"
        }
        let runner = Runner("pay", store: store) {
            (step: Int, context: StepContext) async throws -> Outcome<Int, [String]> in
            async let first = context.call(pay, "7", key: "order", scope: scope)
            async let second = context.call(pay, "7", key: "order", scope: scope)
            return .complete(try await [first, second])
        }
        let (a, b) = (try RunID("a"), try RunID("b"))
        let one = Task { try await runner.start(a, state: 0) }
        let two = Task { try await runner.start(b, state: 0) }
        await isBegun.wait()
        try await Task.sleep(for: .milliseconds(100))
        // One call at a time of each key: a key of the run is one in each run.
        #expect(notes.count("paid") <= (scope == .store ? 1 : 2))
        mayEnd.open()
        #expect(try await one.value.output == ["7 paid", "7 paid"])
        #expect(try await two.value.output == ["7 paid", "7 paid"])
        #expect(notes.count("paid") == (scope == .store ? 1 : 2))
        for run in [a, b] { #expect(try RunReader(path: path).verify(run).isValid) }
        try store.close()
    }

    @Test("default tool keys: concurrent calls that finish in another order are still found")
    func defaultKeysInAnyOrder() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let pay = Tool<String, String>("pay", safety: .once) { order, _ in
            notes.add("pay \(order)")
            return "\(order) paid"
        }
        let runner = Runner("pay", store: store, options: options) {
            (step: Int, context: StepContext) async throws -> Outcome<Int, [String: String]> in
            let isFirst = notes.add("step") == 0
            let orders = isFirst ? ["a", "b", "c"] : ["c", "a", "b"]
            var receipts: [String: String] = [:]
            try await withThrowingTaskGroup(of: (String, String).self) { group in
                for order in orders {
                    group.addTask { (order, try await context.call(pay, order)) }
                }
                for try await (order, receipt) in group { receipts[order] = receipt }
            }
            if isFirst { throw StepFailure("busy", category: .transient) }
            return .complete(receipts)
        }
        let done = try await runner.start(run, state: 0)
        #expect(done.output == ["a": "a paid", "b": "b paid", "c": "c paid"])
        for order in ["a", "b", "c"] { #expect(notes.count("pay \(order)") == 1) }
        let rows = try RunReader(path: path).toolCalls(run)
        #expect(rows.map(\.reuseCount) == [1, 1, 1])
        try store.close()
    }

    @Test("default tool keys: the same request again in an attempt, and in the next step, is new")
    func defaultKeysCountOccurrences() async throws {
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let pay = paying(notes)
        let runner = Runner("pay", store: store, options: options) {
            (paid: [String], context: StepContext) async throws -> Outcome<[String], [String]>
            in
            let isFirst = notes.add("step \(paid.count)") == 0
            var receipts = paid
            for _ in 0..<2 { receipts.append(try await context.call(pay, "7")) }
            if isFirst { throw StepFailure("busy", category: .transient) }
            return receipts.count < 4 ? .continue(receipts) : .complete(receipts)
        }
        // Two calls in each of two steps; each attempt that follows finds both.
        let done = try await runner.start(run, state: [])
        #expect(done.output == (0..<4).map { "7 paid, \($0)" })
        #expect(notes.count("paid") == 4)
        #expect(Set(notes.all.filter { $0.hasPrefix("key") }).count == 4)
        #expect(try RunReader(path: path).toolCalls(run).map(\.reuseCount) == [1, 1, 1, 1])
        try store.close()
    }
}

// What tools return.

extension DifferenceTests {
    @Test("a large payload is kept and given whole, whatever the lists show of it")
    func largePayload() async throws {
        var options = options
        options.payloads = PayloadPolicy(shownBytesMax: 100)
        let store = try LogRunStore(path: path)
        let notes = Notes()
        let fetch = Tool<String, String>("fetch", safety: .pure) { url, _ in
            notes.add("fetched")
            return url + String(repeating: "loom ", count: 200_000)
        }
        let request = String(repeating: "/path", count: 1000)
        let whole = request + String(repeating: "loom ", count: 200_000)
        let runner = Runner("fetch", store: store, options: options) {
            (state: String, context: StepContext) async throws -> Outcome<String, String> in
            if !state.isEmpty { return .complete(state) }
            let isFirst = notes.add("step") == 0
            let page = try await context.call(fetch, request)
            notes.add(page == whole ? "whole" : "cut: \(page.count)")
            if isFirst { throw StepFailure("busy", category: .transient) }
            return .continue(page)
        }
        // Whole when it is made, and when it is answered from the log.
        #expect(try await runner.start(run, state: "", stepsMax: 1).state == whole)
        #expect(notes.all == ["step", "fetched", "whole", "step", "whole"])
        try store.close()

        let reopened = try LogRunStore(path: path)
        let bytes = Array("\"\(whole)\"".utf8)
        #expect(try RunReader(path: path).get(run).state == bytes)
        let later = Runner(runner.loop, store: reopened, options: options)
        #expect(try await later.resume(run).output == whole)
        let events = try await events(of: run, in: reopened)
        let results = events.compactMap { event -> [UInt8]? in
            guard case .toolFinished(let finish) = event,
                case .completed(let result) = finish.outcome
            else { return nil }
            return result
        }
        #expect(results == [bytes])
        #expect(events.contains(.runCompleted(.init(step: 1, attempt: 0), result: bytes)))
        #expect(
            try RunReader(path: path).get(run).summary.payloads
                == PayloadPolicy(shownBytesMax: 100))
        try reopened.close()
    }

    /// Every field of it is one of loom-runner's envelope.
    private struct Report: Codable, Sendable, Equatable {
        var success: Bool
        var isError: Bool
        var payload: String?
        var metadata: [String: Int]
        var rest: String
        enum CodingKeys: String, CodingKey {
            case success, payload, metadata, rest
            case isError = "is_error"
        }
    }

    @Test("a result that looks like an envelope comes back whole: results are typed")
    func typedResults() async throws {
        let report = Report(
            success: false, isError: true, payload: nil, metadata: ["pages": 3], rest: "kept")
        let text = #"{"metadata":{"a":1},"other":[1,2],"success":false}"#
        let json = try JSONValue(parsing: Array(text.utf8))
        let (store, notes) = (try LogRunStore(path: path), Notes())
        let typed = Tool<Int, Report>("typed", safety: .pure) { _, _ in report }
        let untyped = Tool<Int, JSONValue>("untyped", safety: .pure) { _, _ in json }
        let runner = Runner("report", store: store, options: options) {
            (step: Int, context: StepContext) async throws -> Outcome<Int, String> in
            let isFirst = notes.add("step") == 0
            let (first, second) = (
                try await context.call(typed, 1), try await context.call(untyped, 1)
            )
            notes.add("\(first == report) \(second == json)")
            if isFirst { throw StepFailure("busy", category: .transient) }
            return .complete(first.rest)
        }
        #expect(try await runner.start(run, state: 0).output == "kept")
        #expect(notes.all == ["step", "true true", "step", "true true"])
        let rows = try RunReader(path: path).toolCalls(run)
        #expect(rows.map(\.status) == [.completed, .completed])
        #expect(rows.last?.result == Array(text.utf8))
        try store.close()
    }
}
