import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

/// The inbox of a log: its stages, its limits, and what a hostile folder does to it.
@Suite(.timeLimit(.minutes(2))) struct InboxTests {
    private let folder: TemporaryFolder
    private let writer: LogWriter
    private let asker: Inbox

    init() throws {
        folder = try TemporaryFolder()
        writer = try LogWriter(path: folder.log)
        asker = try LogReader(path: folder.log).inbox
    }

    private func id(_ number: UInt64) -> RequestID { RequestID(low: number, high: 7) }
    private func path(_ name: String) -> String {
        folder.log.appending("inbox").appending(name).string
    }

    private func taken(_ name: RequestName, by inbox: Inbox? = nil) throws -> [UInt8]? {
        let inbox = inbox ?? writer.inbox
        guard case .request(let bytes, let owner, _)? = try inbox.read(name),
            try inbox.take(name)
        else { return nil }
        #expect(owner == getuid())
        return bytes
    }

    @Test("a request goes from stage to stage, and the asker sees each")
    func stages() throws {
        let name = try asker.submit([1, 2], id: id(1))
        #expect(try asker.stage(of: name) == .waiting)
        let server = writer.inbox
        #expect(try server.pending().requests == [name])
        #expect(try taken(name) == [1, 2])
        #expect(try asker.stage(of: name) == .taken(progress: nil))
        // Taken is not withdrawn, and is found again by the next server.
        #expect(try !asker.withdraw(name))
        #expect(try server.pending().requests == [name])
        #expect(try taken(name, by: writer.inbox) == [1, 2])
        try server.answer(name, [3], isLast: false)
        #expect(try asker.stage(of: name) == .taken(progress: [3]))
        try server.answer(name, [4], isLast: false)
        #expect(try asker.stage(of: name) == .taken(progress: [4]))
        try server.answer(name, [5], isLast: true)
        #expect(try asker.stage(of: name) == .answered([5]))
        asker.forget(name)
        #expect(try asker.stage(of: name) == .gone)
        #expect(try FileManager.default.contentsOfDirectory(atPath: path("")).isEmpty)
        #expect(try server.read(name) == nil)
        #expect(try !server.take(name))
    }

    @Test("refused, finished, withdrawn: each is told apart")
    func ends() throws {
        let server = writer.inbox
        let refused = try asker.submit([1], id: id(1))
        #expect(try taken(refused) == [1])
        try server.refuse(refused, Array("no".utf8))
        #expect(try asker.stage(of: refused) == .refused(Array("no".utf8)))
        let done = try asker.submit([2], id: id(2))
        #expect(try taken(done) == [2])
        try server.finish(done)
        try server.finish(done)
        try server.sync()
        #expect(try asker.stage(of: done) == .gone)
        let withdrawn = try asker.submit([3], id: id(3))
        #expect(try asker.withdraw(withdrawn))
        #expect(try !asker.withdraw(withdrawn))
        #expect(try server.pending().requests.isEmpty)
        #expect(try asker.stage(of: withdrawn) == .gone)
    }

    @Test("the folder is its owner's alone")
    func permissions() throws {
        unsafe chmod(folder.log.string, 0o755)
        _ = try asker.submit([1], id: id(1))
        let mode = try FileManager.default.attributesOfItem(atPath: path(""))[.posixPermissions]
        #expect(mode as? Int == 0o700)
    }

    @Test("requests are served in order of their names, at most a turn's at once")
    func order() throws {
        _ = try asker.submit([1], id: id(1))
        let names = (0..<1_500).map {
            RequestName(microseconds: UInt64($0 * 7919 % 1_500), id: id(9))
        }
        for name in names {
            try Data([1]).write(to: URL(filePath: path(name.file(.waiting))))
        }
        let listing = try writer.inbox.pending()
        #expect(listing.requests == Array(names.sorted().prefix(1_000)))
        #expect(listing.hasMore)
    }

    @Test("too large a request, and one too many, are refused before they are there")
    func limits() throws {
        let most = [UInt8](repeating: 7, count: InboxLimits.requestBytesMax)
        let error = #expect(throws: LogError.self) { try asker.submit(most + [7], id: id(1)) }
        #expect(error?.code == .limitExceeded)
        let name = try asker.submit(most, id: id(2))
        #expect(try taken(name) == most)
        for number in 0..<InboxLimits.waitingCountMax {
            let name = RequestName(microseconds: 1, id: id(UInt64(number)))
            unsafe close(open(path(name.file(.waiting)), O_CREAT | O_WRONLY, 0o600))
        }
        let full = #expect(throws: LogError.self) { try asker.submit([1], id: id(3)) }
        #expect(full?.code == .inboxFull)
    }

    @Test("links, FIFOs, folders, huge files and strange names neither stop nor block the server")
    func hostile() throws {
        let good = try asker.submit([1], id: id(1))
        func name(_ number: UInt64) -> RequestName { RequestName(microseconds: number, id: id(5)) }
        unsafe symlink("/etc/passwd", path(name(1).file(.waiting)))
        unsafe mkfifo(path(name(2).file(.waiting)), 0o600)
        unsafe mkdir(path(name(3).file(.waiting)), 0o700)
        let huge = unsafe open(path(name(4).file(.waiting)), O_CREAT | O_WRONLY, 0o600)
        ftruncate(huge, 1 << 40)
        close(huge)
        unsafe mkfifo(path(name(5).file(.taken)), 0o600)
        let strange = ["x", "\u{1B}[31m.req", good.file(.waiting) + ".req", ".req", "..req"]
        for name in strange { unsafe close(open(path(name), O_CREAT | O_WRONLY, 0o600)) }
        let upper = "\(good)".uppercased() + ".req"
        unsafe close(open(path(upper), O_CREAT | O_WRONLY, 0o600))

        let server = writer.inbox
        let listing = try server.pending()
        #expect(listing.requests == [1, 2, 3, 4, 5].map(name) + [good])
        #expect(listing.remarks.count == strange.count + 1)
        for number in [1, 2, 3, 5] as [UInt64] {
            guard case .irregular? = try server.read(name(number)) else {
                Issue.record("\(number) was read")
                continue
            }
        }
        guard case .invalid? = try server.read(name(4)) else {
            Issue.record("a terabyte was read")
            return
        }
        #expect(try server.take(name(4)))
        try server.refuse(name(4), [1])
        #expect(try server.read(good) == .request([1], owner: getuid(), answer: nil))
        #expect(try server.take(good))
        try server.finish(good)
        #expect(try server.pending(besides: Set([1, 2, 3, 5].map(name))).requests.isEmpty)
    }

    @Test("an inbox that is a link or a file is followed by nobody")
    func linkedFolder() throws {
        unsafe mkdir(folder.path.appending("other").string, 0o700)
        unsafe symlink(folder.path.appending("other").string, folder.log.appending("inbox").string)
        #expect(throws: LogError.self) { try asker.submit([1], id: id(1)) }
        #expect(throws: LogError.self) { try writer.inbox.pending() }
        unsafe unlink(folder.log.appending("inbox").string)
        unsafe close(open(folder.log.appending("inbox").string, O_CREAT | O_WRONLY, 0o600))
        #expect(throws: LogError.self) { try asker.submit([1], id: id(1)) }
    }

    @Test("a log that is moved while somebody asks: the request is not left behind")
    func moved() throws {
        let elsewhere = folder.path.appending("elsewhere").string
        unsafe #expect(rename(folder.log.string, elsewhere) == 0)
        #expect(throws: LogError.self) { try asker.submit([1], id: id(1)) }
        let left = try FileManager.default.contentsOfDirectory(atPath: elsewhere + "/inbox")
        #expect(left.isEmpty)
    }

    @Test("what gone askers left behind is removed once it is old, and nothing else")
    func abandoned() throws {
        _ = try asker.submit([1], id: id(1))
        let now = POSIXStorage().machine.wallMicroseconds()
        func leave(_ file: RequestName.File, _ age: Int64, _ number: UInt64) throws -> String {
            let time = UInt64(Int64(now) - age * 1_000_000)
            let name = RequestName(microseconds: time, id: id(number)).file(file)
            try Data([1]).write(to: URL(filePath: path(name)))
            return name
        }
        let (hour, day) = (Int64(3_600), Int64(86_400))
        let old = [
            try leave(.unfinished, hour + 60, 2), try leave(.unfinishedAnswer, hour + 60, 3),
            try leave(.refusal, day + 60, 4), try leave(.answer, day + 60, 5),
        ]
        let kept = [
            try leave(.unfinished, hour - 60, 6), try leave(.refusal, day - 60, 7),
            try leave(.taken, 900 * day, 8), try leave(.answer, 900 * day, 8),
            // A clock that went back.
            try leave(.unfinished, -900 * day, 9), try leave(.answer, -900 * day, 10),
        ]
        writer.inbox.removeAbandoned()
        let left = Set(try FileManager.default.contentsOfDirectory(atPath: path("")))
        #expect(left.isDisjoint(with: old) && left.isSuperset(of: kept))
    }

    @Test("a crash at every call of the asker leaves the request whole or not at all")
    func crashes() throws {
        let body = [UInt8](repeating: 9, count: 3_000)
        func ask(_ storage: SimulatedStorage) throws -> RequestName {
            let reader = try LogReader(path: "/runs.loom", storage: storage)
            return try reader.inbox.submit(body, id: id(1))
        }
        func made(_ storage: SimulatedStorage) throws {
            var options = LogOptions()
            options.driver = .inline
            try LogWriter(path: "/runs.loom", options: options, storage: storage).close()
        }
        let dry = SimulatedStorage(seed: 2)
        try made(dry)
        let first = dry.callCount
        _ = try ask(dry)
        var (none, whole) = (0, 0)
        for index in first...dry.callCount {
            for image in CrashImage.several(sampled: 6) {
                let storage = SimulatedStorage(seed: 2)
                try made(storage)
                storage.crash(at: index)
                let name = try? ask(storage)
                if !storage.isCrashed { storage.crash() }
                for restarted in [storage.killImage(image), storage.powerLossImage(image)] {
                    let inbox = try LogReader(path: "/runs.loom", storage: restarted).inbox
                    let pending = try inbox.pending().requests
                    guard let found = pending.first else {
                        #expect(name == nil, "call \(index): a request that was durable is gone")
                        none += 1
                        continue
                    }
                    #expect(pending.count == 1)
                    #expect(try inbox.read(found) == .request(body, owner: nil, answer: nil))
                    whole += 1
                }
            }
        }
        #expect(none > 0 && whole > 0)
    }
}
