import LoomStorage
import SystemPackage
import Testing

/// The contract of open files, for every implementation.
@Suite struct FileContractTests {
    @Test("identity is the file's, however it is opened", arguments: ContractSubject.present)
    func identity(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.create(space.path("f"))
        let other = try space.storage.create(space.path("g"))
        #expect(try space.storage.open(space.path("f"), for: .reading).identity == file.identity)
        #expect(file.identity != other.identity)
        #expect(file.identity.device == other.identity.device)
    }

    @Test("reads are short only at the end of the file", arguments: ContractSubject.present)
    func reads(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let content = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let file = try space.storage.make(space.path("f"), content)
        #expect(try file.size() == 10_000)
        #expect(try file.readBytes(count: 10_000, at: 0) == content)
        #expect(try file.readBytes(count: 20_000, at: 0) == content)
        #expect(try file.readBytes(count: 1000, at: 505) == Array(content[505..<1505]))
        #expect(try file.readBytes(count: 10, at: 9995) == Array(content[9995...]))
        #expect(try file.readBytes(count: 10, at: 10_000).isEmpty)
        #expect(try file.readBytes(count: 10, at: 1 << 40).isEmpty)
        #expect(try file.readBytes(count: 0, at: 0).isEmpty)
        #expect(
            try storageError { _ = try file.readBytes(count: 1, at: -1) }?.errno == .invalidArgument
        )
    }

    @Test(
        "writes put all their bytes and grow the file, with zeros between",
        arguments: ContractSubject.present)
    func writes(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.create(space.path("f"))
        try file.writeBytes(run(1, 3), at: 5)
        #expect(try space.storage.bytes(of: space.path("f")) == run(0, 5) + run(1, 3))
        try file.writeBytes(run(2, 600), at: 7)
        #expect(try space.storage.bytes(of: space.path("f")) == run(0, 5) + run(1, 2) + run(2, 600))
        try file.writeBytes([], at: 5000)
        #expect(try file.size() == 607)
        let error = try storageError { try file.writeBytes([1], at: -1) }
        #expect(error == StorageError(.write, space.path("f"), .invalidArgument))
    }

    @Test(
        "zeros fill from and to any byte and never shrink a file",
        arguments: ContractSubject.present)
    func fillZeros(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.make(space.path("f"), run(1, 10_000))
        try file.fillZeros(from: 3, to: 5001)
        #expect(try file.size() == 10_000)
        #expect(try file.readBytes(count: 10_000, at: 0) == run(1, 3) + run(0, 4998) + run(1, 4999))
        try file.fillZeros(from: 10_000, to: 20_001)
        #expect(try file.size() == 20_001)
        #expect(try file.readBytes(count: 20_000, at: 10_000) == run(0, 10_001))
        try file.fillZeros(from: 9000, to: 9000)
        try file.fillZeros(from: 9000, to: 8000)
        #expect(try file.readBytes(count: 1, at: 8500) == [1])
        let error = try storageError { try file.fillZeros(from: -1, to: 10) }
        #expect(error == StorageError(.fillZeros, space.path("f"), .invalidArgument))
    }

    @Test("a mapping needs space that is there", arguments: ContractSubject.present)
    func mapping(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.create(space.path("f"))
        #expect(try !file.mapForAppending(length: 4096))
        #expect(try !file.mapForAppending(length: 0))
        #expect(try !file.mapForAppending(length: -1))
        try file.fillZeros(from: 0, to: 8192)
        #expect(try !file.mapForAppending(length: 8193))
        let isMapped = try file.mapForAppending(length: 8192)
        if subject.mapsForSure { #expect(isMapped) }
        if subject.neverMaps { #expect(!isMapped) }
        // A second time, longer and shorter: the answer stays true to what is asked.
        try file.fillZeros(from: 8192, to: 65_536)
        #expect(try file.mapForAppending(length: 65_536) == isMapped)
        #expect(try file.mapForAppending(length: 100) == isMapped)
        for offset in [0, 8000, 65_000] {
            try file.storeBytes(run(5, 500), at: offset, surface: .mapped)
            #expect(try file.readBytes(count: 500, at: offset) == run(5, 500))
        }
        #expect(try !file.mapForAppending(length: 65_537))
    }

    @Test(
        "stores on either surface are seen at once by every other opener",
        arguments: ContractSubject.present)
    func stores(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.create(space.path("f"))
        let early = try space.storage.open(space.path("f"), for: .reading)
        try file.fillZeros(from: 0, to: 16_384)
        let reader = try space.storage.open(space.path("f"), for: .reading)
        for mapsFirst in [false, true] {
            if mapsFirst { _ = try file.mapForAppending(length: 16_384) }
            for (index, surface) in AppendSurface.allCases.enumerated() {
                let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 3 &+ index) }
                try file.storeBytes(bytes, at: 4000 + index, surface: surface)
                for other in [early, reader] {
                    #expect(try other.readBytes(count: 5000, at: 4000 + index) == bytes)
                }
            }
            // A mapped store and a positional one may touch the same page.
            try file.storeBytes([1], at: 100, surface: .mapped)
            try file.storeBytes([2], at: 101, surface: .positional)
            try file.storeBytes([3], at: 102, surface: .mapped)
            #expect(try reader.readBytes(count: 5, at: 99) == [0, 1, 2, 3, 0])
        }
        try file.storeBytes(run(9, 84), at: 16_300, surface: .mapped)
        try file.storeBytes([], at: 16_384, surface: .mapped)
        #expect(try file.size() == 16_384)
        for surface in AppendSurface.allCases {
            #expect(throws: StorageError.self) {
                try file.storeBytes([1], at: -1, surface: surface)
            }
        }
    }

    @Test(
        "words are stored and loaded whole, in little-endian bytes",
        arguments: ContractSubject.present)
    func words(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.create(space.path("f"))
        try file.fillZeros(from: 0, to: 4096)
        let reader = try space.storage.open(space.path("f"), for: .writing)
        _ = try reader.mapForAppending(length: 4096)
        let plain = try space.storage.open(space.path("f"), for: .reading)
        for isMapped in [false, true] {
            if isMapped {
                _ = try file.mapForAppending(length: 4096)
                _ = try plain.mapForLoading(length: 4096)
            }
            for (index, offset) in [0, 8, 4088].enumerated() {
                let word = 0x0102_0304_0506_0700 + UInt64(index)
                try file.storeWord(word, at: offset)
                for file in [file, reader, plain] { #expect(try file.loadWord(at: offset) == word) }
                let bytes = [UInt8(index), 7, 6, 5, 4, 3, 2, 1]
                #expect(try plain.readBytes(count: 8, at: offset) == bytes)
            }
            for offset in [1, 4, -8] {
                let store = try storageError { try file.storeWord(1, at: offset) }
                #expect(store == StorageError(.store, space.path("f"), .invalidArgument))
                let load = try storageError { _ = try file.loadWord(at: offset) }
                #expect(load == StorageError(.read, space.path("f"), .invalidArgument))
            }
            #expect(throws: StorageError.self) { _ = try file.loadWord(at: 4096) }
            #expect(throws: StorageError.self) { _ = try plain.loadWord(at: 4096) }
        }
    }

    @Test(
        "a reader sees the old or the new word, and what came before it",
        arguments: ContractSubject.present)
    func wordsPublish(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.create(space.path("f"))
        try file.fillZeros(from: 0, to: 65_536)
        _ = try file.mapForAppending(length: 65_536)
        let surface: AppendSurface = subject.neverMaps ? .positional : .mapped
        let done = Monitor(false)
        let writer: @Sendable () -> Void = {
            for index in UInt8(1)...250 {
                try? file.storeBytes(run(index, 200), at: 200 * Int(index), surface: surface)
                // Eight equal bytes: a torn word shows.
                try? file.storeWord(0x0101_0101_0101_0101 * UInt64(index), at: 0)
            }
            done.withLock { $0 = true }
            done.notifyAll()
        }
        try WorkerThread.start("writer", writer)
        let reader = try space.storage.open(space.path("f"), for: .reading)
        let mapped = try space.storage.open(space.path("f"), for: .reading)
        _ = try mapped.mapForLoading(length: 65_536)
        var (last, turn): (UInt8, Int) = (0, 0)
        while last < 250 {
            turn += 1
            let word = try (turn % 2 == 0 ? reader : mapped).loadWord(at: 0)
            let index = UInt8(truncatingIfNeeded: word)
            #expect(word == 0x0101_0101_0101_0101 * UInt64(index))
            #expect(index >= last)
            if index > 0 {
                #expect(try reader.readBytes(count: 200, at: 200 * Int(index)) == run(index, 200))
            }
            last = index
        }
        done.wait { $0 ? .finish(()) : .wait(until: nil) }
    }

    @Test(
        "syncs and the cache hint change nothing that is read", arguments: ContractSubject.present)
    func syncs(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.make(space.path("f"), run(1, 5000))
        try file.sync()
        try file.storeBytes(run(2, 100), at: 50)
        try file.syncData()
        file.dropCache()
        #expect(try file.readBytes(count: 5000, at: 0) == run(1, 50) + run(2, 100) + run(1, 4850))
        // A reader may sync as well, as recovery does with what it found.
        let reader = try space.storage.open(space.path("f"), for: .reading)
        try reader.sync()
        try reader.syncData()
    }

    @Test(
        "a closed file throws and does nothing, whoever has its descriptor now",
        arguments: ContractSubject.present)
    func useAfterClose(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.make(space.path("f"), run(1, 4096))
        _ = try file.mapForAppending(length: 4096)
        try file.close()
        try file.close()
        // Takes the lowest free descriptor: most often the one just closed.
        let others = try (0..<8).map { index in
            try space.storage.make(space.path("other\(index)"), run(7, 4096))
        }
        let calls: [(String, () throws -> Void)] = [
            ("size", { _ = try file.size() }),
            ("read", { _ = try file.readBytes(count: 8, at: 0) }),
            ("write", { try file.writeBytes(run(2, 8), at: 0) }),
            ("fillZeros", { try file.fillZeros(from: 0, to: 8) }),
            ("map", { _ = try file.mapForAppending(length: 4096) }),
            ("mapped", { try file.storeBytes(run(2, 8), at: 0, surface: .mapped) }),
            ("positional", { try file.storeBytes(run(2, 8), at: 0, surface: .positional) }),
            ("storeWord", { try file.storeWord(2, at: 0) }),
            ("loadWord", { _ = try file.loadWord(at: 0) }),
            ("syncData", { try file.syncData() }),
            ("sync", { try file.sync() }),
        ]
        for (name, call) in calls {
            #expect(try storageError(call)?.errno == .badFileDescriptor, "\(name)")
        }
        file.dropCache()
        for other in others { #expect(try other.readBytes(count: 4096, at: 0) == run(7, 4096)) }
        #expect(try space.storage.bytes(of: space.path("f")) == run(1, 4096))
    }

    @Test("a file may be closed while others use it", arguments: ContractSubject.present)
    func closeWhileUsed(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let storage = space.storage
        let (path, otherPath) = (space.path("f"), space.path("other"))
        try storage.make(path, run(1, 4096)).close()
        try storage.make(otherPath, run(7, 4096)).close()
        for _ in 0..<20 {
            let file = try storage.open(path, for: .writing)
            _ = try file.mapForAppending(length: 4096)
            let left = Monitor((running: 3, isWrong: false))
            for surface in [AppendSurface.mapped, .positional, nil] {
                try WorkerThread.start("user") {
                    var isWrong = false
                    do {
                        while true {
                            if let surface {
                                try file.storeBytes(run(1, 64), at: 0, surface: surface)
                            } else {
                                isWrong =
                                    try file.readBytes(count: 64, at: 0) != run(1, 64) || isWrong
                            }
                        }
                    } catch {
                        let wrong = isWrong
                        left.withLock { $0 = ($0.running - 1, $0.isWrong || wrong) }
                        left.notifyAll()
                    }
                }
            }
            try file.close()
            let others = try (0..<4).map { _ in try storage.open(otherPath, for: .writing) }
            left.wait { $0.running == 0 ? .finish(()) : .wait(until: nil) }
            #expect(!left.withLock { $0.isWrong })
            for other in others { try other.close() }
        }
        #expect(try storage.bytes(of: otherPath) == run(7, 4096))
        #expect(try storage.bytes(of: path) == run(1, 4096))
    }
}
