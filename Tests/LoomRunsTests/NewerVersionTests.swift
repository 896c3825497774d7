import LoomFormat
import LoomLog
import LoomModel
import LoomRunner
import LoomRuns
import LoomStorage
import SystemPackage
import Testing

/// Runs with values that only a later version of loomlog knows.
@Suite struct NewerVersionTests {
    private let storage = SimulatedStorage()

    /// Writes a run of two steps, whose last event is of these bytes.
    private func write(_ name: String, _ event: [UInt8], to store: LogRunStore) async throws {
        var raw = try await RawRun(name, in: store, state: Array("0".utf8))
        try await raw.commit(Array("1".utf8))
        try await raw.commit(Array("2".utf8))
        try await raw.write(raw: event)
    }

    private func makeLog(_ runs: [String: [UInt8]]) async throws -> RunReader {
        var options = LogOptions()
        options.driver = .inline
        let store = try LogRunStore(path: "/runs.loom", options: options, storage: storage)
        for (name, event) in runs.sorted(by: { $0.key < $1.key }) {
            try await write(name, event, to: store)
        }
        try store.close()
        return try RunReader(path: "/runs.loom", storage: storage)
    }

    /// It was called damaged, and its owner sent to look for a broken disk.
    @Test(
        "a pause reason or a policy of a later version is no damage",
        arguments: [[10, 1, 99], [16, 1, 99]] as [[UInt8]])
    func reads(event: [UInt8]) async throws {
        let reader = try await makeLog(["demo": event])
        let run = try RunID("demo")
        let reads: [() throws -> Void] = [
            { _ = try reader.get(run) }, { _ = try reader.state(run, at: 1) },
            { _ = try reader.stats(run) }, { _ = try reader.verify(run) },
            { _ = try reader.explain(run) }, { _ = try reader.history(run) },
            { _ = try reader.attempts(run) }, { _ = try reader.toolCalls(run) },
            {
                var tail = try reader.tail(run)
                while try tail.next() != nil {}
            },
        ]
        for read in reads {
            do {
                try read()
                Issue.record("it was read")
            } catch RunReadError.newerVersion(let named, let reason) {
                #expect(named == run && reason.contains("event 6 at 1:"), "\(reason)")
                #expect(reason.hasSuffix("99 is not known to this version of loomlog"))
            }
        }
    }

    @Test("a list tells runs of a later version from damaged ones")
    func lists() async throws {
        let reader = try await makeLog([
            "a": [10, 1, 99], "b": [10, 1], "c": [99, 1], "d": [16, 1, 99],
        ])
        let all = try reader.list()
        #expect(
            all.map(\.status) == ["newer_version", "damaged", "interrupted", "newer_version"])
        #expect(all.map { $0.readError == nil } == [false, false, true, false])
        for view in all {
            do {
                #expect(try reader.get(view.run) == view)
            } catch let error as RunReadError {
                #expect(error == view.readError)
            }
        }
        var filter = RunFilter()
        filter.status = "newer_version"
        #expect(try reader.list(filter) == [all[0], all[3]])
    }
}
