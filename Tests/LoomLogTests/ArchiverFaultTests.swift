import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// An archiver whose machine stops, whose disk is full or whose calls fail: acknowledged events are
/// never lost, no listed file is missing, and what is refused changes nothing.
@Suite(.timeLimit(.minutes(10))) struct ArchiverFaultTests {
    /// Rounds of appends and of the archiver's work; some writers go away without closing.
    private struct Work {
        let log: ArchivedLog
        let storage: SimulatedStorage
        var appended = 0
        var durable = 0
        var pin: (any StoragePin)?

        init(seed: UInt64) {
            storage = SimulatedStorage(seed: seed)
            var log = ArchivedLog(storage, durability: .normal)
            log.options.firstSegmentBytes = 36 << 10
            log.options.segmentBytesMax = 36 << 10
            log.options.archiving = ArchivingOptions(CountingSemantics())
            log.options.archiving?.merges = false
            // Closes that archive, too.
            if seed == 2 { log.options.archiving?.liveBytesKept = 1 << 10 }
            self.log = log
        }

        /// Runs until it is done or something fails.
        mutating func run() {
            do { try rounds() } catch {}
        }

        private mutating func rounds() throws {
            for round in 0..<4 {
                let writer = try log.open()
                for _ in 0..<3 {
                    let count = 8 + round
                    for number in appended..<(appended + count) {
                        try log.append(number..<(number + 1), to: writer)
                        appended = number + 1
                    }
                    try writer.waitUntilDurable(writer.position)
                    durable = appended
                    writer.runTimers()
                }
                // A reader that holds what was listed before the next archive.
                pin?.release()
                pin = ReaderPins(directory: log.directory, storage: storage)
                    .pin(try log.manifest.generation)
                if round == 1 { continue }
                try writer.close()
            }
        }
    }

    /// Opens an image and appends; returns what is wrong with it.
    private func problem(
        _ work: Work, _ image: SimulatedStorage, atLeast promised: Int
    ) -> String? {
        var log = work.log
        log.storage = image
        do {
            for turn in 0..<2 {
                let before = try events(log)
                let writer = try log.open()
                if turn == 1, writer.recovery.ending != .clean { return "not clean" }
                if let problem = try Self.isMissing(log) { return problem }
                let count = try events(log)
                guard count >= promised, count >= before else { return "\(count) of \(promised)" }
                try log.append(count..<(count + 30), to: writer)
                writer.runTimers()
                writer.runTimers()
                try writer.close()
                if let problem = try log.problem(count: count + 30) { return problem }
            }
            // Everything that is no longer needed is gone in the end.
            try log.open().close()
            let manifest = try log.manifest
            let listed = Set(
                manifest.segments.map { FileName.segment($0.segmentID, role: $0.role) })
            let left = Set(try log.files).subtracting(listed)
            return left.isEmpty ? nil : "files that nobody needs: \(left)"
        } catch let error as LogError where error.code == .notFound && promised == 0 {
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func events(_ log: ArchivedLog) throws -> Int {
        do {
            let count = try readAll(log.directory.root, storage: log.storage).count
            if let problem = try log.problem(count: count) {
                throw LogError(.io, problem)
            }
            return count
        } catch let error as LogError where error.code == .notFound {
            return 0
        }
    }

    private static func isMissing(_ log: ArchivedLog) throws -> String? {
        let (manifest, names) = (try log.manifest, Set(try log.files))
        for segment in manifest.segments {
            let name = FileName.segment(segment.segmentID, role: segment.role)
            if !names.contains(name) { return "\(name) is missing" }
        }
        return nil
    }

    @Test("after a crash at any call of an archiver every promise holds", arguments: [1, 2])
    func crashes(seed: UInt64) throws {
        var dry = Work(seed: seed)
        dry.run()
        #expect(dry.durable == dry.appended && dry.appended > 100)
        #expect(try dry.log.problem(count: dry.appended) == nil)
        #expect(try dry.log.manifest.segments.count { $0.role == .archive } > 3)
        let points = dry.storage.crashPoints
        let step = CrashTests.isHeavy ? 1 : 79
        var checked = 0
        for (index, point) in points.enumerated() where (index + Int(seed)) % step == 0 {
            var work = Work(seed: seed)
            work.storage.crash(at: point)
            work.run()
            for image in CrashImage.several(sampled: CrashTests.isHeavy ? 4 : 1) {
                let lost = problem(
                    work, work.storage.powerLossImage(image), atLeast: work.durable)
                #expect(
                    lost == nil, "call \(point) (\(dry.storage.calls[point])), power, \(image)")
                let killed = problem(
                    work, work.storage.killImage(image), atLeast: work.appended)
                #expect(
                    killed == nil, "call \(point) (\(dry.storage.calls[point])), kill, \(image)")
                checked += 1
            }
        }
        #expect(checked > 10)
    }

    /// The calls of the archiver alone: those that a log that does not archive does not make.
    private func archiving(_ seed: UInt64) throws -> (work: Work, calls: Range<Int>) {
        let work = Work(seed: seed)
        let writer = try work.log.open()
        try work.log.append(0..<60, to: writer)
        try writer.waitUntilDurable(writer.position)
        let first = work.storage.calls.count
        writer.core.archiveIfDue()
        let calls = first..<work.storage.calls.count
        try writer.close()
        return (work, calls)
    }

    @Test(
        "an archiver that meets a full disk or a failing one at any call leaves the log as it was",
        arguments: [Errno.noSpace, .ioError])
    func faults(errno: Errno) throws {
        let (_, calls) = try archiving(9)
        #expect(calls.count > 40)
        var (poisoned, putOff) = (0, 0)
        for index in calls {
            let work = Work(seed: 9)
            let writer = try work.log.open()
            try work.log.append(0..<60, to: writer)
            try writer.waitUntilDurable(writer.position)
            work.storage.failCall(at: index, with: errno)
            writer.core.archiveIfDue()
            let call = work.storage.calls[index]
            #expect(try Self.isMissing(work.log) == nil, "\(call)")
            #expect(try work.log.problem(count: 60) == nil, "\(call)")
            do {
                try work.log.append(60..<70, to: writer)
                if try writer.overview().archivingFailure != nil { putOff += 1 }
                // The next try comes after a pause, and needs no other.
                work.storage.advanceClock(nanoseconds: 4_000_000_000)
                writer.runTimers()
                work.storage.advanceClock(nanoseconds: 4_000_000_000)
                writer.runTimers()
                #expect(try writer.overview().archivingFailure == nil, "\(call)")
                #expect(try work.log.waiting == 0, "\(call)")
                try writer.close()
                #expect(try work.log.problem(count: 70) == nil, "\(call)")
            } catch let error as LogError where error.code == .poisoned {
                // Only where nobody knows which manifest holds, or where the log is.
                let isManifest = call.path.lastComponent?.string.hasPrefix("MANIFEST") == true
                let isPlace = [.checkInPlace, .loadWord].contains(call.kind)
                let isRoot = call.kind == .syncDirectory && call.path == work.log.directory.root
                #expect(isManifest || isPlace || isRoot, "\(call)")
                poisoned += 1
                try? writer.close()
                let reopened = try work.log.open()
                reopened.runTimers()
                try reopened.close()
                #expect(try work.log.problem(count: 60) == nil, "\(call)")
            }
        }
        #expect(putOff > 20)
        #expect(poisoned > 0)
    }

    @Test("while the disk is full appends go on, and the archive is made when there is room again")
    func fullDisk() throws {
        let work = Work(seed: 11)
        let writer = try work.log.open()
        try work.log.append(0..<60, to: writer)
        work.storage.capacity = 1 << 30
        let free = try work.storage.availableBytes(at: "/")
        work.storage.capacity = (1 << 30) - free + (80 << 10)
        writer.core.archiveIfDue()
        let overview = try writer.overview()
        #expect(overview.archivingFailure?.code == .outOfSpace)
        #expect(overview.waitingByteCount > 0)
        try work.log.append(60..<70, to: writer)
        work.storage.capacity = nil
        work.storage.advanceClock(nanoseconds: 3_000_000_000)
        writer.runTimers()
        #expect(try writer.overview().archivingFailure == nil)
        #expect(try writer.overview().waitingByteCount == 0)
        try writer.close()
        #expect(try work.log.problem(count: 70) == nil)
    }

    @Test("a damaged segment is not archived, and stays where it is")
    func damaged() throws {
        let work = Work(seed: 12)
        let writer = try work.log.open()
        try work.log.append(0..<60, to: writer)
        let segment = try work.log.manifest.segments[1]
        let file = try work.storage.open(
            work.log.directory.segment(segment.segmentID), for: .writing)
        let byte = try file.readBytes(count: 1, at: 5000)[0]
        try file.writeBytes([byte ^ 1], at: 5000)
        writer.runTimers()
        let failure = try #require(try writer.overview().archivingFailure)
        #expect(failure.code == .corrupt && failure.path == file.path)
        #expect(try work.log.manifest.segments.allSatisfy { $0.role == .live })
        try work.log.append(60..<90, to: writer)
        try writer.close()
        try file.writeBytes([byte], at: 5000)
        let reopened = try work.log.open()
        reopened.runTimers()
        try reopened.close()
        #expect(try work.log.waiting == 0)
        #expect(try work.log.problem(count: 90) == nil)
    }
}
