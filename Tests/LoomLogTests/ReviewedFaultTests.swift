import Foundation
import LoomFormat
import LoomLog
import Synchronization
import SystemPackage
import Testing

@testable import LoomStorage

/// Faults that a review of the writer proved: each test failed before its mend.
@Suite struct ReviewedFaultTests {
    private func options(_ durability: Durability = .normal, first: Int, max: Int) -> LogOptions {
        var options = LogOptions(durability: durability)
        options.driver = .inline
        options.firstSegmentBytes = first
        options.segmentBytesMax = max
        return options
    }

    /// The sync of the folder finds no room: the manifest is taken back, and so is the segment that
    /// it lists; but neither removal is durable, and the manifest may be what a crash leaves.
    @Test("a manifest that found no room does not come back without its segment")
    func manifestTakenBackComesBack() throws {
        let workload = CrashWorkload(durability: .off, rounds: [150], abandons: [])
        let dry = SimulatedStorage(seed: 9)
        workload.run(on: dry, CrashWorkload.Record())
        let creations = dry.calls.indices.filter {
            dry.calls[$0].kind == .create && "\(dry.calls[$0])".contains("MANIFEST")
        }
        #expect(creations.count > 2)
        var (images, problems) = (0, 0)
        for creation in creations.dropFirst() {
            let index = try #require(
                dry.calls.indices[creation...].first { dry.calls[$0].kind == .syncDirectory })
            for later in [2, 3, 4, 5, 1000] {
                let storage = SimulatedStorage(seed: 9)
                storage.failCall(at: index, with: .noSpace)
                if later < 1000 { storage.crash(at: index + later) }
                let record = CrashWorkload.Record()
                workload.run(on: storage, record)
                let verdict = CrashVerdict(record: record, options: workload.options)
                for image in CrashImage.several(sampled: 40) {
                    images += 1
                    guard
                        let problem = verdict.violation(
                            in: storage.powerLossImage(image), atLeast: record.durable)
                    else { continue }
                    problems += 1
                    if problems < 4 {
                        Issue.record("\(storage.calls[index]) +\(later) \(image): \(problem)")
                    }
                }
            }
        }
        #expect(images > 100)
    }

    /// An opening that finds no room for its manifest leaves the segment that it made.
    @Test("an opening that is refused for want of space leaves nothing behind")
    func openingWithoutRoomLeavesNothing() throws {
        let base = SimulatedStorage(seed: 3)
        let opts = options(first: 40 << 10, max: 80 << 10)
        do {
            let writer = try LogWriter(path: "/a.loom", options: opts, storage: base)
            try writer.append(.numbered(0, size: 300))
        }
        let before = try base.list("/a.loom/seg").sorted()
        let dry = base.killImage(.everythingPending)
        try LogWriter(path: "/a.loom", options: opts, storage: dry).close()
        let place = try #require(
            dry.calls.indices.first {
                dry.calls[$0].kind == .create && "\(dry.calls[$0])".contains("MANIFEST")
            })
        let image = base.killImage(.everythingPending)
        image.failCall(at: place, with: .noSpace)
        let error = #expect(throws: LogError.self) {
            try LogWriter(path: "/a.loom", options: opts, storage: image)
        }
        #expect(error?.code == .outOfSpace)
        #expect(try image.list("/a.loom/seg").sorted() == before)
    }

    /// A reader that saw what a failed sync lost calls the recovered log damaged.
    @Test("a reader that saw what a failed sync lost does not call the log damaged")
    func readerAcrossFailedSync() throws {
        let storage = SimulatedStorage(seed: 4)
        let opts = options(first: 40 << 10, max: 80 << 10)
        var writer: LogWriter? = try LogWriter(path: "/a.loom", options: opts, storage: storage)
        for number in 0..<5 { try writer?.append(.numbered(number, size: 300)) }
        let reader = try LogReader(path: "/a.loom", storage: storage)
        var cursor = try reader.cursor()
        var seen = 0
        while let events = try cursor.nextUnit() { seen += events.count }
        #expect(seen == 5)
        storage.failCalls(of: .syncData, with: .ioError)
        #expect(throws: LogError.self) { try writer?.close() }
        storage.stopFailing(.syncData)
        writer = nil
        try LogWriter(path: "/a.loom", options: opts, storage: storage).close()
        let result = Result { try cursor.nextUnit() }
        let error = #expect(throws: LogError.self) { _ = try result.get() }
        #expect(error?.code != .corrupt)
    }

    /// Each life took for its units what the one before had kept for its last block: a segment of
    /// the largest size grew above what the format allows, and no reader took it any more.
    @Test("a segment that is opened and closed again and again stays below its limit")
    func segmentsStayBelowTheirLimit() throws {
        let storage = SimulatedStorage(seed: 5)
        let most = 64 << 10
        let opts = options(.off, first: most, max: most)
        var count = 0
        for _ in 0..<60 {
            let writer = try LogWriter(path: "/a.loom", options: opts, storage: storage)
            for _ in 0..<8 {
                try writer.append(.numbered(count, size: 100 + count % 700))
                count += 1
            }
            try writer.close()
            for name in try storage.list("/a.loom/seg") {
                let file = try storage.open(FilePath("/a.loom/seg").appending(name), for: .reading)
                #expect(try file.size() <= most + 2 * FormatLimits.sealReserveBytes)
            }
        }
        #expect(try storage.list("/a.loom/seg").count > 3)
        #expect(try readAll("/a.loom", storage: storage).count == count)
    }

    /// A read that failed between two blocks of a unit left the cursor inside it: asked again, it
    /// took the second block for the unit and called the log damaged.
    @Test("a unit of several blocks comes whole when a read of it failed before")
    func readFailedInsideUnit() throws {
        let storage = SimulatedStorage(seed: 6)
        let opts = options(.off, first: 1 << 20, max: 1 << 20)
        let writer = try LogWriter(path: "/a.loom", options: opts, storage: storage)
        // Noise that repeats too late for the compressor: each unit has blocks of 4 and 1 MiB.
        var random = SplitMix(seed: 6)
        let noise = (0..<70_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        var body: [UInt8] = []
        while body.count < 5 << 20 { body += noise }
        for number in 0..<3 as Range<UInt64> {
            var unit = RecordUnit(run: try RunID("run"), epoch: 1, position: number)
            unit.append(body)
            try writer.append(unit)
        }
        try writer.close()
        let reader = try LogReader(path: "/a.loom", storage: storage)
        let before = storage.callCount
        var (whole, expected) = (try reader.cursor(), [[LogEvent]]())
        while let events = try whole.nextUnit() { expected.append(events) }
        let calls = storage.callCount - before
        #expect(expected.count == 3)
        var failures = 0
        for index in 1..<calls {
            let first = storage.callCount
            // Opening it is not what fails here.
            guard var cursor = try? reader.cursor() else { continue }
            if storage.callCount > first + index { continue }
            storage.failCall(at: first + index, with: .ioError, extent: .nothing)
            var (units, triesLeft) = ([[LogEvent]](), 3)
            while units.count < expected.count, triesLeft > 0 {
                do throws(LogError) {
                    guard let events = try cursor.nextUnit() else { break }
                    units.append(events)
                } catch {
                    #expect(error.code == .io, "call \(index): \(error)")
                    (failures, triesLeft) = (failures + 1, triesLeft - 1)
                }
            }
            // Not compared in the macro, which would print megabytes.
            let isWhole = units == expected
            #expect(isWhole, "call \(index)")
        }
        #expect(failures > 10)
    }
}
