import LoomFormat
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Testing

// The code of Sources/LoomTesting/LoomTesting.docc/testing-with-crashes.md.

struct Checkout: StepLoop {
    struct State: Codable, Sendable {
        var items: [Int]
        var receipts: [String] = []
    }
    let name = "checkout"
    let reserve: Tool<Int, Bool>
    let charge: Tool<Int, String>

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, [String]> {
        var next = state
        guard let item = next.items.popLast() else { return .complete(state.receipts) }
        guard try await context.call(reserve, item) else { return .continue(next) }
        next.receipts.append(try await context.call(charge, item))
        return .continue(next)
    }
}

@Suite struct CrashTestingSnippet {
    @Test func survivesCrashes() async throws {
        let problems = try await expectResumable(state: Checkout.State(items: [3, 2, 1])) { world in
            Checkout(
                reserve: world.tool("reserve", safety: .idempotent) { (item: Int) in item != 2 },
                charge: world.tool("charge", safety: .once) { (item: Int) in "receipt \(item)" })
        }
        #expect(problems == [])
    }

    @Test func retriesWithoutWaiting() async throws {
        let charge = ScriptedTool<Int, String>(
            "charge", safety: .idempotent,
            [.throws(StepFailure("busy", category: .transient)), .returns("receipt 1")])
        let loop = Checkout(
            reserve: Tool("reserve", safety: .pure) { _, _ in true }, charge: charge.tool)

        let runner = Runner(loop, store: MemoryRunStore(), options: .testing)
        let result = try await runner.start(RunID("order"), state: .init(items: [1]))
        #expect(result.output == ["receipt 1"])
        #expect(charge.requests == [1, 1])
    }

    @Test func readsTheLog() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        let loop = Checkout(
            reserve: Tool("reserve", safety: .pure) { _, _ in true },
            charge: Tool("charge", safety: .once) { item, _ in "receipt \(item)" })
        _ = try await Runner(loop, store: store).start(RunID("order"), state: .init(items: [1]))
        let calls = try log.reader().toolCalls(RunID("order"))
        #expect(calls.map(\.start.name) == ["reserve", "charge"])
        try store.close()
    }
}
