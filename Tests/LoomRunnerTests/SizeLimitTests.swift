import Foundation
import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomTesting
import Testing

/// What is too large to be recorded is refused before it is, with a word on what it is.
@Suite struct SizeLimitTests {
    let run: RunID
    var options: RunnerOptions { .testing }

    init() throws { run = try RunID("demo") }

    private struct Raw: StepLoop {
        let name = "raw"
        var stateCodec: ValueCodec<[UInt8]> {
            ValueCodec(name: "bytes", encode: { $0 }, decode: { $0 })
        }
        var outputCodec: ValueCodec<Int> { .json }

        func step(_ state: [UInt8], _ context: StepContext) async throws -> Outcome<[UInt8], Int> {
            .complete(state.count)
        }
    }

    /// It was stored, and the run could neither be driven nor begun anew.
    @Test("a first state above the limit is refused at the start, and there is no run")
    func firstState() async throws {
        let store = MemoryRunStore()
        let runner = Runner(Raw(), store: store, options: options)
        let large = [UInt8](repeating: 1, count: 127 << 20 + 1)
        await #expect(throws: RunnerError.self) { try await runner.start(run, state: large) }
        // The name is free.
        #expect(try await runner.start(run, state: [1, 2]).output == 2)
    }

    /// Runs one step that does `body`; returns how the run ended.
    private func step(
        _ body: @escaping @Sendable (StepContext) async throws -> Void
    ) async throws -> RunResult<ClosureLoop<Int, Int>> {
        let store = MemoryRunStore()
        let runner = Runner("l", store: store, options: options) {
            (_: Int, context: StepContext) async throws -> Outcome<Int, Int> in
            try await body(context)
            return .complete(1)
        }
        return try await runner.start(run, state: 0)
    }

    /// A name of 10 MB was stored, and printed in every list.
    @Test("a label's name and value, a tool's name, a key are refused when they are huge")
    func hugeTexts() async throws {
        let huge = String(repeating: "x", count: 10_000_000)
        let named = Tool<Int, Int>(huge, safety: .pure) { number, _ in number }
        let plain = Tool<Int, Int>("plain", safety: .pure) { number, _ in number }
        let bodies: [@Sendable (StepContext) async throws -> Void] = [
            { try await $0.label(huge, "v") }, { try await $0.label("n", huge) },
            { _ = try await $0.call(named, 1) }, { _ = try await $0.call(plain, 1, key: huge) },
            { _ = try await $0.call(plain, 1, key: huge, scope: .store) },
        ]
        for body in bodies {
            let result = try await step(body)
            #expect(result.status == .failed)
            #expect(result.failure?.category == .validation)
            #expect(result.failure?.message.contains("10000000 bytes, above") == true)
            #expect((result.failure?.message.utf8.count ?? 0) < 500)
        }
    }

    /// 30,000 labels of one step were all kept, and copied at every look at the run.
    @Test("a run has no more than a thousand labels")
    func manyLabels() async throws {
        let result = try await step { context in
            for index in 0..<30_000 { try await context.label("name-\(index)", "v") }
        }
        #expect(result.status == .failed && result.failure?.category == .validation)
        // Setting one again, or taking one away, needs no room.
        let again = try await step { context in
            for index in 0..<1_000 { try await context.label("name-\(index)", "v") }
            for index in 0..<1_000 { try await context.label("name-\(index)", "w") }
            try await context.label("name-0", "")
            try await context.label("another", "v")
        }
        #expect(again.status == .completed)
    }
}

extension SizeLimitTests {
    /// Everything that a runner takes from outside, and that was recorded whatever its size.
    @Test("a run that is to be changed is told what is too large, and stays as it was")
    func control() async throws {
        let store = MemoryRunStore()
        let runner = Runner("l", store: store, options: options) {
            (_: Int, _: StepContext) async throws -> Outcome<Int, Int> in .pause(1, reason: "")
        }
        _ = try await runner.start(run, state: 0)
        let control = RunControl(store: store)
        let huge = String(repeating: "x", count: 100_000)
        let before = try await count(store)
        let changes: [() async throws -> Void] = [
            { try await control.cancel(self.run, reason: huge) },
            { try await control.label(self.run, [Label(name: huge, value: "v")]) },
            { try await control.label(self.run, [Label(name: "n", value: huge)]) },
            {
                let labels = (0..<1_001).map { Label(name: "\($0)", value: "v") }
                try await control.label(self.run, labels)
            },
        ]
        for change in changes {
            await #expect(throws: RunnerError.self) { try await change() }
        }
        #expect(try await count(store) == before)
        let error = RunnerError.tooLarge("value of a label", byteCount: 9, limit: 8)
        #expect(error.description == "the value of a label has 9 bytes, above the limit of 8")
    }

    private func count(_ store: any RunStore) async throws -> Int {
        var count = 0
        try await store.read(run, from: 0) { _, _ in count += 1 }
        return count
    }

    @Test("options and names that are too large are refused before there is a run")
    func options() async throws {
        let huge = String(repeating: "x", count: 2_000)
        var (held, labelled) = (options, options)
        held.holder = huge
        labelled.labels = (0..<1_001).map { Label(name: "\($0)", value: "v") }
        let store = MemoryRunStore()
        for (name, options) in [("l", held), ("l", labelled), (huge, options)] {
            let runner = Runner(name, store: store, options: options) {
                (_: Int, _: StepContext) async throws -> Outcome<Int, Int> in .complete(1)
            }
            await #expect(throws: RunnerError.self) { try await runner.start(self.run, state: 0) }
        }
        #expect(try await count(store) == 0)
    }

    @Test("a step whose reason to pause is too large has failed")
    func pauseReason() async throws {
        let runner = Runner("l", store: MemoryRunStore(), options: options) {
            (_: Int, _: StepContext) async throws -> Outcome<Int, Int> in
            .pause(1, reason: String(repeating: "x", count: 100_000))
        }
        let result = try await runner.start(run, state: 0)
        #expect(result.status == .failed && result.state == 0)
        #expect(result.failure?.message.contains("reason of a pause has 100000 bytes") == true)
    }

    @Test("the limits in FORMAT.md are the code's")
    func document() async throws {
        let text = try String(
            contentsOf: URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../FORMAT.md"), encoding: .utf8)
        let huge = String(repeating: "x", count: 100_000)
        let names = (0..<1_001).map { Label(name: "\($0)", value: "v") }
        let cases: [(row: String, labels: [Label])] = [
            ("| name of a loop, codec, tool or label; holder |", [Label(name: huge, value: "v")]),
            ("reason, message of a failure |", [Label(name: "n", value: huge)]),
            ("| labels of a run |", names),
        ]
        let store = MemoryRunStore()
        for (row, labels) in cases {
            var options = options
            options.labels = labels
            let runner = Runner(Raw(), store: store, options: options)
            #expect(text.contains("\(row) \(try await limit(runner, [1])) |"), "\(row)")
        }
        let large = [UInt8](repeating: 1, count: 127 << 20 + 1)
        let most = try await limit(Runner(Raw(), store: store, options: options), large)
        #expect(text.contains("| state, result, request or response of a tool | \(most) |"))
    }

    /// The limit that a start is refused by.
    private func limit(_ runner: Runner<Raw>, _ state: [UInt8]) async throws -> Int {
        do {
            _ = try await runner.start(run, state: state)
        } catch RunnerError.tooLarge(_, byteCount: _, let limit) {
            return limit
        } catch RunnerError.tooManyLabels(_, let limit) {
            return limit
        }
        return 0
    }
}
