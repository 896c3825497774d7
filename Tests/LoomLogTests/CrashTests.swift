import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

/// A crash at every storage call of a scripted workload: create, append in each mode, roll, mark,
/// close, reopen after a clean and an unclean exit. Of each crash several images are opened. The
/// heavy form visits every call with more images: LOOMLOG_HEAVY=1 (Tools/crash-simulation).
@Suite struct CrashTests {
    static let isHeavy = ProcessInfo.processInfo.environment["LOOMLOG_HEAVY"] != nil

    @Test(
        "after a crash at any call every promise holds",
        arguments: Durability.allCases, [512, 4096])
    func everyCall(durability: Durability, sectorBytes: Int) throws {
        let workload = CrashWorkload(durability: durability)
        let dry = SimulatedStorage(seed: 5, sectorBytes: sectorBytes)
        let whole = CrashWorkload.Record()
        workload.run(on: dry, whole)
        #expect(whole.errors == [])
        #expect(dry.calls.filter { $0.kind == .rename }.count == 1)
        var (images, points) = (0, 0)
        for (index, point) in dry.crashPoints.enumerated()
        where Self.isHeavy || (index + sectorBytes / 512 + durability.rawValue.count) % 37 == 0 {
            points += 1
            images += try crash(workload, at: point, sectorBytes, sampled: Self.isHeavy ? 8 : 1)
        }
        if Self.isHeavy {
            print(
                "crash simulation: \(durability), \(sectorBytes): \(points) calls, \(images) images"
            )
        }
        #expect(points > 6)
    }

    /// Stops the machine at one call and opens the images. Returns how many.
    private func crash(
        _ workload: CrashWorkload, at point: Int, _ sectorBytes: Int, sampled: Int
    ) throws -> Int {
        let storage = SimulatedStorage(seed: 5, sectorBytes: sectorBytes)
        storage.crash(at: point)
        let record = CrashWorkload.Record()
        workload.run(on: storage, record)
        let verdict = CrashVerdict(record: record, options: workload.options)
        var count = 0
        for image in CrashImage.several(sampled: sampled) {
            count += 2
            if let problem = verdict.violation(
                in: storage.powerLossImage(image), atLeast: record.durable)
            {
                Issue.record(
                    "call \(point) (\(storage.calls[point])), power loss \(image): \(problem)")
            }
            if let problem = verdict.violation(
                in: storage.killImage(image), atLeast: record.appended)
            {
                Issue.record("call \(point) (\(storage.calls[point])), kill \(image): \(problem)")
            }
        }
        return count
    }

    @Test("the harness catches a disk whose syncs do nothing")
    func catchesLies() throws {
        let workload = CrashWorkload(durability: .full, rounds: [10], abandons: [0])
        var caught = 0
        for point in stride(from: 60, to: 110, by: 5) {
            let storage = SimulatedStorage(seed: 8)
            storage.crash(at: point)
            let record = CrashWorkload.Record()
            workload.run(on: LyingStorage(base: storage), record, clock: storage)
            let verdict = CrashVerdict(record: record, options: workload.options)
            let image = storage.powerLossImage(.nothingPending)
            if verdict.violation(in: image, atLeast: record.durable) != nil { caught += 1 }
        }
        #expect(caught > 3)
    }

    @Test("a crash inside recovery is recovered from, again and again")
    func nested() throws {
        let workload = CrashWorkload(durability: .normal, rounds: [40, 10], abandons: [0])
        let dry = SimulatedStorage(seed: 6)
        workload.run(on: dry, CrashWorkload.Record())
        for point in dry.crashPoints where point % (Self.isHeavy ? 7 : 211) == 0 {
            let storage = SimulatedStorage(seed: 6)
            storage.crash(at: point)
            let record = CrashWorkload.Record()
            workload.run(on: storage, record)
            let first = storage.powerLossImage(.sampled(UInt64(point)))
            let probe = first.powerLossImage(.everythingPending)
            _ = try? LogWriter(path: CrashWorkload.path, options: workload.options, storage: probe)
            for inner in probe.crashPoints {
                let image = first.powerLossImage(.everythingPending)
                image.crash(at: inner)
                _ = try? LogWriter(
                    path: CrashWorkload.path, options: workload.options, storage: image)
                let verdict = CrashVerdict(record: record, options: workload.options)
                let second = image.powerLossImage(.sampled(UInt64(inner)))
                if let problem = verdict.violation(in: second, atLeast: record.durable) {
                    Issue.record("call \(point), then \(inner) of recovery: \(problem)")
                }
            }
        }
    }

    @Test("when any one call fails, nothing is lost and the log opens again")
    func everyFailure() throws {
        let workload = CrashWorkload(durability: .normal, rounds: [60, 20], abandons: [])
        let dry = SimulatedStorage(seed: 7)
        workload.run(on: dry, CrashWorkload.Record())
        for point in 0..<dry.callCount where Self.isHeavy || point % 97 == 3 {
            for errno in [Errno.ioError, .noSpace] {
                let storage = SimulatedStorage(seed: 7)
                storage.failCall(at: point, with: errno)
                let record = CrashWorkload.Record()
                workload.run(on: storage, record)
                let verdict = CrashVerdict(record: record, options: workload.options)
                let image = storage.powerLossImage(.sampled(UInt64(point)))
                if let problem = verdict.violation(in: image, atLeast: record.durable) {
                    Issue.record("\(errno) at call \(point) (\(dry.calls[point])): \(problem)")
                }
            }
        }
    }
}
