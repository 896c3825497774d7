import LoomStorage
import SystemPackage
import Testing

/// A tiny protocol taken through every crash: how the simulation is used, and what it finds.
@Suite struct CrashLoopTests {
    /// Appends numbered cells of 24 bytes, each told to be durable after its sync.
    private struct Cells {
        var syncsFolder = true
        var syncsSize = true
        var syncsData = true

        /// Returns how many cells were acknowledged when it ended or the machine stopped.
        func work(_ storage: SimulatedStorage) -> Int {
            var acknowledged = 0
            try? {
                let file = try storage.create("/new")
                try file.fillZeros(from: 0, to: 65_536)
                if syncsSize { try file.sync() }
                try storage.rename("/new", to: "/cells")
                if syncsFolder { try storage.syncDirectory("/") }
                let isMapped = try file.mapForAppending(length: 65_536)
                for cell in UInt8(1)...98 {
                    let bytes = run(cell, 24)
                    let surface: AppendSurface = isMapped ? .mapped : .positional
                    try file.storeBytes(bytes, at: Int(cell) * 24, surface: surface)
                    if syncsData { try file.syncData() }
                    if cell % 2 == 0 { _ = try file.size() }
                    acknowledged = Int(cell)
                }
            }()
            return acknowledged
        }

        /// Returns how many whole cells there are from the start.
        func recover(_ storage: SimulatedStorage) throws -> Int {
            guard try storage.has("/cells") else { return 0 }
            let bytes = try storage.bytes(of: "/cells")
            return (1...98).prefix { cell in
                bytes.count >= cell * 24 + 24
                    && bytes[cell * 24..<cell * 24 + 24].allSatisfy { $0 == cell }
            }.count
        }

        /// The images, over every crash, that lost something acknowledged.
        func violations(supportsMapping: Bool = true, every stride: Int = 1) throws -> Int {
            let dry = SimulatedStorage(supportsMapping: supportsMapping)
            _ = work(dry)
            var count = 0
            for (index, point) in dry.crashPoints.enumerated() where index % stride == 0 {
                let storage = SimulatedStorage(supportsMapping: supportsMapping)
                storage.crash(at: point)
                let acknowledged = work(storage)
                for image in CrashImage.several(sampled: 3) {
                    if try recover(storage.powerLossImage(image)) < acknowledged { count += 1 }
                    if try recover(storage.killImage(image)) < acknowledged { count += 1000 }
                }
            }
            return count
        }
    }

    @Test(
        "a protocol that syncs all it must survives every crash", .timeLimit(.minutes(10)),
        arguments: [true, false])
    func sound(supportsMapping: Bool) throws {
        #expect(try Cells().violations(supportsMapping: supportsMapping) == 0)
    }

    @Test("each sync that is left out is found, by power loss alone")
    func unsound() throws {
        for cells in [
            Cells(syncsFolder: false), Cells(syncsSize: false), Cells(syncsData: false),
        ] {
            let violations = try cells.violations(every: 10)
            #expect(violations > 0 && violations < 1000)
        }
    }
}
