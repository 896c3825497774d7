import Foundation
import LoomFormat
import SystemPackage
import Testing

@testable import LoomLog
@testable import LoomStorage

/// A crash at every storage call of a backup, of an update of one, and of the opening of one.
@Suite(.timeLimit(.minutes(20))) struct BackupCrashTests {
    /// A log that was rolled and archived, and what a backup of it has to come up with.
    private func prepared(_ storage: SimulatedStorage, rounds: Int) throws -> BackupWork {
        var work = BackupWork(storage, seed: 11)
        try work.append(90)
        for _ in 0..<rounds {
            _ = try work.backUp()
            try work.append(70)
            try work.archive()
        }
        return work
    }

    /// - Returns: Whether there was a backup in any image.
    private func check(
        _ storage: SimulatedStorage, old: Int?, new: Int, _ place: String
    ) throws -> Bool {
        var isThere = false
        for kind in CrashImage.several(sampled: CrashTests.isHeavy ? 8 : 1) {
            for image in [storage.powerLossImage(kind), storage.killImage(kind)] {
                do throws(LogError) {
                    let reader = try LogReader(path: "/b.loom", storage: image)
                    _ = try reader.overview()
                    isThere = true
                } catch {
                    #expect(error.code == .notFound && old == nil, "\(place), \(kind): \(error)")
                    continue
                }
                let events = try readAll("/b.loom", storage: image).count
                #expect(events >= old ?? new && events <= new, "\(place), \(kind)")
                let backup = BackupWork(image, seed: 1)
                #expect(try backup.problem(count: events, in: image) == nil, "\(place), \(kind)")
                // Restored as it is, by a copy.
                try copyLog("/b.loom", to: "/r.loom", in: image)
                let restored = ArchivedLog(image, path: "/r.loom")
                let writer = try restored.open()
                #expect(writer.unsettledCopy != nil, "\(place), \(kind)")
                try restored.append(events..<(events + 5), to: writer)
                try writer.close()
                #expect(try restored.problem(count: events + 5) == nil, "\(place), \(kind)")
                // The next round makes it whole.
                var next = try BackupWork(image, seed: 1).backup()
                let position = try next.run().position
                let count = Int(position.nextSequence) - 1
                #expect(count >= events || count >= 90, "\(place), \(kind)")
                let problem = try backup.problem(count: count, in: image)
                #expect(problem == nil, "\(place), \(kind)")
            }
        }
        return isThere
    }

    @Test("a cut backup is no log, and a cut update leaves the old one", arguments: [0, 1, 2])
    func everyCall(rounds: Int) throws {
        let dry = SimulatedStorage(seed: 9)
        let work = try prepared(dry, rounds: rounds)
        let first = dry.callCount
        _ = try work.backUp(links: rounds < 2)
        let last = dry.callCount
        let old: Int? = rounds == 0 ? nil : work.count - 70
        var withBackup = 0
        let step = CrashTests.isHeavy ? 1 : 23
        for point in dry.crashPoints
        where point >= first && point < last && (point % step == rounds || point > last - 16) {
            let storage = SimulatedStorage(seed: 9)
            let work = try prepared(storage, rounds: rounds)
            storage.crash(at: point)
            #expect(throws: (any Error).self) { try work.backUp(links: rounds < 2) }
            let place = "call \(point): \(storage.calls[point])"
            if try check(storage, old: old, new: work.count, place) { withBackup += 1 }
        }
        #expect(withBackup > 0)
    }

    @Test("when any one call fails, the old backup stays, and the next round makes the new one")
    func everyFailure() throws {
        let dry = SimulatedStorage(seed: 10)
        let work = try prepared(dry, rounds: 1)
        let first = dry.callCount
        _ = try work.backUp()
        for point in first..<dry.callCount where CrashTests.isHeavy || point % 17 == 0 {
            for errno in [Errno.ioError, .noSpace] {
                let storage = SimulatedStorage(seed: 10)
                let work = try prepared(storage, rounds: 1)
                storage.failCall(at: point, with: errno)
                _ = try? work.backUp()
                let events = try readAll("/b.loom", storage: storage).count
                #expect(events >= work.count - 70, "call \(point): \(storage.calls[point])")
                #expect(try work.backUp().position.nextSequence == UInt64(work.count + 1))
                #expect(try work.problem(count: work.count, in: storage) == nil)
            }
        }
    }

    @Test("the opening of a restored log may be cut anywhere")
    func opening() throws {
        let dry = SimulatedStorage(seed: 12)
        _ = try prepared(dry, rounds: 1).backUp()
        let first = dry.callCount
        func open(_ storage: SimulatedStorage) throws -> UInt64? {
            let log = ArchivedLog(storage, path: "/b.loom")
            let writer = try log.open()
            let time = writer.unsettledCopy
            try writer.settleCopy()
            try writer.close()
            return time
        }
        #expect(try open(dry) != nil)
        for point in dry.crashPoints
        where point >= first && (CrashTests.isHeavy || point % 13 == 0) {
            let storage = SimulatedStorage(seed: 12)
            let work = try prepared(storage, rounds: 1)
            _ = try work.backUp()
            storage.crash(at: point)
            _ = try? open(storage)
            for kind in CrashImage.several(sampled: 3) {
                for image in [storage.powerLossImage(kind), storage.killImage(kind)] {
                    let problem = try work.problem(count: work.count, in: image)
                    #expect(problem == nil, "call \(point): \(storage.calls[point])")
                    _ = try open(image)
                    #expect(try work.problem(count: work.count, in: image) == nil)
                }
            }
        }
    }
}
