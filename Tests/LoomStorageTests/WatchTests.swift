import Foundation
import LoomStorage
import SystemPackage
import Testing

/// Watches of folders, for every implementation.
@Suite(.timeLimit(.minutes(1))) struct WatchTests {
    /// Long enough for a wake-up that is lost to be noticed.
    private static let patience: UInt64 = 10_000_000_000

    @Test("a rename into the folder is told, once", arguments: ContractSubject.present)
    func renames(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = try space.storage.anchored(at: space.root)
        try storage.createDirectory(space.path("in"))
        try storage.make(space.path("in/early"))
        let watch = try storage.watch(space.path("in"))
        #expect(watch.wait(nanoseconds: 0) == .nothing)
        try storage.make(space.path("in/a.tmp"))
        try storage.rename(space.path("in/a.tmp"), to: space.path("in/a"))
        #expect(watch.wait(nanoseconds: Self.patience) == .names)
        #expect(watch.wait(nanoseconds: 0) == .nothing)
        try storage.make(space.path("out"))
        try storage.rename(space.path("in/a"), to: space.path("moved"))
        try storage.remove(space.path("in/early"))
        #expect(watch.wait(nanoseconds: 0) == .nothing)
    }

    @Test("a thread that waits for ever is woken", arguments: ContractSubject.present)
    func wakes(subject: ContractSubject) async throws {
        let space = try subject.workspace()
        let watch = try space.storage.watch(space.root)
        watch.wake()
        #expect(watch.wait(nanoseconds: nil) == .woken)
        try space.storage.make(space.path("a"))
        for round in 0..<20 {
            let change = await withCheckedContinuation { continuation in
                do {
                    try WorkerThread.start("waits") {
                        continuation.resume(returning: watch.wait(nanoseconds: nil))
                    }
                } catch {
                    Issue.record(error)
                    continuation.resume(returning: .gone)
                }
                if round.isMultiple(of: 2) {
                    watch.wake()
                } else {
                    do {
                        let (old, new) = round % 4 == 1 ? ("a", "b") : ("b", "a")
                        try space.storage.rename(space.path(old), to: space.path(new))
                    } catch { Issue.record(error) }
                }
            }
            #expect(change == (round.isMultiple(of: 2) ? .woken : .names))
        }
    }

    @Test("what is no folder is not watched", arguments: ContractSubject.present)
    func noFolder(subject: ContractSubject) throws {
        let space = try subject.workspace()
        try space.storage.make(space.path("f"))
        let error = try storageError { _ = try space.storage.watch(space.path("f")) }
        #expect(error?.errno == .notDirectory)
        #expect(try storageError { _ = try space.storage.watch(space.path("no")) } != nil)
    }

    @Test("a folder that is moved or deleted is told as gone")
    func gone() throws {
        let space = try ContractSubject.diskMapped.workspace()
        let storage = space.storage
        try storage.createDirectory(space.path("in"))
        let moved = try storage.watch(space.path("in"))
        try storage.rename(space.path("in"), to: space.path("elsewhere"))
        #expect(moved.wait(nanoseconds: Self.patience) == .gone)
        let deleted = try storage.watch(space.path("elsewhere"))
        try storage.removeDirectory(space.path("elsewhere"))
        #expect(deleted.wait(nanoseconds: Self.patience) == .gone)
    }

    @Test("a slow watch says to look again and again, and can be woken")
    func slow() throws {
        let watch = SlowWatch(POSIXStorage().machine, period: 1_000_000)
        #expect(watch.wait(nanoseconds: nil) == .names)
        #expect(watch.wait(nanoseconds: 1_000) == .nothing)
        watch.wake()
        #expect(watch.wait(nanoseconds: nil) == .woken)
        #expect(watch.wait(nanoseconds: .max) == .names)
        let lazy = SlowWatch(POSIXStorage().machine, period: .max)
        lazy.wake()
        #expect(lazy.wait(nanoseconds: nil) == .woken)
    }

    @Test("a private folder is its owner's alone, in a folder that others may enter")
    func privateFolder() throws {
        let space = try ContractSubject.diskMapped.workspace()
        chmod(space.root.string, 0o777)
        let storage = try space.storage.anchored(at: space.root)
        try storage.createPrivateDirectory(space.path("in"))
        try storage.createDirectory(space.path("out"))
        let modes = try ["in", "out"].map {
            try FileManager.default.attributesOfItem(atPath: space.path($0).string)[
                .posixPermissions] as? Int
        }
        #expect(modes == [0o700, 0o777])
        let file = try storage.create(space.path("in/f"))
        #expect(try file.owner() == getuid())
        #expect(
            try storageError { try storage.createPrivateDirectory(space.path("in")) }?.isFileExists
                == true)
    }
}
