import LoomFormat
import LoomModel
import LoomRunner
import LoomTesting
import Synchronization
import Testing

// The code of Sources/LoomRunner/LoomRunner.docc/tools-and-side-effects.md.

struct Order: Codable, Sendable {
    var id: String
    var cents: Int
}

/// Another system, which keeps what it was asked by key.
final class Bank: Sendable {
    private let charges = Mutex<[String: String]>([:])

    func charge(_ cents: Int, idempotencyKey: String) async throws -> String {
        charges.withLock { charges in
            charges[idempotencyKey] = "receipt for \(cents)"
            return "receipt for \(cents)"
        }
    }

    func receipt(idempotencyKey: String) async throws -> String? {
        charges.withLock { $0[idempotencyKey] }
    }
}

@Suite struct ToolsSnippet {
    private func search(_ query: String) async throws -> [String] { ["a page about \(query)"] }
    private func put(_ text: String, _ key: String) async throws -> Bool { true }

    @Test func threeKinds() async throws {
        let bank = Bank()
        // Changes nothing: may be made again at any time.
        let find = Tool<String, [String]>("find", safety: .pure) { query, _ in
            try await search(query)
        }
        // May be made again, as the other side knows the key.
        let upload = Tool<String, Bool>("upload", safety: .idempotent) { text, call in
            try await put(text, call.idempotencyKey)
        }
        // Must not happen twice.
        let charge = Tool<Order, String>(
            "charge", safety: .once,
            reconcile: { order, call in
                let receipt = try await bank.receipt(idempotencyKey: call.idempotencyKey)
                return receipt.map { .happened($0) } ?? .didNotHappen
            }
        ) { order, call in
            try await bank.charge(order.cents, idempotencyKey: call.idempotencyKey)
        }
        let runner = Runner("order", store: MemoryRunStore()) {
            (order: Order, context) async throws -> Outcome<Order, String> in
            _ = try await context.call(find, order.id)
            _ = try await context.call(upload, order.id)
            return .complete(try await context.call(charge, order, key: "order \(order.id)"))
        }
        let result = try await runner.start(RunID("o"), state: Order(id: "7", cents: 100))
        #expect(result.output == "receipt for 100")
    }

    @Test func byName() async throws {
        let find = Tool<String, [String]>("find", safety: .pure) { query, _ in
            try await search(query)
        }
        var options = RunnerOptions()
        try options.tools.register(find)
        let runner = Runner("agent", store: MemoryRunStore(), options: options) {
            (wish: String, context) async throws -> Outcome<String, [String]> in
            let pages = try await context.call(named: "find", wish, as: [String].self)
            return .complete(pages)
        }
        #expect(try await runner.start(RunID("a"), state: "looms").output?.count == 1)
    }

    @Test func resolving() async throws {
        let store = MemoryRunStore()
        let charge = Tool<Int, String>("charge", safety: .once) { _, _ in
            throw StepFailure("the connection broke", category: .transient)
        }
        let runner = Runner("order", store: store) {
            (cents: Int, context) async throws -> Outcome<Int, String> in
            .complete(try await context.call(charge, cents))
        }
        let result = try await runner.start(RunID("o"), state: 100)
        guard case .unknownOutcome(let call, _)? = result.pauseReason else {
            Issue.record("\(result)")
            return
        }
        // Somebody has looked at the other side: it happened, and this is what it returned.
        try await RunControl(store: store).resolve(
            RunID("o"), call: call, as: .completed(result: Array(#""receipt 7""#.utf8)))
        #expect(try await runner.resume(RunID("o")).output == "receipt 7")
    }

    @Test func knownFailure() async throws {
        let decline = Tool<Int, String>("charge", safety: .once) { cents, _ in
            guard cents > 0 else {
                throw ToolDidNotHappen("there is nothing to charge", category: .validation)
            }
            return "receipt"
        }
        let runner = Runner("order", store: MemoryRunStore()) {
            (cents: Int, context) async throws -> Outcome<Int, String> in
            .complete(try await context.call(decline, cents))
        }
        #expect(try await runner.start(RunID("o"), state: 0).status == .failed)
    }
}
