import Foundation
import LoomStorage
import SystemPackage
import Testing

/// What only a real system can show: other processes, full disks.
@Suite struct RealMachineTests {
    /// Takes the lock that `POSIXStorage` takes, says so, and waits to be killed.
    private static let locker = """
        import fcntl, os, struct, sys, time
        file = open(sys.argv[1], "r+")
        lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
        fcntl.fcntl(file, 37, lock)  # F_OFD_SETLK
        os.write(1, b"locked")
        time.sleep(600)
        """

    static let hasPython = (try? shell("python3 -c 'import fcntl'")) == 0
    static let mountsMemory = canMount("mount -t tmpfs -o size=64k none")
    static let mountsDisk = canMount(
        "truncate -s 4M $D.img && mkfs.ext4 -q $D.img && mount -o loop $D.img")

    @discardableResult
    static func shell(_ script: String) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", script]
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }

    private static func canMount(_ command: String) -> Bool {
        guard let mounted = try? Mount(command) else { return false }
        withExtendedLifetime(mounted) {}
        return true
    }

    /// A file system of its own, gone with the object.
    private final class Mount {
        struct Refused: Error {}
        let folder: String

        init(_ command: String) throws {
            folder = NSTemporaryDirectory() + "loom-mount-\(UUID().uuidString)"
            let script = "export D=\(folder); mkdir $D && \(command) $D"
            guard try RealMachineTests.shell(script) == 0 else {
                _ = try? RealMachineTests.shell("rmdir \(folder); rm -f \(folder).img")
                throw Refused()
            }
        }

        deinit {
            _ = try? RealMachineTests.shell(
                "umount -l \(folder); rmdir \(folder); rm -f \(folder).img")
        }
    }

    @Test("the lock of another process holds until it is killed", .enabled(if: hasPython))
    func lockOfAnotherProcess() throws {
        let space = try ContractSubject.diskMapped.workspace()
        let (storage, path) = (space.storage, space.path("LOCK"))
        try storage.make(path, Array("pid 1 elsewhere".utf8)).close()
        let (process, pipe) = (Process(), Pipe())
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-c", Self.locker, path.string]
        process.standardOutput = pipe
        try process.run()
        defer { process.terminate() }
        let said = pipe.fileHandleForReading.availableData
        #expect(String(decoding: said, as: UTF8.self) == "locked")

        #expect(try storage.lockHolder(path) == "pid 1 elsewhere")
        let error = try storageError { _ = try storage.lock(path, holder: "me") }
        #expect(error == StorageError(.lock, path, .wouldBlock, holder: "pid 1 elsewhere"))
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        #expect(try storage.lockHolder(path) == nil)
        let lock = try storage.lock(path, holder: "me")
        #expect(try storage.lockHolder(path) == "me")
        // The other way round: our lock keeps the other process out.
        let other =
            "import fcntl, struct, sys\nfile = open(sys.argv[1], 'r+')\n"
            + "fcntl.fcntl(file, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))"
        #expect(try Self.shell("python3 -c \"\(other)\" '\(path)'") != 0)
        lock.release()
        #expect(try Self.shell("python3 -c \"\(other)\" '\(path)'") == 0)
    }

    /// How many descriptors of this process lead to the file.
    private func descriptors(of path: FilePath) throws -> Int {
        let folder = "/proc/self/fd/"
        return try FileManager.default.contentsOfDirectory(atPath: folder).count { name in
            let target = try? FileManager.default.destinationOfSymbolicLink(atPath: folder + name)
            return target == path.string
        }
    }

    @Test(
        "the last user of a closed file gives its descriptor back",
        .enabled(if: FileManager.default.fileExists(atPath: "/proc/self/fd")))
    func descriptorsAreGivenBack() throws {
        let space = try ContractSubject.diskMapped.workspace()
        let path = space.path("f")
        try space.storage.make(path, run(1, 64)).close()
        #expect(try descriptors(of: path) == 0)
        for _ in 0..<30 {
            let file = try space.storage.open(path, for: .reading)
            #expect(try descriptors(of: path) > 0)
            let running = Monitor(2)
            for _ in 0..<2 {
                try WorkerThread.start("user") {
                    while (try? file.readBytes(count: 64, at: 0)) != nil {}
                    running.withLock { $0 -= 1 }
                    running.notifyAll()
                }
            }
            try file.close()
            running.wait { $0 == 0 ? .finish(()) : .wait(until: nil) }
            #expect(try descriptors(of: path) == 0)
        }
    }

    @Test("a released lock is free at once, also while other threads start processes")
    func lockWhileSpawning() throws {
        let space = try ContractSubject.diskMapped.workspace()
        let isDone = Monitor(false)
        try WorkerThread.start("spawner") {
            for _ in 0..<150 { _ = try? Self.shell("true") }
            isDone.withLock { $0 = true }
        }
        var refusals = 0
        while !isDone.withLock({ $0 }) {
            let error = try storageError {
                try space.storage.lock(space.path("LOCK"), holder: "me").release()
            }
            if error != nil { refusals += 1 }
        }
        #expect(refusals == 0)
    }

    @Test("a full tmpfs refuses filling without a signal and heals", .enabled(if: mountsMemory))
    func fullMemory() throws {
        try fillUp("mount -t tmpfs -o size=2m none", room: 2 << 20)
    }

    @Test("a full ext4 refuses filling without a signal and heals", .enabled(if: mountsDisk))
    func fullDisk() throws {
        try fillUp(
            "truncate -s 8M $D.img && mkfs.ext4 -q $D.img && mount -o loop $D.img", room: 8 << 20)
    }

    private func fillUp(_ command: String, room: Int) throws {
        let mount = try Mount(command)
        defer { withExtendedLifetime(mount) {} }
        let storage = POSIXStorage()
        let folder = FilePath(mount.folder)
        let (path, ballast) = (folder.appending("f"), folder.appending("ballast"))
        let other = try storage.create(ballast)
        try other.fillZeros(from: 0, to: 1 << 20)
        try other.sync()
        let file = try storage.create(path)
        try file.fillZeros(from: 0, to: 65_536)
        try file.sync()
        #expect(try file.mapForAppending(length: 65_536))

        let error = try storageError { try file.fillZeros(from: 65_536, to: room * 2) }
        #expect(error?.operation == .fillZeros)
        #expect(error?.isOutOfSpace == true)
        let size = try file.size()
        #expect(size > 65_536 && size < room)
        // Space that was filled is the file's own, also when nothing is left.
        try file.storeBytes(run(1, 65_536), at: 0, surface: .mapped)
        try file.storeWord(7, at: 0)
        try file.storeBytes(run(2, 100), at: size - 100, surface: .positional)
        try file.sync()

        try storage.remove(ballast)
        try other.close()
        try storage.syncDirectory(folder)
        // A process that some test is starting has a copy of the ballast's descriptor for a moment.
        var healed = try storageError { try file.fillZeros(from: size, to: size + 512 << 10) }
        for _ in 0..<200 where healed?.isOutOfSpace == true {
            storage.machine.sleep(nanoseconds: 10_000_000)
            healed = try storageError { try file.fillZeros(from: size, to: size + 512 << 10) }
        }
        #expect(healed == nil)
        try file.sync()
        #expect(try file.size() == size + 512 << 10)
        #expect(try file.readBytes(count: 65_528, at: 8) == run(1, 65_528))
        try file.close()
    }
}
