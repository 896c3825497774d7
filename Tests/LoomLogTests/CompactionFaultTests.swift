import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// A compaction whose machine stops, whose disk is full or whose calls fail: what was not deleted
/// is as it was, what was deleted comes never back, and asked again it ends.
@Suite(.timeLimit(.minutes(10))) struct CompactionFaultTests {
    private static let order = CompactionOrder(removesAtOnce: true)

    /// A log of two archives and a live segment, then a compaction that deletes one of its runs.
    private struct Work {
        let log: ArchivedLog
        let storage: SimulatedStorage
        private(set) var began = false
        private(set) var ended = false

        init(seed: UInt64) {
            storage = SimulatedStorage(seed: seed)
            var log = ArchivedLog(storage, durability: .normal)
            log.options.firstSegmentBytes = 36 << 10
            log.options.segmentBytesMax = 36 << 10
            log.options.archiving = ArchivingOptions(CountingSemantics(deleted: ["run 3"]))
            log.options.archiving?.merges = false
            self.log = log
        }

        /// What is there before the compaction.
        func fill() throws {
            var log = self.log
            log.options.archiving?.semantics = CountingSemantics()
            let writer = try log.open()
            for part in 0..<2 {
                try log.append((part * 20)..<(part * 20 + 20), to: writer)
                writer.runTimers()
            }
            try log.append(40..<44, to: writer)
            try writer.close()
        }

        mutating func compact() throws {
            let writer = try log.open()
            began = true
            _ = try writer.compact(CompactionFaultTests.order)
            ended = true
            try writer.close()
        }

        mutating func run() { do { try compact() } catch {} }
    }

    /// What is wrong with an image, before and after it is opened and compacted again.
    private func problem(_ work: Work, _ image: SimulatedStorage) -> String? {
        var log = work.log
        log.storage = image
        do {
            if let problem = try events(log, isGone: work.ended ? true : nil) { return problem }
            let writer = try log.open()
            if let problem = try events(log, isGone: work.ended ? true : nil) { return problem }
            _ = try writer.compact(Self.order)
            try writer.close()
            if let problem = try events(log, isGone: true) { return problem }
            let manifest = try log.manifest
            let listed = Set(
                manifest.segments.map { FileName.segment($0.segmentID, role: $0.role) })
            let names = Set(try log.files)
            return names == listed ? nil : "files \(names.symmetricDifference(listed))"
        } catch {
            return "\(error)"
        }
    }

    /// - Parameter isGone: Whether the events of the run are gone; `nil` where some may be.
    private func events(_ log: ArchivedLog, isGone: Bool?) throws -> String? {
        let events = try readAll(log.directory.root, storage: log.storage)
        let others = (0..<44).filter { $0 % 5 != 3 }
        var found: [Int] = []
        for event in events {
            let number = Int(event.sequence) - 1
            guard event.body == ArchivedLog.body(number) else { return "event \(number)" }
            if number % 5 == 3 {
                if isGone == true { return "event \(number) is there" }
            } else {
                found.append(number)
            }
        }
        return found == others ? nil : "\(found.count) events of \(others.count)"
    }

    @Test("after a crash at any call of a compaction it is done again, and nothing else is lost")
    func crashes() throws {
        var dry = Work(seed: 1)
        try dry.fill()
        let first = dry.storage.calls.count
        try dry.compact()
        #expect(try events(dry.log, isGone: true) == nil)
        let points = dry.storage.crashPoints.filter { $0 >= first }
        #expect(points.count > 60)
        let step = CrashTests.isHeavy ? 1 : 37
        for (index, point) in points.enumerated() where index % step == 0 {
            var work = Work(seed: 1)
            try work.fill()
            work.storage.crash(at: point)
            work.run()
            for image in CrashImage.several(sampled: CrashTests.isHeavy ? 4 : 1) {
                let call = "call \(point) (\(dry.storage.calls[point])), \(image)"
                let lost = problem(work, work.storage.powerLossImage(image))
                #expect(lost == nil, "\(call), power")
                let killed = problem(work, work.storage.killImage(image))
                #expect(killed == nil, "\(call), kill")
            }
        }
    }

    /// Makes all tables anew; no event changes.
    private struct Reindexing {
        let log: ArchivedLog
        let storage: SimulatedStorage

        init(seed: UInt64) throws {
            let work = Work(seed: seed)
            try work.fill()
            var log = work.log
            log.options.archiving?.semantics = CountingSemantics()
            (self.log, storage) = (log, work.storage)
        }

        func run() throws {
            let writer = try log.open()
            _ = try writer.reindex(onlyDamaged: false)
            try writer.close()
        }

        /// What is wrong with an image, before and after it is indexed anew.
        func problem(_ image: SimulatedStorage) -> String? {
            var log = self.log
            log.storage = image
            do {
                for isMended in [false, true] {
                    if isMended {
                        let writer = try log.open()
                        _ = try writer.reindex(onlyDamaged: false)
                        try writer.close()
                    }
                    let events = try readAll(log.directory.root, storage: image)
                    guard events.map(\.body) == (0..<44).map(ArchivedLog.body) else {
                        return "\(events.count) events"
                    }
                }
                let listed = Set(
                    try log.manifest.segments.map {
                        FileName.segment($0.segmentID, role: $0.role)
                    })
                let superseded = Set(
                    try log.manifest.superseded.map {
                        FileName.segment($0.segmentID, role: $0.role)
                    })
                let names = Set(try log.files)
                return names.isSuperset(of: listed) && names.isSubset(of: listed.union(superseded))
                    ? nil : "files \(names.symmetricDifference(listed))"
            } catch {
                return "\(error)"
            }
        }
    }

    @Test("after a crash or a fault at any call of a reindexing no event and no file is lost")
    func reindexing() throws {
        let dry = try Reindexing(seed: 4)
        let first = dry.storage.calls.count
        try dry.run()
        #expect(dry.problem(dry.storage) == nil)
        let calls = first..<dry.storage.calls.count
        #expect(calls.count > 40)
        let step = CrashTests.isHeavy ? 1 : 53
        for index in calls where index % step == 0 {
            let call = "call \(index) (\(dry.storage.calls[index]))"
            if dry.storage.crashPoints.contains(index) {
                let work = try Reindexing(seed: 4)
                work.storage.crash(at: index)
                try? work.run()
                for image in CrashImage.several(sampled: CrashTests.isHeavy ? 4 : 1) {
                    let lost = work.problem(work.storage.powerLossImage(image))
                    #expect(lost == nil, "\(call), \(image), power")
                    let killed = work.problem(work.storage.killImage(image))
                    #expect(killed == nil, "\(call), \(image), kill")
                }
            }
            for errno in [Errno.noSpace, .ioError] {
                let work = try Reindexing(seed: 4)
                work.storage.failCall(at: index, with: errno)
                try? work.run()
                let left = work.problem(work.storage.killImage(.everythingPending))
                #expect(left == nil, "\(call), \(errno)")
            }
        }
    }

    @Test(
        "a full disk or a failing one at any call changes nothing but what was done before",
        arguments: [Errno.noSpace, .ioError])
    func faults(errno: Errno) throws {
        var dry = Work(seed: 2)
        try dry.fill()
        let first = dry.storage.calls.count
        try dry.compact()
        let calls = first..<dry.storage.calls.count
        let step = CrashTests.isHeavy ? 1 : 41
        for index in calls where index % step == 0 {
            var work = Work(seed: 2)
            try work.fill()
            work.storage.failCall(at: index, with: errno)
            work.run()
            let call = "\(work.storage.calls[index])"
            #expect(try events(work.log, isGone: work.ended ? true : nil) == nil, "\(call)")
            // Another writer, as the failure may have ended this one.
            let left = problem(work, work.storage.killImage(.everythingPending))
            #expect(left == nil, "\(call)")
        }
    }
}
