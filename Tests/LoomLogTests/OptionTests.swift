import LoomFormat
import LoomStorage
import SystemPackage
import Testing

@testable import LoomLog

/// The options of a writer at their ends.
@Suite struct OptionTests {
    private static let path: FilePath = "/options.loom"

    /// Opens, appends, syncs, waits through quiet time, rolls where segments are small, closes.
    private func use(_ options: LogOptions) throws {
        let storage = SimulatedStorage()
        var options = options
        options.driver = .inline
        let writer = try LogWriter(path: Self.path, options: options, storage: storage)
        for number in 0..<60 {
            try writer.commit(.numbered(number, size: 900, isBarrier: number % 7 == 0))
            storage.advanceClock(nanoseconds: 70_000_000)
            writer.runTimers()
        }
        try writer.close()
        #expect(try readAll(Self.path, storage: storage).count == 60)
        try LogWriter(path: Self.path, options: options, storage: storage).close()
    }

    /// "Never" and "for ever" trapped by overflow.
    @Test("times of 0, 1 and for ever are times", arguments: Durability.allCases)
    func times(durability: Durability) throws {
        let fields: [WritableKeyPath<LogOptions, UInt64>] = [
            \.syncDelayNanoseconds, \.idleMarkNanoseconds, \.lockWaitNanoseconds,
        ]
        for field in fields {
            for value in [0, 1, UInt64.max - 1, .max] {
                var options = LogOptions(durability: durability)
                options.firstSegmentBytes = 40_000
                options.segmentBytesMax = 80_000
                options[keyPath: field] = value
                try use(options)
            }
        }
    }

    @Test(
        "sizes are taken, or refused with the option and its bounds", arguments: Durability.allCases
    )
    func sizes(durability: Durability) throws {
        let least = 32_896
        let segmentSizes = [Int.min, -1, 0, 1, least - 1, least, least + 1, (1 << 30) + 1, .max]
        let accepted: [WritableKeyPath<LogOptions, Int>: Set<Int>] = [
            \.firstSegmentBytes: [least, least + 1], \.segmentBytesMax: [least, least + 1],
            \.syncBytes: [0, 1, .max], \.unsyncedBytesMax: [0, 1, .max],
        ]
        for (field, good) in accepted {
            let values = good.contains(.max) ? [Int.min, -1, 0, 1, .max] : segmentSizes
            for value in values {
                var options = LogOptions(durability: durability)
                options.firstSegmentBytes = 40_000
                options[keyPath: field] = value
                if good.contains(value) {
                    try use(options)
                    continue
                }
                let error = #expect(throws: LogError.self, "\(value)") { try use(options) }
                #expect(error?.code == .limitExceeded)
                #expect(error?.message.contains("\(value)") == true)
            }
        }
    }

    /// A writer that waits for ever for the lock trapped before it looked at it.
    @Test("waiting for ever for the lock ends when the other writer goes away")
    func lockWaitForEver() throws {
        let folder = try TemporaryFolder()
        let first = try LogWriter(path: folder.log)
        try WorkerThread.start("closer") {
            POSIXStorage().machine.sleep(nanoseconds: 50_000_000)
            try? first.close()
        }
        var options = LogOptions()
        options.lockWaitNanoseconds = .max
        try LogWriter(path: folder.log, options: options).close()
    }
}

/// The limits of FORMAT.md, section 14, where manifests are made and read.
@Suite struct LimitTests {
    private func manifest(segments count: Int) -> Manifest {
        let segments = (1...UInt64(count)).map { id in
            ManifestSegment(
                segmentID: id, state: id == UInt64(count) ? .active : .sealed, firstSequence: 1,
                endSequence: 1, validEnd: 128, lastHash: 1, salt: 1)
        }
        return Manifest(
            generation: 1, storeID: StoreID(low: 1, high: 2), writerID: 1, writerEpoch: 1,
            nextSegmentID: UInt64(count) + 1, previousHash: 0, created: 1, segments: segments)
    }

    /// A manifest with one entry too many was read, and the next one could not be encoded: a trap.
    @Test("a manifest above the limit is refused when it is read")
    func decoding() throws {
        let most = manifest(segments: FormatLimits.manifestSegmentCountMax).encodedFile().bytes
        #expect(throws: Never.self) { try Manifest.decodeFile(most.rawSpan, generation: 1) }
        let above = manifest(segments: FormatLimits.manifestSegmentCountMax + 1).encodedFile().bytes
        #expect(throws: FormatError.self) { try Manifest.decodeFile(above.rawSpan, generation: 1) }
    }

    /// Nothing stopped a log before the manifest that no reader would have taken.
    @Test("the last segment that a manifest can list is filled; then appends are refused")
    func roll() throws {
        let storage = SimulatedStorage()
        var options = LogOptions(durability: .normal)
        options.driver = .inline
        options.firstSegmentBytes = 40_960
        options.segmentBytesMax = 40_960
        options.segmentCountMax = 3
        let writer = try LogWriter(path: "/limit.loom", options: options, storage: storage)
        var count = 0
        var refusal: LogError?
        while refusal == nil, count < 1000 {
            do {
                try writer.append(.numbered(count, size: 900))
                count += 1
            } catch { refusal = error as? LogError }
        }
        #expect(refusal?.code == .limitExceeded, "\(refusal.debugDescription)")
        #expect(try readAll("/limit.loom", storage: storage).count == count)
        let again = #expect(throws: LogError.self) { try writer.append(.numbered(0, size: 900)) }
        #expect(again?.code == .limitExceeded)
        try writer.close()
        // It opens in place; a recovery that needs a fourth segment does not begin.
        let reopened = try LogWriter(path: "/limit.loom", options: options, storage: storage)
        #expect(reopened.position.nextSequence == UInt64(count) + 1)
        reopened.core.abandon()
        #expect(try readAll("/limit.loom", storage: storage).count == count)
    }

    @Test("numbers are not counted on into the limit")
    func numbers() throws {
        let storage = SimulatedStorage()
        let directory = LogDirectory(root: "/")
        let store = ManifestStore(directory: directory, storage: storage)
        let fields: [WritableKeyPath<Manifest, UInt64>] = [
            \.generation, \.writerEpoch, \.nextSegmentID,
        ]
        for field in fields {
            var full = manifest(segments: 1)
            full[keyPath: field] = FormatLimits.numberEnd - 1
            let editor = ManifestEditor(
                .init(manifest: full, hash: 1, tornGenerations: []), store: store)
            let error = #expect(throws: LogError.self) { try editor.checkRoomForSegment() }
            #expect(error?.code == .limitExceeded)
        }
        let editor = ManifestEditor(
            .init(
                manifest: manifest(segments: 1), hash: 1,
                tornGenerations: [FormatLimits.numberEnd - 1]), store: store)
        let torn = #expect(throws: LogError.self) { try editor.edit { _ in } }
        #expect(torn?.code == .limitExceeded)
        #expect(throws: LogError.self) {
            try editor.checkSequence(FormatLimits.numberEnd - 1)
        }
        #expect(storage.callCount == 0)
    }
}
