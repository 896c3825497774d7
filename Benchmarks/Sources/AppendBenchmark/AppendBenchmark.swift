import ArgumentParser
import BenchmarkSupport
import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage

/// Appends a second: every mode, both surfaces, one and many appenders, beside the bare system
/// calls.
@main
struct AppendBenchmark: AsyncParsableCommand {
    @Option(help: "A folder on the file system to measure.") var folder = "bench.tmp"
    @Option(help: "Rounds after the first, which warms up.") var rounds = 5

    static let body = [UInt8](repeating: 0x37, count: 27)

    func run() async throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await unsynced()
        try await synced()
        try await primitives()
    }

    /// A fresh log, handed to `work`, read back and counted, and removed.
    private func withLog(
        _ durability: Durability, mapped: Bool = true, expecting count: Int,
        _ work: (LogWriter) async throws -> Void
    ) async throws -> Int {
        let path = FilePath(folder).appending("log.loom")
        try? FileManager.default.removeItem(atPath: path.string)
        let writer = try LogWriter(
            path: path, options: LogOptions(durability: durability),
            storage: POSIXStorage(allowsMapping: mapped))
        try await work(writer)
        guard writer.position.nextSequence == UInt64(count + 1) else { throw ExitCode(1) }
        try writer.close()
        return count
    }

    private func appendAll(_ writer: LogWriter, _ count: Int) throws {
        var unit = RecordUnit(run: try RunID("bench"), epoch: 1, position: 0)
        for number in 0..<count {
            unit.removeAll(nextPosition: UInt64(number))
            unit.append(Self.body)
            try writer.commit(unit)
        }
    }

    /// Opening, appending, closing: the seal, the syncs and the zero-filling of the space are in
    /// it.
    private func unsynced() async throws {
        var table = Comparison(
            "one-step commits of 27 bytes, not waiting for a sync", unit: "commits")
        for (mode, mapped, count) in [
            (Durability.normal, true, 4_000_000), (.off, true, 4_000_000),
            (.normal, false, 400_000), (.off, false, 400_000),
        ] {
            table.add("\(mode), \(mapped ? "mapped" : "pwrite")") {
                try await withLog(mode, mapped: mapped, expecting: count) { writer in
                    try appendAll(writer, count)
                }
            }
        }
        table.add("plain write(2) of 104 bytes, no format") {
            let file = try POSIXStorage().create(FilePath(folder).appending("plain"))
            defer { try? FileManager.default.removeItem(atPath: file.path.string) }
            let bytes = [UInt8](repeating: 1, count: 104)
            for number in 0..<400_000 { try file.writeBytes(bytes, at: number * 104) }
            try file.close()
            return 400_000
        }
        try await table.run(rounds: rounds, against: "plain write(2) of 104 bytes, no format")
    }

    private func synced() async throws {
        var table = Comparison("commits that wait for their sync (full)", unit: "commits")
        table.add("raw: pwrite of 104 bytes, fdatasync, filled space") {
            let file = try POSIXStorage().create(FilePath(folder).appending("raw"))
            defer { try? FileManager.default.removeItem(atPath: file.path.string) }
            try file.fillZeros(from: 0, to: 1 << 20)
            try file.sync()
            let bytes = [UInt8](repeating: 1, count: 104)
            for number in 0..<1500 {
                try file.writeBytes(bytes, at: number * 104)
                try file.syncData()
            }
            try file.close()
            return 1500
        }
        table.add("1 appender, blocking") {
            try await withLog(.full, expecting: 1500) { try appendAll($0, 1500) }
        }
        for tasks in [1, 8, 64] {
            table.add("\(tasks) \(tasks == 1 ? "task" : "tasks"), continuations") {
                let each = tasks == 1 ? 1500 : 1000
                return try await withLog(.full, expecting: tasks * each) { writer in
                    try await Self.commitInTasks(writer, tasks: tasks, each: each)
                }
            }
        }
        try await table.run(rounds: rounds, against: "1 task, continuations")
    }

    private static func commitInTasks(_ writer: LogWriter, tasks: Int, each: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<tasks {
                group.addTask {
                    var unit = RecordUnit(run: try RunID("bench \(task)"), epoch: 1, position: 0)
                    for number in 0..<each {
                        unit.removeAll(nextPosition: UInt64(number))
                        unit.append(body)
                        let appended = try writer.append(unit)
                        try await withCheckedThrowingContinuation {
                            (continuation: CheckedContinuation<Void, any Error>) in
                            writer.whenDurable(appended.position) { error in
                                continuation.resume(
                                    with: error.map { .failure($0) } ?? .success(()))
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// The bare parts of a commit: hashing, compressing, laying out a block.
    private func primitives() async throws {
        let small = [UInt8](repeating: 3, count: 40)
        let text = Array(String(repeating: "{\"step\":12,\"tool\":\"search\"},", count: 600).utf8)
        let large = Array(text.prefix(16 << 10))
        var target = [UInt8](repeating: 0, count: 64 << 10)
        var table = Comparison("parts", unit: "calls")
        table.add("XXH3-64 of 40 bytes") {
            var sum: UInt64 = 0
            for seed in 0..<4_000_000 {
                sum &+= BlockHash.hash(small.span.bytes, seed: UInt64(seed))
            }
            return sum == 1 ? 0 : 4_000_000
        }
        table.add("XXH3-64 of 16 KiB") {
            var sum: UInt64 = 0
            for seed in 0..<100_000 { sum &+= BlockHash.hash(large.span.bytes, seed: UInt64(seed)) }
            return sum == 1 ? 0 : 100_000
        }
        for (name, payload, count) in [("40 bytes", small, 2_000_000), ("16 KiB", large, 20_000)] {
            for compress in [false, true] where compress == false || payload.count > 256 {
                table.add("block of \(name)\(compress ? ", LZ4" : ", raw")") {
                    let fields = BlockEncoder.Fields(
                        kind: .events, firstSequence: 1, eventCount: 1, durableUpTo: 0,
                        previousHash: 0)
                    payload.withUnsafeBytes { payload in
                        target.withUnsafeMutableBytes { target in
                            for seed in 0..<count {
                                _ = BlockEncoder.encode(
                                    fields, payload: payload, seed: UInt64(seed),
                                    compress: compress, into: target)
                            }
                        }
                    }
                    return count
                }
            }
        }
        try await table.run(rounds: rounds, against: "block of 40 bytes, raw")
    }
}
