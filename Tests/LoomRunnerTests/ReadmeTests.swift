import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import SystemPackage
import Testing

// The loop of README.md, as it stands there.
struct ReadmeCounter: StepLoop {
    struct State: Codable, Sendable { var current: Int; var target: Int }
    let name = "counter"
    let charge = Tool<Int, String>("charge", safety: .once) { amount, call in
        "charged \(amount) under \(call.idempotencyKey)"  // never made twice
    }

    func step(_ state: State, _ context: StepContext) async throws -> Outcome<State, Int> {
        if state.current == state.target { return .complete(state.current) }
        _ = try await context.call(charge, state.current)
        return .continue(State(current: state.current + 1, target: state.target))
    }
}

@Suite struct ReadmeTests {
    @Test("the example of the README compiles, runs, and is the one above")
    func example() async throws {
        let path = FilePath(NSTemporaryDirectory()).appending("readme-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(atPath: path.string) }
        let store = try LogRunStore(path: path)
        let runner = Runner(ReadmeCounter(), store: store)
        var result = try await runner.start(
            RunID("demo"), state: .init(current: 0, target: 10), stepsMax: 5)
        #expect(result.status == .paused)
        result = try await runner.resume(RunID("demo"))
        #expect(result.output == 10)
        try store.close()

        let readme = ArticleTests.squeezed(
            try String(contentsOf: ArticleTests.root.appending(path: "README.md"), encoding: .utf8))
        let here = try String(contentsOfFile: #filePath, encoding: .utf8)
        let loop = here[
            try #require(here.range(of: "struct State"))
                .lowerBound..<(try #require(here.range(of: "@Suite")).lowerBound)]
        #expect(readme.contains(ArticleTests.squeezed(String(loop))))
        for line in [
            "let store = try LogRunStore(path: \"runs.loom\")",
            "let runner = Runner(Counter(), store: store)",
            "result = try await runner.resume(RunID(\"demo\"))",
        ] { #expect(readme.contains(ArticleTests.squeezed(line))) }
    }
}
