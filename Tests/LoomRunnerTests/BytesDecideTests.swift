import LoomFormat
import LoomModel
import LoomRunner
import LoomRuns
import LoomTesting
import Synchronization
import Testing

/// Names that Unicode holds for equal and that differ in bytes: a macOS file name beside a typed
/// one. Bytes decide, everywhere.
@Suite struct BytesDecideTests {
    private let composed = "caf\u{E9}"
    private let decomposed = "cafe\u{301}"

    /// The two shared one entry wherever runs stand in a table.
    @Test("two runs, two labels, two filters")
    func runsAndLabels() async throws {
        let log = try TemporaryLog()
        let store = try log.open()
        for (number, name) in [composed, decomposed].enumerated() {
            var options = RunnerOptions.testing
            options.labels = [
                Label(name: composed, value: "1"), Label(name: decomposed, value: "2"),
                Label(name: "own", value: name),
            ]
            let runner = Runner(name, store: store, options: options) {
                (state: Int, context) async throws -> Outcome<Int, Int> in
                #expect(context.labels.count == 3)
                return .complete(state)
            }
            let result = try await runner.start(RunID(name), state: number)
            #expect(result.output == number)
        }
        try store.close()
        let reader = try log.reader()
        #expect(try reader.list().count == 2)
        for name in [composed, decomposed] {
            let labels = try reader.get(RunID(name)).summary.labels
            #expect(labels[ByteString(composed)] == "1" && labels[ByteString(decomposed)] == "2")
            func names(_ change: (inout RunFilter) -> Void) throws -> [RunID] {
                var filter = RunFilter()
                change(&filter)
                return try reader.list(filter).map(\.run)
            }
            let own = [try RunID(name)]
            #expect(try names { $0.prefix = name } == own)
            #expect(try names { $0.loop = name } == own)
            #expect(try names { $0.labels = [Label(name: "own", value: name)] } == own)
        }
        // Not a grapheme, but the bytes that a keeper's name begins with.
        #expect(try RunID("loomlog.key:\u{301}").isKeeper)
        #expect(Label(name: composed, value: "") != Label(name: decomposed, value: ""))
    }

    /// The result of a `.once` call with both keys could never be recorded.
    @Test("two tool keys, two tools, and a result with both spellings as keys")
    func tools() async throws {
        let made = Mutex<[String]>([])
        let both = JSONValue.object([composed: .integer(1), decomposed: .integer(2)])
        let list = Tool<String, JSONValue>("list", safety: .once) { name, _ in
            made.withLock { $0.append(name) }
            return both
        }
        var options = RunnerOptions.testing
        try options.tools.register(Tool<Int, Int>(composed, safety: .pure) { _, _ in 1 })
        try options.tools.register(Tool<Int, Int>(decomposed, safety: .pure) { _, _ in 2 })
        #expect(
            options.tools.names.map { Array($0.utf8) } == [
                Array(decomposed.utf8), Array(composed.utf8),
            ])
        let (first, second) = (composed, decomposed)
        let runner = Runner("tools", store: MemoryRunStore(), options: options) {
            (state: Int, context) async throws -> Outcome<Int, Int> in
            if state == 0 {
                for key in [first, second] {
                    #expect(try await context.call(list, key, key: key) == both)
                }
                return .continue(1)
            }
            for key in [first, second] {
                #expect(try await context.call(list, key, key: key) == both)
            }
            let one = try await context.call(named: first, 0, as: Int.self)
            let two = try await context.call(named: second, 0, as: Int.self)
            return .complete(one * 10 + two)
        }
        let result = try await runner.start(RunID("demo"), state: 0)
        #expect(result.output == 12)
        #expect(made.withLock { $0.count } == 2)
    }
}
