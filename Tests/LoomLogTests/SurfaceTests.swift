import Foundation
import LoomFormat
import LoomLog
import LoomStorage
import SystemPackage
import Testing

/// A machine whose time and randomness are the same at every run, over the real files.
private struct FixedMachine: Machine {
    let boot: (UInt64, UInt64)? = (1, 2)
    let processDescription = "pid 1 on test"
    func wallMicroseconds() -> UInt64 { 1_700_000_000_000_000 }
    func monotonicNanoseconds() -> UInt64 { 1 }
    func random() -> UInt64 { 0x1234_5678_9ABC_DEF0 }
    func sleep(nanoseconds: UInt64) {}
}

private struct FixedStorage: StorageForwarding {
    let base: any Storage
    let machine: any Machine = FixedMachine()
}

@Suite struct SurfaceTests {
    /// The bytes of every segment and manifest after a fixed piece of work.
    private func bytes(mapped: Bool, _ durability: Durability) throws -> [String: Data] {
        let folder = try TemporaryFolder(
            below: FileManager.default.currentDirectoryPath + "/.build")
        let storage = FixedStorage(base: POSIXStorage(allowsMapping: mapped))
        var options = LogOptions(durability: durability)
        options.driver = .inline
        options.firstSegmentBytes = 64 << 10
        options.segmentBytesMax = 128 << 10
        for round in 0..<2 {
            let writer = try LogWriter(path: folder.log, options: options, storage: storage)
            for number in 0..<400 {
                try writer.commit(
                    .numbered(
                        round * 400 + number, run: "run \(number % 7)", size: number,
                        isBarrier: number % 9 == 0))
            }
            try writer.close()
        }
        var found: [String: Data] = [:]
        for name in FileManager.default.enumerator(atPath: folder.log.string) ?? .init() {
            guard let name = name as? String, name.hasSuffix(".llg") || name.contains("MANIFEST")
            else { continue }
            found[name] = FileManager.default.contents(
                atPath: folder.log.appending(name).string)
        }
        return found
    }

    @Test("both surfaces write the same bytes", arguments: Durability.allCases)
    func sameBytes(durability: Durability) throws {
        let mapped = try bytes(mapped: true, durability)
        let positional = try bytes(mapped: false, durability)
        #expect(mapped.count > 3)
        #expect(mapped.keys.sorted() == positional.keys.sorted())
        for (name, data) in mapped { #expect(data == positional[name], "\(name)") }
    }
}
