import LoomStorage
import SystemPackage
import Testing

/// Space that is given back, and space that is left: the contract, and what a crash may leave.
@Suite struct SpaceContractTests {
    @Test("a file is cut off and grows again with zeros", arguments: ContractSubject.present)
    func truncate(subject: ContractSubject) throws {
        let space = try subject.workspace()
        let file = try space.storage.make(space.path("f"), run(1, 10_000))
        try file.truncate(to: 4096)
        #expect(try file.size() == 4096)
        #expect(try space.storage.bytes(of: space.path("f")) == run(1, 4096))
        try file.truncate(to: 5000)
        #expect(try file.size() == 4096)
        try file.fillZeros(from: 4096, to: 12_288)
        #expect(try space.storage.bytes(of: space.path("f")) == run(1, 4096) + run(0, 8192))
        // The mapped surface goes on where the file was before, and behind.
        try file.sync()
        _ = try file.mapForAppending(length: 12_288)
        for surface in AppendSurface.allCases {
            try file.storeBytes(run(2, 8), at: 8192, surface: surface)
        }
        #expect(try file.readBytes(count: 8, at: 8192) == run(2, 8))
        try file.close()
        #expect(try storageError { try file.truncate(to: 0) }?.errno == .badFileDescriptor)
    }

    @Test("what is left of a device is told", arguments: ContractSubject.present)
    func available(subject: ContractSubject) throws {
        let space = try subject.workspace()
        #expect(try space.storage.availableBytes(at: space.root) > 1 << 20)
        let missing = try storageError {
            _ = try space.storage.availableBytes(at: space.path("none"))
        }
        #expect(missing?.isNotFound == true)
    }

    @Test("a simulated capacity is what is left, and comes back when a file is cut")
    func capacity() throws {
        let storage = SimulatedStorage(capacity: 100 << 10)
        let file = try storage.make("/f", run(1, 40 << 10))
        #expect(try storage.availableBytes(at: "/") == 60 << 10)
        try file.truncate(to: 4096)
        #expect(try storage.availableBytes(at: "/") == 96 << 10)
        storage.capacity = 1000
        #expect(try storage.availableBytes(at: "/") == 0)
        storage.capacity = nil
        #expect(try storage.availableBytes(at: "/") == .max)
    }

    @Test("a power loss leaves the old size or the new one, and the bytes before it")
    func crash() throws {
        let storage = SimulatedStorage()
        let file = try storage.makeDurable("/f", run(1, 4096) + run(0, 8192))
        try file.truncate(to: 4096)
        var sizes: Set<Int> = []
        for image in CrashImage.several(sampled: 60) {
            let bytes = try storage.powerLossImage(image).bytes(of: "/f")
            #expect(bytes.prefix(4096) == run(1, 4096)[...])
            #expect(bytes.dropFirst(4096).allSatisfy { $0 == 0 })
            sizes.insert(bytes.count)
        }
        #expect(sizes == [4096, 12_288])
        try file.fillZeros(from: 4096, to: 8192)
        try file.sync()
        for image in CrashImage.several(sampled: 20) {
            #expect(try storage.powerLossImage(image).bytes(of: "/f").count == 8192)
        }
    }
}
