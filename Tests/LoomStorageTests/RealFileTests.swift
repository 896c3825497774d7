import Foundation
import LoomStorage
import SystemPackage
import Testing

/// What only real files have: permissions, links and devices, mappings, the locks of others.
@Suite struct RealFileTests {
    private func permissions(_ path: FilePath) throws -> Int {
        var facts = stat()
        guard stat(path.string, &facts) == 0 else { throw CocoaError(.fileNoSuchFile) }
        return Int(facts.st_mode) & 0o777
    }

    /// States and prompts could be read by everybody on the machine: 0644 in 0755.
    @Test("files and folders are the owner's alone, whatever the umask")
    func permissions() throws {
        let space = try ContractSubject.diskMapped.workspace()
        for (index, mask) in [mode_t(0), 0o022, 0o277].enumerated() {
            let before = umask(mask)
            defer { umask(before) }
            let (file, folder) = (space.path("f\(index)"), space.path("d\(index)"))
            try space.storage.create(file).close()
            try space.storage.createDirectory(folder)
            try space.storage.lock(space.path("l\(index)"), holder: "me").release()
            #expect(try permissions(file) == 0o600)
            #expect(try permissions(folder) == 0o700)
            #expect(try permissions(space.path("l\(index)")) == 0o600)
        }
    }

    /// A folder that its owner opened to a group stays open for the files made later.
    @Test("below an anchor new files are as open as its folder")
    func permissionsOfTheAnchor() throws {
        let space = try ContractSubject.diskMapped.workspace()
        try space.storage.createDirectory(space.path("log"))
        let log = try space.storage.anchored(at: space.path("log"))
        for (mode, ofFile) in [(0o700, 0o600), (0o750, 0o640), (0o775, 0o664)] {
            #expect(chmod(space.path("log").string, mode_t(mode)) == 0)
            let (file, folder) = (space.path("log/f\(mode)"), space.path("log/d\(mode)"))
            try log.create(file).close()
            try log.createDirectory(folder)
            #expect(try permissions(file) == ofFile)
            #expect(try permissions(folder) == mode)
        }
    }

    /// A link was followed and its target written; a FIFO blocked for ever.
    @Test("what is no regular file is refused by name, and its target left alone")
    func irregularFiles() throws {
        let space = try ContractSubject.diskMapped.workspace()
        try space.storage.createDirectory(space.path("log"))
        try space.storage.make(space.path("target"), run(7, 100)).close()
        let (link, fifo) = (space.path("log/link").string, space.path("log/fifo").string)
        #expect(symlink(space.path("target").string, link) == 0)
        #expect(symlink("/nowhere/at/all", space.path("log/dangling").string) == 0)
        #expect(mkfifo(fifo, 0o600) == 0)
        let isRoot = mknod(space.path("log/device").string, S_IFCHR | 0o600, 0x103) == 0
        var kinds: [(String, IrregularFile)] = [
            ("link", .symbolicLink), ("dangling", .symbolicLink), ("fifo", .fifo),
        ]
        if isRoot { kinds.append(("device", .device)) }
        let log = try space.storage.anchored(at: space.path("log"))
        for storage in [space.storage, log] {
            for (name, kind) in kinds {
                let path = space.path("log/\(name)")
                for access in [FileAccess.reading, .writing] {
                    let error = try storageError { _ = try storage.open(path, for: access) }
                    #expect(error?.irregular == kind, "\(name)")
                    #expect(
                        error?.description == "\(path): \(kind.rawValue), not a regular file")
                }
                #expect(
                    try storageError { _ = try storage.lock(path, holder: "me") }?.irregular
                        == kind)
                #expect(try storageError { _ = try storage.lockHolder(path) }?.irregular == kind)
                #expect(try storageError { _ = try storage.create(path) }?.isFileExists == true)
            }
        }
        #expect(try space.storage.bytes(of: space.path("target")) == run(7, 100))
    }

    @Test("below an anchor no link to a folder is followed, the anchor itself may be one")
    func linkedFolders() throws {
        let space = try ContractSubject.diskMapped.workspace()
        try space.storage.createDirectory(space.path("log"))
        try space.storage.createDirectory(space.path("other"))
        try space.storage.make(space.path("other/1"), [1]).close()
        #expect(symlink("log", space.path("current").string) == 0)
        #expect(symlink("../other", space.path("log/seg").string) == 0)
        let log = try space.storage.anchored(at: space.path("current"))
        try log.make(space.path("current/f"), [2]).close()
        try log.checkInPlace([])
        #expect(try space.storage.bytes(of: space.path("log/f")) == [2])
        let (seg, file) = (space.path("current/seg"), space.path("current/seg/1"))
        #expect(try storageError { _ = try log.list(seg) }?.irregular == .symbolicLink)
        #expect(try storageError { try log.syncDirectory(seg) }?.irregular == .symbolicLink)
        let calls: [() throws -> Void] = [
            { _ = try log.open(file, for: .reading) },
            { _ = try log.create(space.path("current/seg/2")) },
            { try log.remove(file) },
            { try log.rename(space.path("current/f"), to: space.path("current/seg/f")) },
            { try log.createDirectory(space.path("current/seg/d")) },
        ]
        for call in calls {
            #expect(try storageError(call)?.irregular == .behindSymbolicLink)
        }
        #expect(try space.storage.list(space.path("other")) == ["1"])
    }

    /// A check by a relative path looked in the folder that the host had changed to.
    @Test("an anchor by a relative path does not depend on where the process works")
    func relativeAnchor() throws {
        let space = try ContractSubject.diskMapped.workspace()
        try space.storage.createDirectory(space.path("log"))
        let climb = String(
            repeating: "../", count: FileManager.default.currentDirectoryPath.count / 2)
        let relative = FilePath(climb + String(space.path("log").string.dropFirst()))
        let log = try POSIXStorage().anchored(at: relative)
        try log.make(relative.appending("f"), [3]).close()
        #expect(try space.storage.bytes(of: space.path("log/f")) == [3])
        try log.checkInPlace([])
    }

    /// Pages that stay mapped stay in the cache, and "judge the disk" judged them.
    @Test("a closed file is not mapped any more, and late stores throw", .enabled(if: hasMaps))
    func mappingsGo() throws {
        let space = try ContractSubject.diskMapped.workspace()
        let path = space.path("f")
        let file = try space.storage.create(path)
        try file.fillZeros(from: 0, to: 65_536)
        guard try file.mapForAppending(length: 4096) else { return }
        #expect(try file.mapForAppending(length: 65_536))
        try file.storeBytes(run(1, 100), at: 0, surface: .mapped)
        let mapped = try mappings(of: path)
        #expect(mapped == 2)
        try file.close()
        let left = try mappings(of: path)
        #expect(left == 0)
        let late = try storageError {
            try file.storeBytes(run(2, 100), at: 0, surface: .mapped)
        }
        #expect(late == StorageError(.store, path, .badFileDescriptor))
        #expect(try space.storage.bytes(of: path).prefix(200) == run(1, 100)[...] + run(0, 100))
    }

    /// A load from a page that is not there any more is a signal.
    @Test("a file that is cut under a mapping for loads refuses them, and is gone when closed")
    func cutUnderLoads() throws {
        let space = try ContractSubject.diskMapped.workspace()
        let path = space.path("f")
        let file = try space.storage.create(path)
        try file.fillZeros(from: 0, to: 8192)
        try file.storeWord(7, at: 4096)
        let reader = try space.storage.open(path, for: .reading)
        #expect(try !reader.mapForLoading(length: 8193))
        #expect(try !reader.mapForLoading(length: 0))
        guard try reader.mapForLoading(length: 8192) else { return }
        #expect(try reader.loadWord(at: 4096) == 7)
        try file.truncate(to: 4096)
        #expect(throws: StorageError.self) { try reader.loadWord(at: 4096) }
        try reader.close()
        let closed = try storageError { _ = try reader.loadWord(at: 0) }
        #expect(closed == StorageError(.read, path, .badFileDescriptor))
    }

    static let hasMaps = FileManager.default.fileExists(atPath: "/proc/self/maps")

    private func mappings(of path: FilePath) throws -> Int {
        // Not by Foundation, which reads such a file in part.
        let maps = try POSIXStorage().open("/proc/self/maps", for: .reading)
        return String(decoding: try maps.readBytes(count: 4 << 20, at: 0), as: UTF8.self)
            .split(separator: "\n").count { $0.hasSuffix(path.string) }
    }

    #if os(Linux)
    /// The writer locked every byte behind the first, and left no room for the locks of readers.
    @Test("the lock leaves the bytes of readers free, and theirs leave it free")
    func locksOfReaders() throws {
        let space = try ContractSubject.diskMapped.workspace()
        let (storage, path) = (space.storage, space.path("LOCK"))
        try storage.make(path).close()
        let reader = Glibc.open(path.string, O_RDWR | O_CLOEXEC)
        defer { close(reader) }
        func set(_ kind: Int32, _ byte: Int64) -> Int32 {
            var lock = flock()
            lock.l_type = Int16(kind)
            lock.l_start = off_t(byte)
            lock.l_len = 1
            return fcntl(reader, 37, &lock)  // F_OFD_SETLK
        }
        #expect(set(F_RDLCK, 1 << 40 + 7) == 0)
        #expect(try storage.lockHolder(path) == nil)
        let lock = try storage.lock(path, holder: "me")
        #expect(try storage.lockHolder(path) == "me")
        #expect(set(F_RDLCK, 1 << 40 + 8) == 0)
        #expect(set(F_RDLCK, 2) == 0)
        for byte in Int64(0)...1 { #expect(set(F_RDLCK, byte) == -1, "byte \(byte)") }
        lock.release()
        #expect(set(F_RDLCK, 0) == 0)
    }
    #endif

    /// A signal for the process could end up on a thread of the log, where no host expects it.
    @Test("a worker thread blocks all signals but those of its own faults")
    func signals() throws {
        func ownMask() -> [Int32] {
            var mask = sigset_t()
            pthread_sigmask(SIG_BLOCK, nil, &mask)
            return (Int32(1)...31).filter { sigismember(&mask, $0) == 1 }
        }
        let before = ownMask()
        let blocked = Monitor([Int32]?.none)
        try WorkerThread.start("probe") {
            var mask = sigset_t()
            pthread_sigmask(SIG_BLOCK, nil, &mask)
            let found = (Int32(1)...31).filter { sigismember(&mask, $0) == 1 }
            blocked.withLock { $0 = found }
            blocked.notifyAll()
        }
        let found = blocked.wait { $0.map { .finish($0) } ?? .wait(until: nil) }
        let open = [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS]
        // Nobody can block these two.
        #expect(Set(Int32(1)...31).subtracting(found) == Set(open + [SIGKILL, SIGSTOP]))
        #expect(ownMask() == before, "the thread that starts it keeps its own mask")
    }
}
