import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import SystemPackage
import Testing

/// What a page reads of the log: the bytes that reach the storage are counted, no clock.
@Suite struct PageTests {
    private let storage = SimulatedStorage()
    private let run: RunID
    private let steps = 64

    init() throws { run = try RunID("long") }

    private func open() throws -> LogRunStore {
        var options = LogOptions()
        options.driver = .inline
        // What a read of live segments costs is the question here.
        options.archivesSegments = false
        return try LogRunStore(path: "/runs.loom", options: options, storage: storage)
    }

    private func reader() throws -> RunReader {
        try RunReader(path: "/runs.loom", storage: storage)
    }

    /// 64 KiB that no compressor makes smaller.
    private static func noise(_ seed: Int) -> [UInt8] { RawRun.noise(seed, 65_536) }

    /// A run of 64 steps, each with 128 KiB of its own.
    private func write(key: (Int) -> ToolKey = { _ in .occurrence(0) }) async throws {
        let store = try open()
        var raw = try await RawRun("long", in: store, state: Array("0".utf8))
        for step in 0..<steps {
            try await raw.commit(
                Self.noise(step), key: key(step), result: Self.noise(step + 1_000_000))
        }
        try await raw.pause()
        try store.close()
    }

    /// The bytes read from segments while `body` ran.
    private func bytesRead(_ body: () throws -> Void) throws -> Int {
        let before = storage.callCount
        try body()
        return storage.calls[before...].reduce(0) { sum, call in
            let isSegment = call.path.string.contains("/seg/")
            return call.kind == .read && isSegment ? sum + (call.count ?? 0) : sum
        }
    }

    /// A page of three read the whole log: 8 MiB for what stands in its first 400 KiB.
    @Test("once the live segments were read, a page reads its own rows alone")
    func pages() async throws {
        try await write()
        let reader = try reader()
        let whole = try bytesRead { () throws -> Void in _ = try reader.stats(run) }
        #expect(whole > steps * 2 * 65_536)
        let again = try bytesRead { () throws -> Void in _ = try reader.stats(run) }
        #expect(again == 0)
        let pages: [(RunReader) throws -> Bool] = [
            { try $0.toolCalls(run, limit: 3).map(\.start.attempt.step) == [0, 1, 2] },
            { try $0.history(run, limit: 3, offset: 1).map(\.step) == [1, 2, 3] },
            { try $0.attempts(run, limit: 3).map(\.id.step) == [0, 1, 2] },
            { try $0.attempts(run, step: 2).map(\.id.step) == [2] },
        ]
        for page in pages {
            let read = try bytesRead { () throws -> Void in #expect(try page(reader)) }
            #expect(read < whole / 8)
        }
    }

    /// A page near the end of a long live run read all of its live part.
    @Test("a page of a long run in the live segments reads some thousand events")
    func livePages() async throws {
        let store = try open()
        let steps = 12_000
        let runner = Runner("count", store: store) {
            (state: Int, _) async throws -> Outcome<Int, Int> in
            state == steps ? .complete(state) : .continue(state + 1)
        }
        _ = try await runner.start(run, state: 0)
        try store.close()
        let reader = try reader()
        let whole = try bytesRead { () throws -> Void in _ = try reader.stats(run) }
        for offset in [0, 1, 1023, 1024, 1025, 5000, 11_990] {
            let read = try bytesRead { () throws -> Void in
                let page = try reader.history(run, limit: 5, offset: offset)
                #expect(page.map(\.step) == (0..<5).map { UInt64(offset + $0) })
                #expect(page.map(\.state) == (0..<5).map { Array("\(offset + $0)".utf8) })
            }
            #expect(read < whole / 3, "\(read) of \(whole) at \(offset)")
            let attempts = try reader.attempts(run, limit: 3, offset: offset)
            #expect(attempts.map(\.id.step) == (0..<3).map { UInt64(offset + $0) })
        }
        for step: UInt64 in [0, 1024, 7000, 11_999] {
            let state = try reader.state(run, at: step).state
            #expect(state == Array("\(step)".utf8))
        }
    }

    /// Everything was read, and held, before the first row was there.
    @Test("a row is there before the rest of the log is read again")
    func firstRow() async throws {
        try await write()
        let reader = try reader()
        let whole = try bytesRead { () throws -> Void in _ = try reader.stats(run) }
        var rows = try reader.historyRows(run)
        let first = try bytesRead { () throws -> Void in
            #expect(try rows.next()?.step == 0)
            #expect(try rows.next()?.step == 1)
        }
        #expect(first < whole / 4)
        var calls = try reader.toolCallRows(run)
        let call = try bytesRead { () throws -> Void in
            #expect(try calls.next()?.start.attempt.step == 0)
        }
        #expect(call < whole / 4)
    }
}
