import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

/// A sync fails, the log is opened again on the same boot and goes on in mode `full`, and then
/// power is lost. After a failed sync the page cache holds bytes that the disk may not have, and no
/// later sync brings them there.
@Suite struct FailedSyncTests {
    private static let path = CrashWorkload.path
    private static let syncKinds: Set<SimulatedCall.Kind> = [.sync, .syncData, .syncDirectory]

    private static func options(_ workload: CrashWorkload) -> LogOptions {
        var options = workload.options
        options.durability = .full
        return options
    }

    /// The calls that sync, and whether each was made while the log was being closed.
    private static func syncs(of workload: CrashWorkload, seed: UInt64) -> [Int] {
        let dry = SimulatedStorage(seed: seed)
        workload.run(on: dry, CrashWorkload.Record())
        return dry.calls.indices.filter { syncKinds.contains(dry.calls[$0].kind) }
    }

    /// Fails one call, goes on behind it, and opens what several power losses leave.
    private static func problem(
        failing index: Int, of workload: CrashWorkload, seed: UInt64, sampled: Int
    ) throws -> String? {
        let storage = SimulatedStorage(seed: seed)
        storage.failCall(at: index, with: .ioError)
        let record = CrashWorkload.Record()
        workload.run(on: storage, record)
        let problem = try goOn(storage, record, workload, sampled: sampled)
        return problem.map { "\(storage.calls[index]): \($0)" }
    }

    /// Commits more on the same boot, and opens what several power losses leave of that.
    private static func goOn(
        _ storage: SimulatedStorage, _ record: CrashWorkload.Record, _ workload: CrashWorkload,
        sampled: Int
    ) throws -> String? {
        let options = Self.options(workload)
        let writer = try LogWriter(path: path, options: options, storage: storage)
        let kept = Int(writer.position.nextSequence) - 1
        guard kept >= record.durable else { return "opening lost events that were durable" }
        record.attempted.removeLast(record.attempted.count - kept)
        for number in kept..<(kept + 4) {
            record.attempted.append(RecordUnit.body(number, size: 300))
            try writer.commit(.numbered(number, size: 300))
        }
        let verdict = CrashVerdict(record: record, options: workload.options)
        for image in CrashImage.several(sampled: sampled) {
            let problem = verdict.violation(
                in: storage.powerLossImage(image), atLeast: kept + 4)
            if let problem { return "\(image): \(problem)" }
        }
        return nil
    }

    /// A close block that was only in the page cache was trusted; the commits behind it were lost.
    @Test("a close whose sync failed is not trusted", arguments: 1...4)
    func failedClose(seed: UInt64) throws {
        let workload = CrashWorkload(durability: .full, rounds: [5], abandons: [])
        let last = try #require(Self.syncs(of: workload, seed: seed).last)
        let problem = try Self.problem(failing: last, of: workload, seed: seed, sampled: 6)
        #expect(problem == nil)
    }

    /// The same for every sync of a log's life: creation, commits, rolls, growth, marks, closes.
    @Test(
        "what follows any failed sync is built on what is durable", arguments: Durability.allCases)
    func everyFailedSync(durability: Durability) throws {
        let workload = CrashWorkload(durability: durability, rounds: [60, 8, 40], abandons: [1])
        var count = 0
        for (place, index) in Self.syncs(of: workload, seed: 9).enumerated()
        where CrashTests.isHeavy || (place + durability.rawValue.count) % 5 == 0 || place < 12 {
            count += 1
            let problem = try Self.problem(
                failing: index, of: workload, seed: 9, sampled: CrashTests.isHeavy ? 8 : 2)
            #expect(problem == nil)
        }
        #expect(count > 15)
    }

    /// A log created by a process that was killed before it synced the log's name lost the name,
    /// and all that others committed to it, at the next loss of power.
    @Test("what follows a kill survives a loss of power", arguments: Durability.allCases)
    func killThenPowerLoss(durability: Durability) throws {
        let workload = CrashWorkload(durability: durability, rounds: [50, 8], abandons: [])
        let dry = SimulatedStorage(seed: 12)
        workload.run(on: dry, CrashWorkload.Record())
        for (place, point) in dry.crashPoints.enumerated()
        where CrashTests.isHeavy || place < 20 || place % 47 == 5 {
            let storage = SimulatedStorage(seed: 12)
            storage.crash(at: point)
            let record = CrashWorkload.Record()
            workload.run(on: storage, record)
            let killed = storage.killImage(.everythingPending)
            let problem = try Self.goOn(killed, record, workload, sampled: 2)
            #expect(problem == nil, "call \(point) (\(storage.calls[point]))")
        }
    }
}
