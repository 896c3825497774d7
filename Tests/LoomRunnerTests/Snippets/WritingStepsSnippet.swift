import LoomFormat
import LoomModel
import LoomRunner
import LoomTesting
import Testing

// The code of Sources/LoomRunner/LoomRunner.docc/writing-steps.md.

struct Crawl: StepLoop {
    struct State: Codable, Sendable {
        var queue: [String]
        var seen: Set<String> = []
        var titles: [String] = []
    }
    let name = "crawl"
    let fetch: Tool<String, Page>

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, [String]> {
        var next = state
        guard let url = next.queue.popLast() else { return .complete(state.titles.sorted()) }
        guard next.seen.insert(url).inserted else { return .continue(next) }
        let page = try await context.call(fetch, url)
        next.titles.append(page.title)
        next.queue += page.links
        return .continue(next)
    }
}

struct Page: Codable, Sendable {
    var title: String
    var links: [String]
}

@Suite struct WritingStepsSnippet {
    private let pages = [
        "a": Page(title: "A", links: ["b"]), "b": Page(title: "B", links: ["a"]),
    ]
    private var fetch: Tool<String, Page> {
        let pages = pages
        return Tool("fetch", safety: .pure) { url, _ in pages[url] ?? Page(title: "", links: []) }
    }

    @Test func startAndResume() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let runner = Runner(Crawl(fetch: fetch), store: store)
        var result = try await runner.start(
            RunID("crawl-1"), state: .init(queue: ["a"]), stepsMax: 2)
        print(result.status, result.stepIndex)  // paused 2
        result = try await runner.resume(RunID("crawl-1"))
        print(result.output ?? [])  // ["A", "B"]
        #expect(result.output == ["A", "B"])
        try store.close()
    }

    @Test func closure() async throws {
        let store = MemoryRunStore()
        let countdown = Runner("countdown", store: store) {
            (left: Int, context) async throws -> Outcome<Int, String> in
            left == 0 ? .complete("liftoff") : .continue(left - 1)
        }
        let result = try await countdown.start(RunID("c"), state: 10)
        #expect(result.output == "liftoff")
    }

    @Test func attachAndPause() async throws {
        let store = MemoryRunStore()
        let approval = Runner("approval", store: store) {
            (isAsked: Bool, context) async throws -> Outcome<Bool, String> in
            guard let approver = context.labels["approver"] else {
                return .pause(true, reason: "waits for an approval")
            }
            return .complete("approved by \(approver)")
        }
        let run = try RunID("approval-7")
        _ = try await approval.start(run, state: false, ifExists: .attach)
        try await RunControl(store: store).label(run, [Label(name: "approver", value: "ada")])
        let result = try await approval.start(run, state: false, ifExists: .attach)
        #expect(result.output == "approved by ada")
        // Without a word it waits on, however often it is resumed.
        let silent = try RunID("approval-8")
        _ = try await approval.start(silent, state: false)
        #expect(try await approval.resume(silent).status == .paused)
    }

    @Test func failures() async throws {
        var options = RunnerOptions()
        options.retry = RetryPolicy(
            attemptsMax: 5, categories: [.transient], delay: .milliseconds(200),
            delayMax: .seconds(30))
        options.attemptTimeout = .seconds(60)
        // On this clock every time is over at once, a timeout too.
        options.clock = VirtualRunClock()
        options.attemptTimeout = nil
        let runner = Runner("busy", store: MemoryRunStore(), options: options) {
            (state: Int, context) async throws -> Outcome<Int, Int> in
            if context.attempt.attempt < 2 {
                throw StepFailure(
                    "the service is busy", category: .transient, retryAfter: .seconds(2))
            }
            return .complete(Int(context.attempt.attempt))
        }
        #expect(try await runner.start(RunID("busy"), state: 0).output == 2)
    }
}
